package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// enter waits for a place among the members that are asked, and returns how to leave it. Who does
// not leave for a while is taken for slow, and does not count any more.
func (c *call) enter(ctx context.Context) (leave func(), err error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case c.gate <- struct{}{}:
	}
	once := sync.OnceFunc(func() { <-c.gate })
	slow := time.AfterFunc(c.config.Slow, once)
	return func() {
		slow.Stop()
		once()
	}, nil
}

// patience ends a request to a member that takes too long.
type patience struct {
	context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func waiting(ctx context.Context, atMost time.Duration, err error) *patience {
	ctx, cancel := context.WithCancelCause(ctx)
	return &patience{ctx, cancel, time.AfterFunc(atMost, func() { cancel(err) })}
}

func (p *patience) end() {
	p.timer.Stop()
	p.cancel(nil)
}

// errSlow is why a member is not waited for any more.
type errSlow struct{ reason string }

func (e *errSlow) Error() string { return e.reason }

// answer is what a member answered, up to a bound.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// ask sends a request to a member, and reads the whole answer. It waits for its turn first.
func (c *call) ask(ctx context.Context, m Member, path []string, query url.Values, header http.Header) (*answer, *failure) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, c.unanswered(ctx, m.Name, err)
	}
	defer leave()
	p := waiting(ctx, c.firstAnswer(), &errSlow{fmt.Sprintf("it did not answer within %s", c.firstAnswer())})
	defer p.end()
	response, err := c.send(p, m, path, query, header)
	if err != nil {
		return nil, c.unanswered(p, m.Name, err)
	}
	defer closeBody(response)
	p.timer.Stop()
	p.timer = time.AfterFunc(c.config.PageBody, func() { p.cancel(&errSlow{fmt.Sprintf("its answer was not complete within %s", c.config.PageBody)}) })
	body, err := readAll(response, c.config.PageBytes, c.room())
	if err != nil {
		return nil, c.unanswered(p, m.Name, err)
	}
	return &answer{response.StatusCode, response.Header, body}, nil
}

// firstAnswer is how long a member may take to begin: shorter if the client of a list says so.
func (c *call) firstAnswer() time.Duration {
	if c.verb == verbList && c.timeout > 0 {
		return min(c.timeout, c.config.FirstAnswer)
	}
	return c.config.FirstAnswer
}

// send sends a request, and returns the answer of a member, whatever it is.
func (c *call) send(ctx context.Context, m Member, path []string, query url.Values, header http.Header) (*http.Response, error) {
	u := &url.URL{Path: "/" + strings.Join(path, "/"), RawQuery: query.Encode()}
	r := (&http.Request{Method: http.MethodGet, URL: u, Header: header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	response, err := m.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		closeBody(response)
		return nil, fmt.Errorf("its answer is encoded as %.50q, which was not asked for", encoding)
	}
	return response, nil
}

// drainBytes is how much of an answer is read that nobody wants, so that its connection can be used
// again.
const drainBytes = 4 << 10

func closeBody(response *http.Response) {
	if response.ContentLength >= 0 && response.ContentLength <= drainBytes {
		_, _ = io.CopyN(io.Discard, response.Body, drainBytes)
	}
	_ = response.Body.Close()
}

var errTooLong = errors.New("its answer is too long")

// firstBytes is how much room a body is given at first.
const firstBytes = 64 << 10

// readAll reads a body of at most that many bytes, into the room of a buffer that nobody uses.
func readAll(response *http.Response, atMost int64, room []byte) ([]byte, error) {
	body := slices.Grow(room[:0], firstBytes)
	for {
		n, err := response.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > atMost:
			return body, errTooLong
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return body, err
		case len(body) == cap(body):
			body = slices.Grow(body, len(body))
		}
	}
}

// maxRoomBytes is how large a buffer may be that is kept for the next page.
const maxRoomBytes = 8 << 20

// room returns a buffer that a page before was read into, nil if there is none.
func (h *Handler) room() []byte {
	if room, ok := h.rooms.Get().(*[]byte); ok {
		return *room
	}
	return nil
}

// release gives back the bytes of a page. Nothing of it may be used afterwards.
func (h *Handler) release(p *page) {
	if cap(p.data) <= maxRoomBytes {
		h.rooms.Put(&p.data)
	}
}

// unanswered says why there is no answer.
func (c *call) unanswered(ctx context.Context, member string, err error) *failure {
	var slow *errSlow
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &slow):
		return failed(member, http.StatusGatewayTimeout, "%s", slow.reason)
	case cause != nil:
		return failed(member, http.StatusGatewayTimeout, "it did not answer in time")
	case errors.Is(err, errTooLong):
		return failed(member, http.StatusServiceUnavailable, "an answer of it is longer than %d MiB", c.config.PageBytes>>20)
	}
	return failed(member, http.StatusServiceUnavailable, "%v", err)
}

// each calls f for every member at once, and waits for all.
func (c *call) each(f func(i int, m Member)) {
	var all sync.WaitGroup
	for i, m := range c.members {
		all.Go(func() { f(i, m) }) // ends with f
	}
	all.Wait()
}
