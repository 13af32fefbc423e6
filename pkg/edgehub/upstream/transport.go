package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// headersWithin is how long an answer may take to begin: API servers give up after a minute themselves.
const headersWithin = 75 * time.Second

// errNoHeaders is that it took longer.
var errNoHeaders = fmt.Errorf("no answer has begun within %s", headersWithin)

// transport makes requests with one credential.
type transport struct {
	upstream   *Upstream
	credential Credential

	mu    sync.Mutex
	lines map[*server]*line // guarded by mu
}

// Transport makes requests as somebody, over connections that are for that alone. It is made once for each credential: it is kept for as long as the Upstream.
func (u *Upstream) Transport(credential Credential) http.RoundTripper {
	t := &transport{upstream: u, credential: credential, lines: map[*server]*line{}}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.transports = append(u.transports, t)
	return t
}

// RoundTrip implements http.RoundTripper. It fails at once with ErrAway if no server is well.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.roundTrip(r)
	if err != nil && r.Body != nil {
		_ = r.Body.Close()
	}
	return response, err
}

func (t *transport) roundTrip(r *http.Request) (*http.Response, error) {
	header, err := t.credential.header(r.Header)
	if err != nil {
		return nil, err
	}
	s, err := t.upstream.choice()
	if err != nil {
		return nil, err
	}
	l, err := t.lineTo(s)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", s.url, err)
	}
	return l.send(r, header)
}

// lineTo returns the line to a server, a new one if what is shown has changed.
func (t *transport) lineTo(s *server) (*line, error) {
	now, err := t.upstream.shown(t.credential)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lines[s]; l != nil && l.ended() == nil {
		if l.shown.same(now) {
			return l, nil
		}
		l.retire(t.upstream.retireAfter)
	}
	delete(t.lines, s)
	l, err := t.upstream.open(s, now)
	if err == nil {
		t.lines[s] = l
	}
	return l, err
}

// open makes a line to a server that is well.
func (u *Upstream) open(s *server, shows shown) (*line, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended:
		return nil, errEnded
	case s.err != nil: // in the meantime
		return nil, fmt.Errorf("%w: %w", ErrAway, s.err)
	}
	l := newLine(s, shows, u.config.Proxy)
	s.lines[l] = struct{}{}
	context.AfterFunc(l.life, func() { u.forget(l) })
	return l, nil
}

func (u *Upstream) forget(l *line) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(l.server.lines, l)
}

// refresh has lines end that show what is not shown any more, although nobody asks.
func (t *transport) refresh() {
	now, err := t.upstream.shown(t.credential)
	if err != nil {
		return // whoever asks is told
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, l := range t.lines {
		if !l.shown.same(now) {
			l.retire(t.upstream.retireAfter)
			delete(t.lines, s)
		}
	}
}

// retire ends a line that gets no new requests: those that there are have a while.
func (l *line) retire(after time.Duration) {
	l.any.CloseIdleConnections()
	l.upgrades.CloseIdleConnections()
	time.AfterFunc(after, func() { l.end(errReplaced) })
}

// send makes a request. Errors begin with the server.
func (l *line) send(r *http.Request, header http.Header) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	out := r.WithContext(ctx)
	out.Header, out.URL, out.Host = header, l.address(r.URL), ""
	via := l.any
	if isUpgrade(r) {
		via = l.upgrades
	}
	if !beginsLate(r) {
		waiting := time.AfterFunc(headersWithin, func() { cancel(errNoHeaders) })
		defer waiting.Stop()
	}
	response, err := via.RoundTrip(out)
	if err != nil {
		if errors.Is(context.Cause(ctx), errNoHeaders) {
			err = errNoHeaders
		}
		cancel(nil)
		return nil, l.failed(r.Context(), err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		cancel(nil) // the connection is the caller's now
		return response, nil
	}
	response.Body = &body{response.Body, l, r.Context(), cancel}
	return response, nil
}

// address is where a request goes.
func (l *line) address(asked *url.URL) *url.URL {
	to := *asked
	base := l.server.url
	to.Scheme, to.Host, to.User, to.Opaque = base.Scheme, base.Host, nil, ""
	if base.Path != "" {
		to.Path = base.Path + asked.Path
		if asked.RawPath != "" {
			to.RawPath = base.EscapedPath() + asked.RawPath
		}
	}
	return &to
}

// isUpgrade reports whether a request asks for another protocol, as those of exec do.
func isUpgrade(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// beginsLate reports whether an answer may begin at any time: with the first event or line of a log, or when whoever is behind a proxy likes.
func beginsLate(r *http.Request) bool {
	query := r.URL.Query()
	for _, name := range []string{"watch", "follow"} {
		if yes, _ := strconv.ParseBool(query.Get(name)); yes {
			return true
		}
	}
	return isUpgrade(r) || strings.Contains(r.URL.Path, "/proxy/")
}

// failed says of an error which server it is of, and why its connection has ended if it was ended here. The server is asked whether it is well, unless nobody waited for it.
func (l *line) failed(asked context.Context, err error) error {
	if asked.Err() == nil {
		l.server.kick()
	}
	if why := l.ended(); why != nil {
		return fmt.Errorf("API server %s: %w (%w)", l.server.url, why, err)
	}
	return fmt.Errorf("API server %s: %w", l.server.url, explain(err))
}

// body is that of an answer.
type body struct {
	io.ReadCloser
	line   *line
	asked  context.Context
	cancel context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.line.failed(b.asked, err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
