package relay

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/user"
)

// Transport sends requests of this server to a member, as a caller. The URL of a request has the
// path as the member sees it; its host is not heeded. Errors are Problems. Bodies are not bounded.
type Transport struct {
	// Reticent errors do not say where the member is.
	Reticent bool

	cluster string
	link    Link
	caller  user.Info
}

// NewTransport returns the transport of a caller to a member.
func NewTransport(cluster string, link Link, caller user.Info) *Transport {
	return &Transport{cluster: cluster, link: link, caller: caller}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	target, err := t.link.URL(request.URL.EscapedPath(), request.URL.RawQuery)
	if err != nil {
		return nil, badPath(t.cluster, err)
	}
	if err := t.link.Dead().Err(); err != nil {
		return nil, problem(t.cluster, request.Method, err, t.Reticent)
	}
	sent := request.Clone(request.Context())
	sent.URL, sent.Host = target, ""
	cleanRequest(sent.Header)
	e := &exchange{
		Request: Request{Cluster: t.cluster, Link: t.link, Path: request.URL.EscapedPath(), Caller: t.caller},
		ctx:     request.Context(), header: http.Header{}, next: t.link.As(t.caller, false),
		kind: kindOf(request.Method, request.URL.EscapedPath(), request.URL.RawQuery, ""),
	}
	answer, err := e.RoundTrip(sent)
	if err != nil {
		return nil, problem(t.cluster, request.Method, err, t.Reticent)
	}
	return answer, nil
}
