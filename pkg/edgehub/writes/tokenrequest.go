package writes

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxIssued are kept: a node has 110 pods, with a few tokens each.
	maxIssued = 2048
	// again is how soon kubelet asks again for a token that has expired, and that nobody can renew: soon enough after the return.
	again = time.Minute
)

// issued is a token that the API server has issued.
type issued struct {
	Request authenticationv1.TokenRequest `json:"request"`
	// Asked are the audiences that were asked for: none is the API server itself.
	Asked []string `json:"asked,omitempty"`
}

func isTokenRequest(x *exchange, r *http.Request) bool {
	t := &x.target
	if !x.caller.Local || r.Method != http.MethodPost || t.Group != "" || t.Resource != "serviceaccounts" || t.Subresource != "token" {
		return false
	}
	r.Header.Set("Accept", "application/json") // it is read here, too, and kubelet reads it as well
	return true
}

// issuedName is what a token is kept as: for whom, and for what it was asked.
func (x *exchange) issuedName(spec *authenticationv1.TokenRequestSpec) string {
	text, _ := json.Marshal(spec) // of strings and numbers: never fails
	return x.target.Namespace + "/" + x.target.Name + " " + string(text)
}

// sawToken keeps what was issued.
func (x *exchange) sawToken(_ *http.Request, said *recorded) {
	var asked, got authenticationv1.TokenRequest
	if !said.isSuccess() || decode(x.body, &asked) != nil || decode(said.body.Bytes(), &got) != nil || got.Status.Token == "" {
		return
	}
	got.APIVersion, got.Kind, got.ManagedFields = "authentication.k8s.io/v1", "TokenRequest", nil
	x.tokens.Put(x.issuedName(&asked.Spec), issued{got, asked.Spec.Audiences})
	if len(asked.Spec.Audiences) == 0 { // for the API server itself
		x.config.Knows.Issued(got.Status.Token, x.target.Namespace, x.target.Name)
	}
}

// tokenRequest answers with what was issued last. If that has expired, or soon does, it is said to be good for a little longer: nobody can ask the API server whether it is, and
// kubelet asks again when little is left of it.
func (x *exchange) tokenRequest(rw http.ResponseWriter, _ *http.Request) bool {
	var asked authenticationv1.TokenRequest
	if decode(x.body, &asked) != nil {
		return false
	}
	kept, ok := x.tokens.Get(x.issuedName(&asked.Spec))
	if !ok {
		return false
	}
	request := kept.Request
	if least := x.now().Add(x.least(&request)); request.Status.ExpirationTimestamp.Time.Before(least) {
		request.Status.ExpirationTimestamp = metav1.NewTime(least)
	}
	answer(rw, http.StatusCreated, &request)
	return true
}

// least is for how long a token has to be good for kubelet not to ask again at once: it does so in the last fifth of its life.
func (x *exchange) least(request *authenticationv1.TokenRequest) time.Duration {
	life := time.Hour
	if seconds := request.Spec.ExpirationSeconds; seconds != nil {
		life = time.Duration(*seconds) * time.Second
	}
	return life/5 + again
}

// Forget forgets the tokens of pods that are gone.
func (h *Handler) Forget(gone func(podUID string) bool) {
	for _, e := range h.tokens.All() {
		if ref := e.Value.Request.Spec.BoundObjectRef; ref != nil && strings.EqualFold(ref.Kind, "pod") && gone(string(ref.UID)) {
			h.tokens.Delete(e.Name)
		}
	}
}
