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

// silences remembers which members did not answer in time. For a while nobody asks such a member,
// and then one at a time, until it answers.
type silences struct {
	pause time.Duration

	mu sync.Mutex
	// members is guarded by mu. Guards let only members that exist be asked, so there are no more
	// than ever existed.
	members map[string]*silence
}

type silence struct {
	until  time.Time
	trying bool // somebody asks now
}

// of reports whether a member is not to be asked now.
func (s *silences) of(member string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[member].holds()
}

func (s *silence) holds() bool { return s != nil && (s.trying || time.Now().Before(s.until)) }

// try reports whether the caller may ask a member now. If so, it calls tried afterwards.
func (s *silences) try(member string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[member]
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

func (s *silences) tried(member string, what outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m := s.members[member]; {
	case what == silent:
		s.members[member] = &silence{until: time.Now().Add(s.pause)}
	case what == answered:
		delete(s.members, member)
	case m != nil:
		m.trying = false
	}
}
