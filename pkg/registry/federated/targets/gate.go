package targets

import (
	"context"
	"sync"
	"time"
)

// gate bounds how many targets are asked for at a time, in all, and in each member: a member that
// is slow has only its share of the whole.
type gate struct {
	all    chan struct{} // one token for each that is asked
	ofEach int

	mu    sync.Mutex
	doors map[string]*door // guarded by mu: of members with somebody inside or in front
}

// door is the part of a gate that is one member's.
type door struct {
	inside chan struct{} // one token for each that is asked
	users  int           // guarded by gate.mu: those inside and in front
}

func newGate(inAll, ofEach int) *gate {
	return &gate{all: make(chan struct{}, inAll), ofEach: ofEach, doors: map[string]*door{}}
}

// enter waits for room until ctx ends, first at the member's door, so that who waits for a slow one
// takes no room from others. The caller calls leave if ok.
func (g *gate) enter(ctx context.Context, member string) (leave func(), ok bool) {
	d := g.come(member)
	select {
	case d.inside <- struct{}{}:
	case <-ctx.Done():
		g.goAway(member, d)
		return nil, false
	}
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-d.inside
		g.goAway(member, d)
		return nil, false
	}
	return func() {
		<-g.all
		<-d.inside
		g.goAway(member, d)
	}, true
}

func (g *gate) come(member string) *door {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[member]
	if d == nil {
		d = &door{inside: make(chan struct{}, g.ofEach)}
		g.doors[member] = d
	}
	d.users++
	return d
}

func (g *gate) goAway(member string, d *door) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d.users--; d.users == 0 {
		delete(g.doors, member)
	}
}

// silences remembers which members did not answer in time, for a type each: one type may have a webhook in its
// way that hangs, which is no reason to ask the member for nothing. For a while nobody asks such a member for it, and
// then one at a time, until it answers.
type silences struct {
	pause time.Duration

	mu sync.Mutex
	// held is guarded by mu. Guards let only members that exist be asked, so there are no more
	// than ever existed, for each type that is federated.
	held map[ear]*silence
}

// ear is what is asked: a member, for a type.
type ear struct{ member, resource string }

type silence struct {
	until  time.Time
	trying bool // somebody asks now
}

// of reports whether a member is not to be asked for a type now.
func (s *silences) of(e ear) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[e].holds()
}

func (s *silence) holds() bool { return s != nil && (s.trying || time.Now().Before(s.until)) }

// try reports whether the caller may ask now. If so, it calls tried afterwards.
func (s *silences) try(e ear) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.held[e]
	if m.holds() {
		return false
	}
	if m != nil {
		m.trying = true
	}
	return true
}

// outcome is what came of asking a member.
type outcome int

const (
	answered outcome = iota // with whatever
	silent                  // not in time
	givenUp                 // nobody wants to know any more
)

func (s *silences) tried(e ear, what outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m := s.held[e]; {
	case what == silent:
		s.held[e] = &silence{until: time.Now().Add(s.pause)}
	case what == answered:
		delete(s.held, e)
	case m != nil:
		m.trying = false
	}
}
