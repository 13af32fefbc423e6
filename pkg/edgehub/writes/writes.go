package writes

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
)

// Caller is who makes a request.
type Caller struct {
	// Local is a program of the node itself.
	Local bool
	// User is who else.
	User authenticationv1.UserInfo
}

// Knowledge is what the API server has said of others.
type Knowledge interface {
	// Token returns whose a token was last; false if it never said so.
	Token(token string) (authenticationv1.UserInfo, bool)
	// May returns whether somebody may do something, and why not; false if it never said so.
	May(spec *authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, known bool)
	// Allowed notes that it has let somebody do something.
	Allowed(spec *authorizationv1.SubjectAccessReviewSpec)
	// Issued notes that it has issued a token for its own use.
	Issued(token, namespace, serviceAccount string)
	// Kept notes that it has done so before the hub was started.
	Kept(token, namespace, serviceAccount string)
}

// Config says how a Handler works. All but PodStatus and Logger is required.
type Config struct {
	// Node is the name of the node.
	Node string
	// Next serves everything while the API server is there; it answers 502, 503 or 504 when it is away.
	Next http.Handler
	// Who returns who makes a request; false if nobody is known.
	Who func(*http.Request) (Caller, bool)
	// NodeObject returns what is known of the node, as JSON; nil if nothing is.
	NodeObject func() []byte
	// PodStatus is told what the node changes of the status of a pod: of taken, what the API server answered, and, while it is away, of the strategic merge patch, with taken nil. Nil is not.
	PodStatus func(namespace, name string, patch, taken []byte)
	Knows     Knowledge
	// Away reports whether the API server is known to be away.
	Away func() bool
	// Unreached reports whether none is known to be there: what the node itself writes is answered then as if it were away, as kubelet starts nothing before that, and a link that is cut may take long to say so. Nil never does.
	Unreached func() bool
	// Send writes what was kept, as the user who wrote it, empty for the node itself. Its error is that it could not be asked.
	Send func(r *http.Request, user string) (*http.Response, error)
	Book *notes.Book
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Handler is an http.Handler for what is written.
type Handler struct {
	config Config
	now    func() time.Time
	tokens *notes.Shelf[issued]
	leases *notes.Shelf[lease]
	lease  lastLease
	queue  *queue

	readers readers
	// sending is the constant, but in tests.
	sending time.Duration
}

// New returns a handler with what its book has. What of that cannot be read is gone, and noted in the log.
func New(config Config) (*Handler, error) {
	if config.Node == "" || config.Next == nil || config.Who == nil || config.NodeObject == nil || config.Knows == nil || config.Away == nil || config.Send == nil || config.Book == nil {
		return nil, errors.New("everything about a handler of writes is required, but its log and who is told of pods")
	}
	if config.Unreached == nil {
		config.Unreached = func() bool { return false }
	}
	if config.PodStatus == nil {
		config.PodStatus = func(string, string, []byte, []byte) {}
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	h := &Handler{config: config, now: time.Now, readers: readers{of: map[string]int{}}, sending: sending}
	var errs [3]error
	h.tokens, errs[0] = notes.NewShelf[issued](config.Book, "issued", maxIssued)
	h.leases, errs[1] = notes.NewShelf[lease](config.Book, "leases", maxLeases)
	h.queue, errs[2] = newQueue(&config)
	if err := errors.Join(errs[:]...); err != nil {
		config.Logger.Error("Lost some of what was kept", "err", err)
	}
	for _, e := range h.tokens.All() {
		if account, _, _ := strings.Cut(e.Name, " "); len(e.Value.Asked) == 0 {
			namespace, name, _ := strings.Cut(account, "/")
			config.Knows.Kept(e.Value.Request.Status.Token, namespace, name)
		}
	}
	return h, nil
}

// exchange is a request that may be answered here.
type exchange struct {
	*Handler
	target target.Target
	caller Caller
	body   []byte
}

// rule is what is done about requests of a kind.
type rule struct {
	// matches reports whether a request is of the kind.
	matches func(x *exchange, r *http.Request) bool
	// saw is told what the API server said; nil does nothing.
	saw func(x *exchange, r *http.Request, said *recorded)
	// offline answers while it is away; false if that is not possible.
	offline func(x *exchange, rw http.ResponseWriter, r *http.Request) bool
}

// rules are in order: the first that matches counts.
var rules = []rule{
	{isLease, (*exchange).sawLease, (*exchange).answerLease},
	{isRegistration, nil, (*exchange).registration},
	{isNodeStatus, nil, (*exchange).nodeStatus},
	{isPodStatus, (*exchange).sawPodStatus, (*exchange).podStatus},
	{isNodePatch, (*exchange).sawAllowed, (*exchange).nodePatch},
	{isEvent, (*exchange).sawAllowed, (*exchange).event},
	{isTokenRequest, (*exchange).sawToken, (*exchange).tokenRequest},
	{isTokenReview, nil, (*exchange).tokenReview},
	{isAccessReview, nil, (*exchange).accessReview},
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	x, rule := h.ruleOf(r)
	if rule == nil {
		h.pass(rw, r)
		return
	}
	whole, done, err := x.readBody(rw, r)
	if err != nil {
		status.Write(rw, err)
		return
	}
	defer done()
	if !whole {
		h.pass(rw, r)
		return
	}
	away := h.config.Away() || x.caller.Local && h.config.Unreached()
	if away && rule.offline(x, rw, r) {
		return
	}
	said := &recorded{header: http.Header{}}
	h.config.Next.ServeHTTP(said, r)
	switch {
	case r.Context().Err() != nil:
	case !status.IsAway(said, said.code):
		if rule.saw != nil {
			rule.saw(x, r, said)
		}
		said.write(rw)
	case !rule.offline(x, rw, r):
		h.unavailable(rw, r, status.IsUnanswered(said))
	}
}

// ruleOf is the rule for a request; nil if there is none.
func (h *Handler) ruleOf(r *http.Request) (*exchange, *rule) {
	q, ok := target.Parse(r.URL)
	if !ok || r.URL.Query().Has("dryRun") { // what is only tried is not kept
		return nil, nil
	}
	caller, ok := h.config.Who(r)
	if !ok {
		return nil, nil
	}
	x := &exchange{Handler: h, target: q, caller: caller}
	for i := range rules {
		if rules[i].matches(x, r) {
			return x, &rules[i]
		}
	}
	return nil, nil
}

// pass hands on what only the API server can answer.
func (h *Handler) pass(rw http.ResponseWriter, r *http.Request) {
	h.config.Next.ServeHTTP(&honest{rw, func(sent bool) { h.unavailable(rw, r, sent) }, false}, r)
}

// unavailable is that the API server is away. What was sent to it is not to be tried again by who does not know whether it was done: clients do that if they are told when.
func (h *Handler) unavailable(rw http.ResponseWriter, r *http.Request, sent bool) {
	clear(rw.Header())
	why := fmt.Errorf("only it can answer %s %s", r.Method, r.URL.Path)
	if sent {
		status.WriteUnanswered(rw, why)
		return
	}
	status.WriteAway(rw, why)
}

// honest has an answer that nobody gave be a Status that clients understand.
type honest struct {
	http.ResponseWriter
	away func(sent bool)
	said bool
}

// WriteHeader implements http.ResponseWriter.
func (h *honest) WriteHeader(code int) {
	if status.IsAway(h, code) {
		h.said = true
		h.away(status.IsUnanswered(h))
		return
	}
	h.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (h *honest) Write(p []byte) (int, error) {
	if h.said {
		return len(p), nil
	}
	return h.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (h *honest) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// recorded is what the API server said.
type recorded struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorded) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorded) WriteHeader(code int) {
	if w.code == 0 && code >= http.StatusOK {
		w.code = code
	}
}

// Write implements http.ResponseWriter.
func (w *recorded) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// write says it to somebody else.
func (w *recorded) write(rw http.ResponseWriter) {
	for key, values := range w.header {
		rw.Header()[key] = values
	}
	rw.WriteHeader(max(w.code, http.StatusOK))
	_, _ = rw.Write(w.body.Bytes())
}

// isSuccess reports whether it is one.
func (w *recorded) isSuccess() bool { return w.code >= 200 && w.code < 300 }
