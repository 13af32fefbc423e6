package app

import (
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// withoutOtherOrigins refuses what a page of another origin has a browser send: it would send a
// client certificate along by itself, and the API reads a body without Content-Type as JSON. What
// changes the protocol counts as a write. Clients that are no browsers do not say where they come
// from, and are not asked.
//
// Behind a host, hosted, the address that the page was loaded from is the host's, which is not known
// here: there it counts what a browser itself says of the two origins, and Origin alone does not.
func withoutOtherOrigins(hosted bool, api http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
			api.ServeHTTP(w, r)
			return
		}
		asked := &http.Request{Method: r.Method, Host: r.Host, URL: r.URL, Header: r.Header}
		if relay.IsUpgrade(r.Header) {
			asked.Method = http.MethodPost
		}
		if hosted && r.Header.Get("Sec-Fetch-Site") == "" {
			api.ServeHTTP(w, r)
			return
		}
		if err := protection.Check(asked); err != nil {
			refuse(w, "a page of another origin had this request sent: "+err.Error())
			return
		}
		api.ServeHTTP(w, r)
	})
}

// refuse answers with a Status. There is no negotiation before the API server's own chain.
func refuse(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(&metav1.Status{ // whoever asked has gone
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	})
}
