package memberclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/status"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// A member is somebody else's server, and may answer anything, in any length and as slowly
// as it likes. These are the bounds; all clients of members have them, since Config gives
// no configuration without. docs/members.md says what they mean to users.
const (
	// maxAnswerBytes bounds one answer, after decompression, and one object in a list or a
	// watch. A kube-apiserver stores objects of 1.5 MiB, which JSON may make twice as long.
	maxAnswerBytes = 4 << 20
	// bytesPerValue is how many bytes of one answer there must be for each value in it, on average:
	// of "[{},{}," a decoder makes a hundred times as much.
	bytesPerValue = 8
	// maxSchemaBytes bounds the OpenAPI of one group and version: Kubernetes' own largest
	// is some 3 MiB.
	maxSchemaBytes = 16 << 20
	// Lists and watches have no length, but a pace, for all of one member together: beyond
	// it they are read as slowly, which costs other members nothing. All other answers together
	// have the same, apart from it, so that a long list delays no check of health.
	bytesPerSecond, burstBytes = 16 << 20, 64 << 20
)

// AnswerError says in one sentence that a member answered as no API server does.
type AnswerError struct {
	Problem string
	// Misdirected says that the address is most likely not that of an API server.
	Misdirected bool
}

func (e *AnswerError) Error() string { return e.Problem }

// Config returns how to reach the member, with the bounds on what it may answer: whoever
// makes a client of a member makes it of this. See memberaccess.Config.
func Config(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret, now time.Time) (*rest.Config, error) {
	config, err := memberaccess.Config(cluster, secret, now)
	if err != nil {
		return nil, err
	}
	return guarded(config), nil
}

// guarded returns the configuration with the bounds on answers. Redirects are refused: the
// credentials would be sent on to wherever the member says, and the Secret says that they are
// for this address only (ADR 16).
func guarded(config *rest.Config) *rest.Config {
	config.WarningHandlerWithContext = warningCollector{} // the default logs what a member says
	streams, calls := rate.NewLimiter(bytesPerSecond, burstBytes), rate.NewLimiter(bytesPerSecond, burstBytes)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &guard{next: next, streams: streams, calls: calls}
	})
	return config
}

// guard is right around the transport: it sees every request, also one that a client makes
// by itself, and bodies after decompression.
type guard struct {
	next http.RoundTripper
	// streams is the pace of lists and watches, calls that of all else.
	streams, calls *rate.Limiter
}

// WrappedRoundTripper lets the library cancel requests.
func (g *guard) WrappedRoundTripper() http.RoundTripper { return g.next }

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := g.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		_ = response.Body.Close()
		return nil, redirected(request, response)
	}
	response.Body = g.bound(request, response)
	if err := pay(request.Context(), g.calls, headerBytes(response.Header)); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// headerBytes is about how long a header is, which a member may make as long as it likes, too.
func headerBytes(header http.Header) (n int) {
	for key, values := range header {
		for _, value := range values {
			n += len(key) + len(value)
		}
	}
	return n
}

func redirected(request *http.Request, response *http.Response) error {
	target := "nowhere"
	if location, err := response.Location(); err == nil {
		target = (&url.URL{Scheme: location.Scheme, Host: location.Host}).String()
	}
	return &AnswerError{Misdirected: true, Problem: fmt.Sprintf(
		"the member redirects %s to %q; redirects are not followed: the address of the member must be that of its API server itself",
		request.URL.Path, status.Cut(target, 256))}
}

func (g *guard) bound(request *http.Request, response *http.Response) io.ReadCloser {
	path := request.URL.Path
	if isStream(request.Context()) && response.StatusCode == http.StatusOK {
		paced := &pacedBody{ReadCloser: response.Body, ctx: request.Context(), pace: g.streams}
		if request.URL.Query().Has("watch") {
			return &eventBody{ReadCloser: paced, length: newLength("an event in the member's watch of "+path, maxAnswerBytes)}
		}
		return paced // lists are bounded by readPage
	}
	limitBytes := int64(maxAnswerBytes)
	if strings.HasPrefix(path, "/openapi/") {
		limitBytes = maxSchemaBytes
	}
	paced := &pacedBody{ReadCloser: response.Body, ctx: request.Context(), pace: g.calls}
	what := "the member's answer to " + request.Method + " " + path
	return &answerBody{boundedBody: boundedBody{ReadCloser: paced, length: newLength(what, limitBytes)}, values: values{atMost: limitBytes / bytesPerValue}}
}

type streamKey struct{}

// asStream marks the requests of a context as lists and watches, which are read as they
// come and never kept as a whole.
func asStream(ctx context.Context) context.Context {
	return context.WithValue(ctx, streamKey{}, true)
}

func isStream(ctx context.Context) bool {
	marked, _ := ctx.Value(streamKey{}).(bool)
	return marked
}

// length counts bytes of one value.
type length struct {
	what              string // of whose length the error speaks
	readBytes, atMost int64
}

func newLength(what string, limitBytes int64) length { return length{what: what, atMost: limitBytes} }

func (l *length) count(n int) error {
	if l.readBytes += int64(n); l.readBytes > l.atMost {
		return &AnswerError{Problem: fmt.Sprintf("%s is longer than %d MiB, and is not read further", l.what, l.atMost>>20)}
	}
	return nil
}

// boundedBody is a body that ends with an error beyond its bound.
type boundedBody struct {
	io.ReadCloser
	length
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if tooLong := b.count(n); tooLong != nil {
		return 0, tooLong
	}
	return n, err
}

// answerBody is an answer that is decoded as a whole.
type answerBody struct {
	boundedBody
	values values
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.boundedBody.Read(p)
	if tooMany := b.values.count(p[:n]); tooMany != nil {
		return 0, tooMany
	}
	return n, err
}

// quoting follows the strings of a stream of JSON.
type quoting struct{ inString, escaped bool }

// take goes on with a byte, and reports whether it is of a string, its quotes included.
func (q *quoting) take(c byte) bool {
	switch {
	case q.escaped:
		q.escaped = false
	case q.inString:
		q.escaped, q.inString = c == '\\', c != '"'
	case c == '"':
		q.inString = true
	default:
		return false
	}
	return true
}

// values counts the values of a stream of JSON, roughly: what begins objects and arrays, and what
// stands between two values. What is no JSON does not matter.
type values struct {
	n, atMost int64
	strings   quoting
}

func (v *values) count(p []byte) error {
	for _, c := range p {
		if !v.strings.take(c) && (c == '{' || c == '[' || c == ',') {
			v.n++
		}
	}
	if v.n > v.atMost {
		return errManyValues
	}
	return nil
}

// errManyValues says that a member sends what takes many times its length in memory.
var errManyValues = &AnswerError{Problem: fmt.Sprintf("the member answers with more than one value in %d bytes, which no object has that Kubernetes makes", bytesPerValue)}

// checkValues refuses a value that is not to be decoded as a tree.
func checkValues(value []byte) error {
	v := values{atMost: maxAnswerBytes / bytesPerValue}
	return v.count(value)
}

// eventBody is a watch, which its decoder reads however long an event is.
type eventBody struct {
	io.ReadCloser
	length
	nesting nesting
}

func (b *eventBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	tail := p[:n]
	if end := b.nesting.lastEnd(tail); end > 0 {
		tail, b.readBytes = tail[end:], 0
	}
	if tooLong := b.count(len(tail)); tooLong != nil {
		return 0, tooLong
	}
	return n, err
}

// nesting follows a stream of JSON: in how many objects and arrays it is, and whether in a
// string. What is no JSON does not matter: the decoder ends there.
type nesting struct {
	depth   int
	strings quoting
}

// lastEnd goes on with p. It returns where the last object or array ends in p that is in no
// other, or 0 if none does.
func (n *nesting) lastEnd(p []byte) (end int) {
	for i, c := range p {
		switch {
		case n.strings.take(c):
		case c == '{', c == '[':
			n.depth++
		case c == '}', c == ']':
			if n.depth--; n.depth <= 0 {
				n.depth, end = 0, i+1
			}
		}
	}
	return end
}

// pacedBody is read no faster than its pace allows.
type pacedBody struct {
	io.ReadCloser
	ctx  context.Context // the request's
	pace *rate.Limiter
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.pace.Burst())])
	if waitErr := pay(b.ctx, b.pace, n); waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// pay waits until a pace has so many bytes left. It returns the error of ctx, also if ctx would
// end first.
func pay(ctx context.Context, pace *rate.Limiter, sizeBytes int) error {
	if pace.WaitN(ctx, min(sizeBytes, pace.Burst())) == nil {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return context.DeadlineExceeded
}
