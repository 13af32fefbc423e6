package relay

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/klog/v2"
)

// Link is the way to a member; links.Link is one.
type Link interface {
	// URL is where the member serves a path.
	URL(escapedPath, rawQuery string) (*url.URL, error)
	// Path is the path of a location that the member speaks of.
	Path(location *url.URL) (path string, ok bool)
	// As carries requests as the caller.
	As(caller user.Info, upgraded bool) http.RoundTripper
	// Replaced ends when there is another credential, Dead when this one may not be used any more.
	Replaced() context.Context
	Dead() context.Context
}

// Request is what a request becomes in a member.
type Request struct {
	// Cluster is the member's name.
	Cluster string
	Link    Link
	// Prefix is the path here under which the member's paths are seen.
	Prefix string
	// Path in the member, escaped, and the query.
	Path, RawQuery string
	// Caller is who asks.
	Caller user.Info
	// Map, if not nil, makes of a request that is counted what the member is sent, and may change the
	// Path, RawQuery and Answer of this.
	Map func(r *http.Request, to *Request) (*http.Request, error)
	// Answer, if not nil, changes the answer before its header is sent. It is not called for
	// connections that change their protocol.
	Answer func(*http.Response) error
	// While, if not nil, ends when the request may not go on any more: watches end as if they were
	// complete.
	While context.Context
	// Reticent errors do not say where the member is.
	Reticent bool
}

// Relay carries requests on. It counts who has how many under way.
type Relay struct {
	// fail answers with an error.
	fail   func(w http.ResponseWriter, r *http.Request, err error)
	limits *limits
	log    *log.Logger
	// unreadFor is how long a client may take for an answer that was ended here.
	unreadFor time.Duration
	// unsentFor is how long one may take for the rest of a request whose answer has ended.
	unsentFor time.Duration
	// refusalFor is how long the end of a refusal may take that is to have its length.
	refusalFor time.Duration
}

// New makes a Relay. fail answers a request with an error of the API.
func New(fail func(w http.ResponseWriter, r *http.Request, err error)) *Relay {
	logger := klog.Background().WithName("proxy").V(4)
	return &Relay{fail: fail, limits: newLimits(), unreadFor: unreadFor, unsentFor: unsentFor, refusalFor: refusalFor, log: slog.NewLogLogger(logr.ToSlogHandler(logger), slog.LevelInfo)}
}

// Serve carries a request on and answers it.
func (rl *Relay) Serve(w http.ResponseWriter, r *http.Request, to Request) {
	asked := r
	protocol, err := upgradeProtocol(r.Header)
	if err != nil {
		rl.fail(w, r, err)
		return
	}
	kind := kindOf(r.Method, to.Path, to.RawQuery, protocol)
	leave, err := rl.limits.enter(to.Cluster, to.Caller.GetName(), kind)
	if err != nil {
		rl.fail(w, r, err)
		return
	}
	defer leave()
	if to.Map != nil {
		if r, err = to.Map(r, &to); err != nil {
			rl.fail(w, asked, err)
			return
		}
	}
	target, err := to.Link.URL(to.Path, to.RawQuery)
	if err != nil {
		rl.fail(w, asked, badPath(to.Cluster, err))
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer endWith(to.Link.Dead(), cancel)()
	if kind == upgraded {
		defer endWith(to.Link.Replaced(), cancel)()
	}
	if to.While != nil {
		defer endWith(to.While, cancel)()
	}
	e := &exchange{Request: to, ctx: ctx, header: w.Header(), protocol: protocol, next: to.Link.As(to.Caller, protocol != ""), kind: kind, asked: sendingOf(w, r, rl.unsentFor), refusalFor: rl.refusalFor}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = target, ""
			p.Out.Trailer = nil // some servers read them as headers
			cleanRequest(p.Out.Header)
			if id, ok := audit.AuditIDFrom(ctx); ok {
				p.Out.Header.Set(auditIDHeader, string(id))
			}
		},
		Transport:     e,
		FlushInterval: -1,
		BufferPool:    buffers[kind],
		ErrorLog:      rl.log,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if left := context.Cause(r.Context()); left != nil && context.Cause(ctx) == left {
				return // nobody reads it
			}
			rl.fail(w, asked, problem(to.Cluster, r.Method, cause(ctx, err), to.Reticent))
		},
	}
	if e.asked != nil {
		stop := context.AfterFunc(ctx, e.asked.interrupt)
		defer stop()
	}
	if kind != upgraded {
		defer endUnread(ctx, w, rl.unreadFor)()
	}
	if kind == brief {
		w = recordWriter{w}
	}
	carried := r.WithContext(ctx)
	if e.asked != nil {
		carried.Body = e.asked
	}
	proxy.ServeHTTP(w, carried)
}

// endWith cancels when a context ends, with its cause. The result stops that.
func endWith(ended context.Context, cancel context.CancelCauseFunc) (stop func()) {
	undo := context.AfterFunc(ended, func() { cancel(context.Cause(ended)) })
	return func() { undo() }
}

// cause is why a request failed: why it was ended, if it was.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why
	}
	return err
}

// exchange is one request and its answer. It is what the library's proxy takes for the transport.
type exchange struct {
	Request
	ctx context.Context // the request's, without the proxy's own
	// header is that of the answer here, as other handlers have begun it.
	header   http.Header
	protocol string
	kind     kind
	next     http.RoundTripper
	// asked is the body of the request as it comes from the client, nil if there is none.
	asked      *sending
	refusalFor time.Duration
}

// RoundTrip implements http.RoundTripper.
func (e *exchange) RoundTrip(request *http.Request) (*http.Response, error) {
	// Not with the proxy's context: it would pass on answers that announce others (1xx), with
	// headers that nobody has looked at.
	answer, err := e.next.RoundTrip(request.WithContext(e.ctx))
	if err != nil {
		return nil, err
	}
	checked := *answer
	checked.Trailer = nil // what comes after the body is no header here
	answer = &checked
	early := e.asked != nil && answer.StatusCode != http.StatusSwitchingProtocols // as far as anybody knows
	defer func() {
		for key := range answer.Header {
			delete(e.header, key) // the member's own is the answer's, once
		}
		if early {
			e.asked.begin(e.header)
		}
	}()
	ahead := &readAhead{ReadCloser: answer.Body}
	if early {
		answer.Body = &answered{ReadCloser: ahead, asked: e.asked}
	}
	if err := e.check(request, answer); err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	if early && e.asked.lingers() {
		answer = measured(answer, ahead, e.refusalFor)
	}
	return answer, nil
}

func (e *exchange) check(request *http.Request, answer *http.Response) error {
	if answer.StatusCode < http.StatusContinue {
		return errCode
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		if e.protocol == "" || !strings.EqualFold(answer.Header.Get("Upgrade"), e.protocol) {
			return errProtocol
		}
		keepUpgradeHeaders(answer.Header)
		return nil
	}
	if answer.StatusCode == http.StatusUnauthorized && !IsInner(e.Path) {
		return errUnauthorized
	}
	if err := e.followable(answer); err != nil {
		return err
	}
	cleanAnswer(answer.Header)
	if e.kind == brief {
		answer.Body = &gathering{ReadCloser: answer.Body}
	}
	if e.kind == watching && answer.StatusCode == http.StatusOK {
		answer.Body = endAtOnce(answer.Body, e.Link.Replaced(), isWatch(e.Path))
		if e.While != nil {
			answer.Body = endAtOnce(answer.Body, e.While, isWatch(e.Path))
		}
	}
	if e.Answer != nil {
		return e.Answer(answer)
	}
	return nil
}

// followable refuses redirects to elsewhere, and has those to the member's own paths lead through
// this server.
func (e *exchange) followable(answer *http.Response) error {
	redirects := answer.StatusCode >= 300 && answer.StatusCode < 400 && answer.StatusCode != http.StatusNotModified
	if !redirects && answer.Header.Get("Location") == "" {
		return nil
	}
	location, err := answer.Location()
	if err != nil { // there is none, or it is none
		answer.Header.Del("Location")
		if redirects {
			return ErrRedirect
		}
		return nil
	}
	path, own := e.Link.Path(location)
	if !own || CheckPath(path) != nil {
		if redirects {
			return ErrRedirect
		}
		answer.Header.Del("Location")
		return nil
	}
	here := url.URL{Path: e.Prefix, RawQuery: location.RawQuery, Fragment: location.Fragment}
	here.RawPath = here.EscapedPath() + path
	if here.Path, err = url.PathUnescape(here.RawPath); err != nil {
		return ErrRedirect
	}
	answer.Header.Set("Location", here.String())
	return nil
}

// endAtOnce ends a body when ended does: as if it were complete, or so that nobody takes it for that.
func endAtOnce(body io.ReadCloser, ended context.Context, complete bool) io.ReadCloser {
	e := &endable{ReadCloser: body, ended: ended, complete: complete}
	e.stop = context.AfterFunc(ended, func() { _ = body.Close() })
	return e
}

type endable struct {
	io.ReadCloser
	ended    context.Context
	complete bool
	stop     func() bool
}

// Read implements io.Reader.
func (e *endable) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	switch {
	case err == nil || e.ended.Err() == nil:
		return n, err
	case e.complete:
		return n, io.EOF
	case errors.Is(err, io.EOF): // it ended by itself
		return n, err
	}
	return n, context.Cause(e.ended)
}

// Close implements io.Closer.
func (e *endable) Close() error {
	e.stop()
	return e.ReadCloser.Close()
}
