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
	"github.com/koinon-io/koinon/pkg/tunnel/peers"
)

const (
	// hedgeAfter is, with two round trips, how long another way is waited for before the next is asked as well.
	hedgeAfter = 250 * time.Millisecond
	// maxAsked is how many ways are asked for one connection.
	maxAsked = 4
	// failingFor is how long an agent that could not reach its target is asked after others.
	failingFor = 30 * time.Second
)

// Dial connects to an address at the end of an agent of that name: HOST:PORT, or a word of package tunnel. An agent with a link to this
// server is asked first, and then another server that has one. Errors are *tunnel.DialError.
func (s *Server) Dial(ctx context.Context, name tunnel.Name, network, address string) (net.Conn, error) {
	stream, err := s.Open(ctx, name, network, address)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Open is Dial for those who pass on what a stream carries.
func (s *Server) Open(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error) {
	stream, err := s.dial(ctx, s.ways(ctx, name), name, network, address)
	s.counts.dialed(&s.counts.own, err)
	return stream, err
}

// dial asks ways, of which some agent has to be at the end.
func (s *Server) dial(ctx context.Context, ways []way, name tunnel.Name, network, address string) (*mux.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, tunnel.DialTimeout)
	defer cancel()
	failed := func(code mux.Code, err error) error {
		return &tunnel.DialError{Name: name, Address: address, Code: code, Err: err}
	}
	if len(ways) == 0 {
		return nil, failed(mux.Unreachable, tunnel.ErrNoAgent)
	}
	request := tunnel.Request{Network: network, Address: address, Share: tunnel.ShareOf(ctx)}
	if until, ok := ctx.Deadline(); ok {
		request.TimeoutMillis = time.Until(until).Milliseconds()
	}
	d := &dialing{server: s, ways: ways, name: name, request: request}
	stream, err := d.run(ctx)
	var said *mux.Error
	switch {
	case err == nil:
		return stream, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, failed(mux.Timeout, fmt.Errorf("its agent did not answer in time"))
	case errors.As(err, &said) && said.Code == mux.Absent: // it has gone since another server said that it was there
		return nil, failed(mux.Unreachable, tunnel.ErrNoAgent)
	case errors.As(err, &said) && said.Code == mux.Broken: // at another server
		return nil, failed(mux.Internal, mux.ErrLost)
	}
	return nil, failed(mux.CodeOf(err), err)
}

// way is one by which a name may be reached: a link of an agent, or one to another server that has such.
type way struct {
	link *link
	peer *peers.Link
	// agents are the instances at its end.
	agents []string
	// rank and load say which is asked first.
	rank, load int
}

// Ranks: who is asked first.
const (
	rankLink = iota
	rankPeer
	rankFailing
	rankDraining
	rankPeerGoing
)

// here are the links of a name, the best first. Those with as many streams as may be are left out if there are others.
func (s *Server) here(ctx context.Context, name tunnel.Name) []way {
	most := s.most(ctx)
	s.mu.Lock()
	links := slices.Clone(s.links[name])
	s.mu.Unlock()
	// Of a node's agents one is asked. Its older links come last: it may have made the newest only to see whose address that is.
	newest := map[string]bool{}
	for _, l := range links {
		newest[l.info.Instance] = newest[l.info.Instance] || !l.beaten.Load()
	}
	links = slices.DeleteFunc(links, func(l *link) bool { return !newest[l.info.Instance] })
	ways := make([]way, 0, len(links))
	for _, l := range links {
		w := way{link: l, agents: []string{l.info.Instance}, load: l.session.Streams()}
		switch {
		case l.draining.Load() || l.beaten.Load(): // only if there is no other
			w.rank = rankDraining
		case l.isFailing():
			w.rank = rankFailing
		}
		ways = append(ways, w)
	}
	return slices.DeleteFunc(ways, func(w way) bool { return w.load >= most && len(ways) > 1 })
}

// ways are all of a name, the best first.
func (s *Server) ways(ctx context.Context, name tunnel.Name) []way {
	ways := s.here(ctx, name)
	if s.mesh != nil {
		for _, l := range s.mesh.To(name) {
			w := way{peer: l, agents: l.Agents(name), rank: rankPeer, load: l.Streams()}
			if l.Going() {
				w.rank = rankPeerGoing
			}
			ways = append(ways, w)
		}
	}
	return sorted(ways)
}

func sorted(ways []way) []way {
	slices.SortStableFunc(ways, func(a, b way) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.load, b.load)) })
	return ways
}

func (w *way) roundTrip() time.Duration {
	if w.peer != nil {
		return w.peer.RoundTrip()
	}
	return w.link.session.RoundTrip()
}

// open asks a way.
func (w *way) open(ctx context.Context, s *Server, name tunnel.Name, request tunnel.Request) (*mux.Stream, error) {
	if w.peer != nil {
		stream, err := w.peer.Open(ctx, name, request)
		s.counts.dialed(&s.counts.handedOn, err)
		return stream, err
	}
	return w.link.open(ctx, s.most(ctx), request)
}

// open has an agent dial, and notes whether it reaches what it is there for.
func (l *link) open(ctx context.Context, most int, request tunnel.Request) (*mux.Stream, error) {
	if n := l.session.Streams(); n >= most {
		return nil, &mux.Error{Code: mux.Overloaded, Text: fmt.Sprintf("%d streams are open on its link, as many as may be", n)}
	}
	stream, err := l.session.OpenFor(ctx, request.Share, request)
	if request.Address == tunnel.TargetOf(l.name) {
		switch {
		case err == nil:
			l.failing.Store(0)
		case ofTarget(err):
			l.failing.Store(time.Now().UnixNano())
		}
	}
	return stream, err
}

// isFailing reports whether an agent did not reach its target lately.
func (l *link) isFailing() bool {
	at := l.failing.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < failingFor
}

// dialing is one connection that is wanted.
type dialing struct {
	server  *Server
	ways    []way
	name    tunnel.Name
	request tunnel.Request

	asked, waiting int
	// done says which of ways were asked.
	done []bool
	// agents are the instances that were asked.
	agents  []string
	results chan opened
}

// opened is what came of one try.
type opened struct {
	stream *mux.Stream
	err    error
}

// run asks one way after the other: the next one when one has failed for its own reasons, or is slow, and another agent when one does not
// reach the target. Nothing was sent to a target until then.
func (d *dialing) run(ctx context.Context) (*mux.Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.results, d.done = make(chan opened, len(d.ways)), make([]bool, len(d.ways))
	d.ask(ctx, nil)
	hedge := time.NewTimer(hedgeAfter + 2*d.ways[0].roundTrip())
	defer hedge.Stop()
	var why error
	for {
		select {
		case <-hedge.C:
			d.ask(ctx, nil)
		case r := <-d.results:
			d.waiting--
			if r.err == nil {
				go discard(d.results, d.waiting) // ends with ctx
				return r.stream, nil
			}
			if why == nil || !ofTarget(why) { // what a target says counts more than what became of a link
				why = r.err
			}
			d.ask(ctx, r.err)
			if d.waiting == 0 {
				return nil, why
			}
		}
	}
}

// ask asks the next way that may be better than one that failed; after is why that did, nil if it is only slow.
func (d *dialing) ask(ctx context.Context, after error) {
	if d.asked >= maxAsked || after != nil && !another(after) {
		return
	}
	for i := range d.ways {
		w := &d.ways[i]
		if d.done[i] || after != nil && ofTarget(after) && !d.fresh(w) {
			continue
		}
		d.done[i] = true
		d.agents = append(d.agents, w.agents...)
		d.asked++
		d.waiting++
		go func() { // ends with ctx
			stream, err := w.open(ctx, d.server, d.name, d.request)
			d.results <- opened{stream, err}
		}()
		return
	}
}

// fresh reports whether there is an agent at its end that was not asked.
func (d *dialing) fresh(w *way) bool {
	return slices.ContainsFunc(w.agents, func(agent string) bool { return !slices.Contains(d.agents, agent) })
}

// ofTarget reports whether an agent said that it does not reach the target.
func ofTarget(err error) bool {
	var said *mux.Error
	return errors.As(err, &said) && (said.Code == mux.Refused || said.Code == mux.Unreachable || said.Code == mux.Timeout)
}

// another reports whether another way may do what one did not: its link failed, it has a limit, its agent has gone, or does not reach the target.
func another(err error) bool {
	var said *mux.Error
	if !errors.As(err, &said) {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch said.Code {
	case mux.Draining, mux.Overloaded, mux.Internal, mux.Absent, mux.Broken, mux.Violated:
		return true
	}
	return ofTarget(err)
}

// discard closes streams that came too late.
func discard(results <-chan opened, n int) {
	for range n {
		if r := <-results; r.err == nil {
			r.stream.Reset(mux.Canceled, "another agent was quicker")
		}
	}
}
