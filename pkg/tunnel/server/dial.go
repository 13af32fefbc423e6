package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// hedgeAfter is, with two round trips, how long another agent is waited for before the next is asked as well.
const hedgeAfter = 250 * time.Millisecond

// Dial connects to an address at the end of an agent of that name: HOST:PORT, or a word of package tunnel.
// Errors are *tunnel.DialError.
func (s *Server) Dial(ctx context.Context, name tunnel.Name, network, address string) (net.Conn, error) {
	stream, err := s.Open(ctx, name, network, address)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Open is Dial for those who pass on what a stream carries.
func (s *Server) Open(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, tunnel.DialTimeout)
	defer cancel()
	failed := func(code mux.Code, err error) error {
		return &tunnel.DialError{Name: name, Address: address, Code: code, Err: err}
	}
	links := s.candidates(name, s.most(ctx))
	if len(links) == 0 {
		return nil, failed(mux.Unreachable, tunnel.ErrNoAgent)
	}
	request := tunnel.Request{Network: network, Address: address}
	if until, ok := ctx.Deadline(); ok {
		request.TimeoutMillis = time.Until(until).Milliseconds()
	}
	stream, err := s.open(ctx, links, request)
	switch {
	case err == nil:
		return stream, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, failed(mux.Timeout, fmt.Errorf("its agent did not answer in time"))
	}
	return nil, failed(mux.CodeOf(err), err)
}

// candidates are the links of a name, the best first.
func (s *Server) candidates(name tunnel.Name, most int) []*link {
	s.mu.Lock()
	links := slices.Clone(s.links[name])
	s.mu.Unlock()
	links = slices.DeleteFunc(links, func(l *link) bool { return l.beaten.Load() }) // there is the one that has beaten them
	load := make(map[*link]int, len(links))
	for _, l := range links {
		load[l] = l.session.Streams()
		if l.draining.Load() {
			load[l] += 1 << 30 // only if there is no other
		}
	}
	slices.SortStableFunc(links, func(a, b *link) int { return cmp.Compare(load[a], load[b]) })
	return slices.DeleteFunc(links, func(l *link) bool { return load[l]%(1<<30) >= most && len(links) > 1 })
}

// opened is what came of one try.
type opened struct {
	stream *mux.Stream
	err    error
}

// open asks one link after the other: the next one when one has failed for its own reasons, or is slow. What the target says
// counts, whichever link says it.
func (s *Server) open(ctx context.Context, links []*link, request tunnel.Request) (*mux.Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan opened, len(links))
	asked, waiting := 0, 0
	ask := func() {
		l := links[asked]
		asked++
		waiting++
		go func() { // ends with ctx
			if n := l.session.Streams(); n >= s.most(ctx) {
				results <- opened{nil, &mux.Error{Code: mux.Overloaded, Text: fmt.Sprintf("%d streams are open on its link, as many as may be", n)}}
				return
			}
			stream, err := l.session.Open(ctx, request)
			results <- opened{stream, err}
		}()
	}
	ask()
	hedge := time.NewTimer(hedgeAfter + 2*links[0].session.RoundTrip())
	defer hedge.Stop()
	var last error
	for {
		select {
		case <-hedge.C:
			if asked < len(links) {
				ask()
			}
		case r := <-results:
			waiting--
			if r.err == nil {
				go discard(results, waiting) // ends with ctx
				return r.stream, nil
			}
			last = r.err
			if waiting == 0 && (asked == len(links) || !another(r.err)) {
				return nil, last
			}
			if another(r.err) && asked < len(links) {
				ask()
			}
		}
	}
}

// another reports whether another agent may do what one did not: its link failed, or it has a limit.
func another(err error) bool {
	var said *mux.Error
	if !errors.As(err, &said) {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch said.Code {
	case mux.Draining, mux.Overloaded, mux.Internal, mux.Unreachable:
		return true
	}
	return false
}

// discard closes streams that came too late.
func discard(results <-chan opened, n int) {
	for range n {
		if r := <-results; r.err == nil {
			r.stream.Reset(mux.Canceled, "another agent was quicker")
		}
	}
}
