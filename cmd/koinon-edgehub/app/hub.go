package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/closure"
	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/edgehub/incluster"
	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/podstate"
	"github.com/koinon-io/koinon/pkg/edgehub/remembered"
	"github.com/koinon-io/koinon/pkg/edgehub/serving"
	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
	"github.com/koinon-io/koinon/pkg/edgehub/writes"
)

// hub is the parts, put together.
type hub struct {
	// dir has everything that the hub keeps.
	dir, node string
	logger    *slog.Logger

	cacheDisk, notesDisk *store.Store
	// damage is what was lost when the disk was read, nil for nothing.
	damage error
	// notesFailing: what is noted could not be written the last time.
	notesFailing atomic.Bool

	upstream *upstream.Upstream
	identity *identity.Identity
	// asNode asks as the node, and asGiven as whoever a request says.
	asNode, asGiven http.RoundTripper

	cache   *view.Cache
	pool    *feed.Pool
	closure *closure.Closure
	// podStates are how pods of the node are now that were otherwise.
	podStates *podstate.Book
	book      *notes.Book
	tokens    *callers.Tokens
	rights    *callers.Rights
	writes    *writes.Handler
	// forgotFor is of which cluster everything in memory is since it was forgotten, until the disk says so, too; empty for that of the disk. It is keepUp's alone.
	forgotFor string
	// before is how far the hub that ran here before had come.
	before *before
	// documents are what programs read when they start.
	documents *documents
	// tunnel is the node's agent; nil if there is none.
	tunnel *nodeAgent
	// kubelet is when it was here last.
	kubelet visits
	// handler serves requests that have a caller, or none.
	handler http.Handler
}

// newHub puts the parts together. It starts nothing.
func newHub(dir, node string, u *upstream.Upstream, i *identity.Identity, inCluster *incluster.Rewriter, logger *slog.Logger) (*hub, error) {
	h := &hub{dir: dir, node: node, logger: logger, podStates: podstate.New(node), upstream: u, identity: i, asNode: u.Transport(upstream.Certificate(i.Certificate)), asGiven: u.Transport(upstream.Forwarded())}
	if err := h.openDisk(dir); err != nil {
		return nil, err
	}
	if err := h.connect(inCluster); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// openDisk reads what there is.
func (h *hub) openDisk(dir string) error {
	var lost []error
	open := func(name string) (disk *store.Store, kept []store.View, unsaved bool, err error) {
		disk, kept, damage, err := store.Open(filepath.Join(dir, name))
		if damage != nil {
			lost = append(lost, fmt.Errorf("%s: %w", name, damage.Err))
			h.logger.Error("Lost a part of what was on disk: it is unknown until the API server is asked", "file", name, "views", damage.Views, "aside", damage.Aside, "err", damage.Err)
		}
		return disk, kept, damage != nil && damage.Unsaved, err
	}
	var (
		kept    []store.View
		unsaved bool
		err     error
	)
	if h.cacheDisk, kept, unsaved, err = open("cache.db"); err != nil {
		return err
	}
	if h.cache, err = view.NewCache(kept); err != nil {
		lost = append(lost, err)
		h.logger.Error("Lost a part of what was on disk: it is unknown until the API server is asked", "err", err)
	}
	if unsaved {
		h.cache.Rewrite()
	}
	if h.notesDisk, kept, unsaved, err = open("notes.db"); err != nil {
		return errors.Join(err, h.cacheDisk.Close())
	}
	if h.book = notes.NewBook(h.notesDisk, kept); unsaved {
		h.book.Rewrite()
	}
	h.damage = errors.Join(lost...)
	return nil
}

// connect makes the parts that are in memory.
func (h *hub) connect(inCluster *incluster.Rewriter) error {
	var tokensErr, rightsErr, beforeErr, err error
	h.before, beforeErr = openBefore(h.book)
	h.tokens, tokensErr = callers.NewTokens(h.book, doer{h.asNode}, h.away)
	h.rights, rightsErr = callers.NewRights(h.book, doer{h.asNode}, h.away)
	askers := callers.NewAskers[view.Key](doer{h.asNode}, func(token string) callers.Doer { return bearer{h.asGiven, token} }, h.tokens)
	h.pool, err = feed.NewPool(feed.PoolConfig{
		Cache: h.cache, Disk: h.cacheDisk, Logger: h.logger, Ended: askers.Forget, Heard: h.before.heard,
		Asker: func(key view.Key, r *http.Request) feed.Asker {
			c := callers.From(r.Context())
			return feed.Asker{Client: askers.Add(key, c), Owner: c.User.Username}
		},
	})
	if err != nil {
		return err
	}
	h.closure, err = closure.New(closure.Config{Node: h.node, Views: h.pool, View: h.cache.View, Want: h.want, Refused: feed.IsRefused, Correct: h.correct, Logger: h.logger})
	if err != nil {
		return err
	}
	answers, rememberedErr := remembered.New(h.book, h.proxy(), nameOfCaller)
	h.documents = &documents{from: answers}
	h.writes, err = writes.New(writes.Config{
		Node: h.node, Next: answers, Who: whoWrites, NodeObject: h.nodeObject, PodStatus: h.podStatus, Knows: &knowledge{h.tokens, h.rights}, Away: h.away, Unreached: h.unreached, Send: h.send, Book: h.book, Logger: h.logger,
	})
	if err != nil {
		return err
	}
	reads, err := serving.New(serving.Config{
		Views: h.closure, Upstream: closure.Guard(h.writes), Allows: h.allows, Owner: owner, Still: h.still, Local: isLocal, Away: h.away, Unreached: h.unreached, Logger: h.logger,
		Rewrite: func(r *http.Request, read serving.Read) func([]byte) ([]byte, error) {
			return inCluster.For(callers.From(r.Context()).Local, read.Group, read.Resource, read.LabelSelector)
		},
	})
	if err != nil {
		return err
	}
	if lost := errors.Join(tokensErr, rightsErr, beforeErr, rememberedErr); lost != nil {
		h.damage = errors.Join(h.damage, lost)
		h.logger.Error("Lost a part of what was kept", "err", lost)
	}
	h.handler = known(reads, h.proxy())
	return nil
}

// known serves who has said who he is. Everybody else is nobody for the API server, too, and is handed on, as is who would be somebody else: only the API server knows whether he may.
func known(somebody, nobody http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if callers.From(r.Context()) == nil || impersonates(r) {
			nobody.ServeHTTP(rw, r)
			return
		}
		somebody.ServeHTTP(rw, r)
	})
}

// impersonates reports whether who makes a request would be somebody else.
func impersonates(r *http.Request) bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "Impersonate-") {
			return true
		}
	}
	return false
}

// away reports whether no API server is there, as far as they were asked: what was revoked while the hub was not running is not to be good again until they are.
func (h *hub) away() bool { return h.upstream.Away() }

// unreached reports whether no API server is known to be there.
func (h *hub) unreached() bool { return !h.upstream.Available() }

// isLocal reports whether who makes a request is of the node itself.
func isLocal(r *http.Request) bool {
	c := callers.From(r.Context())
	return c != nil && c.Local
}

// nameOfCaller names who makes a request, for what is remembered for him alone. No name of a user is the node's.
func nameOfCaller(r *http.Request) string {
	switch c := callers.From(r.Context()); {
	case c == nil:
		return ""
	case c.Local:
		return remembered.Node
	default:
		return callers.Key(&c.User)
	}
}

// whoWrites is who makes a request, for package writes.
func whoWrites(r *http.Request) (writes.Caller, bool) {
	c := callers.From(r.Context())
	if c == nil {
		return writes.Caller{}, false
	}
	return writes.Caller{Local: c.Local, User: c.User}, true
}

// proxy hands requests on to the API server, as who makes them: the node if he is of the node, and else as who his own token says, or as nobody.
func (h *hub) proxy() http.Handler {
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Host = ""
			if isLocal(p.In) {
				p.Out.Header.Del("Authorization")
			}
		},
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if isLocal(r) {
				return orUnanswered(h.asNode, r)
			}
			return orUnanswered(h.asGiven, r)
		}),
		ModifyResponse: func(r *http.Response) error {
			status.Believe(r.Header)
			return nil
		},
		ErrorLog: slog.NewLogLogger(h.logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
			h.logger.Debug("Failed to hand on a request", "method", r.Method, "path", r.URL.Path, "err", err)
			var unanswered *unansweredError
			if errors.As(err, &unanswered) {
				status.WriteUnanswered(rw, err)
				return
			}
			status.WriteAway(rw, err)
		},
	}
}

// unansweredError is why what was sent was not answered, if it may have been done: it was no read.
type unansweredError struct{ error }

// orUnanswered makes a request. If it was sent, and nobody knows whether it was done, the error is an *unansweredError.
func orUnanswered(to http.RoundTripper, r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return to.RoundTrip(r)
	}
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	response, err := to.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil && sent.Load() {
		err = &unansweredError{err}
	}
	return response, err
}

// roundTripper is an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// nodeKey is the view of the node itself, as kubelet wants it.
func nodeKey(node string) view.Key {
	return view.Key{Version: "v1", Resource: "nodes", Fields: fields.OneTermEqualSelector("metadata.name", node).String()}
}

// nodeObject is what is known of the node.
func (h *hub) nodeObject() []byte {
	v, filter, ok := h.cache.Find(nodeKey(h.node))
	if !ok {
		return nil
	}
	o, _, err := v.Get(h.node)
	if err != nil || o == nil || !filter.Match(o) {
		return nil
	}
	return o.Body
}

// send writes what was kept, as who wrote it.
func (h *hub) send(r *http.Request, user string) (*http.Response, error) {
	if user == "" {
		return h.asNode.RoundTrip(r)
	}
	return bearer{h.asGiven, h.tokens.Newest(user)}.Do(r)
}

// allows returns whether who makes a request may read something from a view. Whoever is of the node may: he could read it on the disk.
func (h *hub) allows(r *http.Request, read serving.Read) error {
	c := callers.From(r.Context())
	if c.Local {
		return nil
	}
	attributes := &authorizationv1.ResourceAttributes{
		Verb: read.Verb, Group: read.Group, Version: read.Version, Resource: read.Resource, Namespace: read.Namespace, Name: read.Name,
	}
	d, err := h.rights.Allows(r.Context(), callers.Of(&c.User, attributes))
	if err == nil && !d.Allowed && (read.LabelSelector != "" || read.FieldSelector != "") { // rights may be for what is selected, and no more
		narrow(attributes, read)
		d, err = h.rights.Allows(r.Context(), callers.Of(&c.User, attributes))
	}
	switch {
	case err != nil:
		return apierrors.NewServiceUnavailable(err.Error())
	case !d.Allowed:
		why := fmt.Errorf("user %q cannot %s this resource: %s", c.User.Username, read.Verb, d.Reason)
		return apierrors.NewForbidden(schema.GroupResource{Group: read.Group, Resource: read.Resource}, read.Name, why)
	}
	return nil
}

// own are the groups that each kube-apiserver answers for itself, and to all alike who may.
var own = []string{
	"", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io",
	"events.k8s.io", "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io",
	"scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
}

// owner is who alone reads what a request wants; empty if all do who may. Who answers for other groups may answer each as he likes, as an aggregated API does that lists what each may see: of
// what a pod reads there no other has a part, nor has it of what the node reads.
func owner(r *http.Request, read serving.Read) string {
	if isLocal(r) || slices.Contains(own, read.Group) {
		return ""
	}
	return nameOfCaller(r)
}

// still returns why who makes a request may not go on with a watch: as the API server has said so since. Nobody's watch ends because it is away, or has not been asked.
func (h *hub) still(r *http.Request, read serving.Read) error {
	c := callers.From(r.Context())
	if c.Local || h.away() {
		return nil
	}
	user, err := h.tokens.Identify(r.Context(), c.Token)
	if err == nil {
		now := &callers.Caller{User: user, Token: c.Token}
		err = h.allows(r.WithContext(callers.With(r.Context(), now)), read)
	}
	if errors.Is(err, callers.ErrNobody) || apierrors.IsForbidden(err) {
		return err
	}
	return nil
}

// narrow adds selectors to what is asked.
func narrow(attributes *authorizationv1.ResourceAttributes, read serving.Read) {
	if read.LabelSelector != "" {
		attributes.LabelSelector = &authorizationv1.LabelSelectorAttributes{RawSelector: read.LabelSelector}
	}
	if read.FieldSelector != "" {
		attributes.FieldSelector = &authorizationv1.FieldSelectorAttributes{RawSelector: read.FieldSelector}
	}
}

// close lets go of the disk.
func (h *hub) close() error {
	return errors.Join(h.cacheDisk.Close(), h.notesDisk.Close())
}

// keepNotes writes what is noted to disk, each second, until ctx ends.
func (h *hub) keepNotes(ctx context.Context) {
	ticker := time.NewTicker(feed.FlushEvery)
	defer ticker.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-ticker.C:
		}
		err := h.book.Flush()
		if before := h.notesFailing.Swap(err != nil); err != nil && !before {
			h.logger.Error("Failed to keep notes on disk: it is tried again each second", "err", err)
		}
	}
}
