package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/peers"
)

const (
	// beatenGrace is how long a link goes on that another has beaten, for streams that were on their way, and beatenCheck
	// how often it is looked whether it carries anything.
	beatenGrace, beatenCheck = 2 * time.Second, 500 * time.Millisecond
	// refusalTimeout is how long an agent may take to hear that its link is not wanted.
	refusalTimeout = 5 * time.Second
)

// errBeaten is why the link of a node's agent is not used.
var errBeaten = errors.New("another agent of this node has connected, which has a newer certificate or came later: one machine at a time can be a node. " +
	"If this one is the node, get it a new token, and end the other")

// errClosed is why no link is taken any more.
var errClosed = errors.New("this server ends")

// claim is that of an agent to be its node.
type claim struct {
	instance string
	peers.Standing
}

// over reports whether a claim is better than that of another agent: whose certificate was issued last, of those with the same one, such as copies of a
// disk, who came last, and of those who came together, whoever. Each server decides so, by what the others say of their agents; so all use the same one.
func (c claim) over(other claim) bool {
	if c.Issued != other.Issued {
		return c.Issued > other.Issued
	}
	before, after := slices.Contains(c.Beat, other.instance), slices.Contains(other.Beat, c.instance)
	switch { // clocks of servers differ: who was there when the other came knows it
	case before != after:
		return before
	case c.Came != other.Came:
		return c.Came > other.Came
	}
	return c.instance > other.instance
}

// claim is that of a link. s.mu is held.
func (l *link) claim() claim {
	return claim{l.info.Instance, peers.Standing{Issued: l.certificate.NotBefore.Unix(), Came: l.came, Beat: l.beat}}
}

// beats notes that the agent of a link has come after others, the last first: as many as other servers may be told of. It reports whether that is new. s.mu is held.
func (l *link) beats(others ...string) (news bool) {
	for _, other := range slices.Backward(others) {
		if other == l.info.Instance || slices.Contains(l.beat, other) {
			continue
		}
		l.beat = append([]string{other}, l.beat[:min(len(l.beat), peers.MaxBeat-1)]...)
		news = true
	}
	return news
}

// rivals are the agents of a node that other servers use. s.mu is held.
func (s *Server) rivals(name tunnel.Name) []claim {
	if s.mesh == nil {
		return nil
	}
	var rivals []claim
	for _, r := range s.mesh.Rivals(name) {
		rivals = append(rivals, claim{r.Instance, r.Standing})
	}
	return rivals
}

// contest decides which of a node's agents is the node, and returns why l is not taken. The others that it beats get
// nothing new, and end when they carry nothing. A cluster's agents are all used. s.mu is held.
func (s *Server) contest(l *link) (refused error) {
	if l.name.Node == "" {
		return nil
	}
	all := s.rivals(l.name)
	for _, other := range s.links[l.name] {
		if !other.beaten.Load() {
			all = append(all, other.claim())
		}
	}
	// An agent has come when its first link did; one that is new here comes after all that are known here, whatever their servers' clocks say.
	l.came = time.Now().UnixMilli()
	for _, c := range all {
		l.came = max(l.came, c.Came+1)
	}
	for _, c := range all {
		if c.instance == l.info.Instance {
			l.came = min(l.came, c.Came)
			l.beats(c.Beat...)
		}
	}
	mine := l.claim()
	for _, c := range all {
		if c.instance != l.info.Instance && c.over(mine) {
			return fmt.Errorf("%s: %w", l.name, errBeaten)
		}
	}
	for _, other := range s.links[l.name] {
		if !other.beaten.Swap(true) {
			go other.retire(other.info.Instance == l.info.Instance) // ends with its session
		}
	}
	for _, c := range all {
		l.beats(append([]string{c.instance}, c.Beat...)...)
	}
	return nil
}

// judge decides anew which agent of a node is the node, since another server says something else.
func (s *Server) judge(name tunnel.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.links[name]) == 0 {
		return
	}
	rivals := s.rivals(name)
	changed := false
	for _, l := range s.links[name] {
		for _, r := range rivals {
			switch {
			case l.beaten.Load() || r.instance == l.info.Instance:
			case r.over(l.claim()):
				l.beaten.Store(true)
				go l.retire(false) // ends with its session
				changed = true
			default:
				changed = l.beats(r.instance) || changed
			}
		}
	}
	if s.revive(name) || changed {
		s.tellPeers(name)
	}
}

// revive has the best of a node's links used again, when those are gone that had beaten it, here and elsewhere. It reports whether one is. s.mu is held.
func (s *Server) revive(name tunnel.Name) bool {
	rest := s.links[name]
	if name.Node == "" || len(rest) == 0 || slices.ContainsFunc(rest, func(l *link) bool { return !l.beaten.Load() }) {
		return false
	}
	best := rest[len(rest)-1]
	for _, l := range slices.Backward(rest) {
		if l.info.Instance != best.info.Instance && l.claim().over(best.claim()) {
			best = l
		}
	}
	for _, r := range s.rivals(name) {
		if r.instance != best.info.Instance && r.over(best.claim()) {
			return false
		}
	}
	best.beaten.Store(false)
	return true
}

// standing is what other servers compare the agent of a node by; nil of a cluster's. s.mu is held.
func (s *Server) standing(name tunnel.Name) *peers.Standing {
	if name.Node == "" {
		return nil
	}
	for _, l := range s.links[name] {
		if !l.beaten.Load() {
			standing := l.claim().Standing
			return &standing
		}
	}
	return nil
}

// retire ends a link that was beaten, once it carries nothing. same says that it was by another of the same agent, which knows.
func (l *link) retire(same bool) {
	check := time.NewTicker(beatenCheck)
	defer check.Stop()
	for began := time.Now(); ; {
		select {
		case <-l.session.Ended():
			return
		case <-check.C:
		}
		if !l.beaten.Load() {
			return
		}
		switch {
		case time.Since(began) < beatenGrace:
		case !same && l.session.Streams() == 0:
			refuse(context.Background(), l, fmt.Errorf("%s: %w", l.name, errBeaten))
			return
		case same && l.session.CloseIdle():
			return
		}
	}
}

// refuse tells an agent why its link is not wanted, and ends it when it has heard or the time is over. One that is not wanted
// because the server ends is to look for another at once.
func refuse(ctx context.Context, l *link, reason error) {
	if errors.Is(reason, errClosed) {
		_ = l.session.Close()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, refusalTimeout)
	defer cancel()
	if l.session.Tell(tunnel.News{Refused: reason.Error()}) == nil {
		select {
		case <-l.session.Ended():
		case <-ctx.Done():
		}
	}
	_ = l.session.Close()
}
