package app

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
)

// knowledge is what the API server has said of callers, for package writes.
type knowledge struct {
	tokens *callers.Tokens
	rights *callers.Rights
}

// Token implements writes.Knowledge.
func (k *knowledge) Token(token string) (authenticationv1.UserInfo, bool) {
	return k.tokens.Remembered(token)
}

// May implements writes.Knowledge.
func (k *knowledge) May(spec *authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, known bool) {
	d, known := k.rights.Remembered(spec)
	return d.Allowed, d.Reason, known
}

// Allowed implements writes.Knowledge.
func (k *knowledge) Allowed(spec *authorizationv1.SubjectAccessReviewSpec) {
	k.rights.Learn(spec, callers.Decision{Allowed: true})
}

// Issued implements writes.Knowledge.
func (k *knowledge) Issued(token, namespace, serviceAccount string) {
	k.tokens.Issued(token, callers.ServiceAccount(namespace, serviceAccount))
}

// Kept implements writes.Knowledge.
func (k *knowledge) Kept(token, namespace, serviceAccount string) {
	k.tokens.Kept(token, callers.ServiceAccount(namespace, serviceAccount))
}

// doer makes requests by a transport.
type doer struct{ http.RoundTripper }

// Do implements the Doer of packages feed and callers.
func (d doer) Do(r *http.Request) (*http.Response, error) { return d.RoundTrip(r) }

// bearer makes requests with a token.
type bearer struct {
	next  http.RoundTripper
	token string
}

// Do implements the Doer of packages feed and callers.
func (b bearer) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}
