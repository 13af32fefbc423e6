package proxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// nothingVersion is the resourceVersion of lists that nothing is ever in.
const nothingVersion = "1"

// nothingFor is how long a watch of nothing goes on at most: clients choose five to ten minutes.
const nothingFor = 30 * time.Minute

// answersNothing answers a request of the controller of a cell for what it can have none of, and
// reports whether it was one: see cellview.View.Nothing. The member is asked what it serves, and counts the
// request as its own.
func (c *CellREST) answersNothing(w http.ResponseWriter, r *http.Request, view cellview.View, link *links.Link, sent relay.Request) bool {
	scopes := c.proxies.scopes.of(r.Context(), link, sent.Caller)
	resource, watch, ok := view.Nothing(cellview.Request{
		Method: r.Method, URL: &url.URL{Path: unescaped(sent.Path), RawPath: sent.Path, RawQuery: sent.RawQuery},
	}, scopes)
	if !ok || scopes.err != nil {
		return false // what comes next says why
	}
	leave, err := c.proxies.relay.Enter(sent.Cluster, sent.Caller.GetName(), r.Method, sent.Path, sent.RawQuery)
	if err != nil {
		c.proxies.fail(w, r, err)
		return true
	}
	defer leave()
	relay.Sandbox(w.Header())
	w.Header().Set("Content-Type", "application/json")
	kind := metav1.TypeMeta{APIVersion: resource.GroupVersion().String(), Kind: scopes.kind(resource)}
	if watch {
		c.watchNothing(w, r, kind, sent)
		return true
	}
	kind.Kind += "List"
	writeJSON(w, struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string `json:"metadata"`
		Items           []struct{}        `json:"items"`
	}{kind, map[string]string{"resourceVersion": nothingVersion}, []struct{}{}})
	return true
}

// watchNothing keeps a watch open in which nothing happens.
func (c *CellREST) watchNothing(w http.ResponseWriter, r *http.Request, kind metav1.TypeMeta, sent relay.Request) {
	query, err := url.ParseQuery(sent.RawQuery)
	if err != nil {
		c.proxies.fail(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	until := nothingFor
	if seconds, err := strconv.ParseUint(query.Get("timeoutSeconds"), 10, 31); err == nil && seconds > 0 {
		until = min(until, time.Duration(seconds)*time.Second)
	}
	w.WriteHeader(http.StatusOK)
	if query.Get("sendInitialEvents") == "true" {
		writeJSON(w, map[string]any{"type": "BOOKMARK", "object": map[string]any{
			"apiVersion": kind.APIVersion, "kind": kind.Kind,
			"metadata": map[string]any{"resourceVersion": nothingVersion, "annotations": map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
		}})
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	timer := time.NewTimer(until)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-sent.While.Done(): // the request's end, too
	case <-sent.Link.Replaced().Done():
	}
}

func writeJSON(w http.ResponseWriter, value any) {
	_ = json.NewEncoder(w).Encode(value) // who does not read it any more needs no answer
}

// kind returns that of a type; empty if it is not known. Nobody asks for the scope of namespaces, and with that for
// what the member serves.
func (s *scopesOf) kind(resource schema.GroupVersionResource) string {
	if resource.Group == "" && resource.Resource == "namespaces" {
		return "Namespace"
	}
	s.discovered.mu.Lock()
	defer s.discovered.mu.Unlock()
	return s.discovered.types.kinds[resource]
}
