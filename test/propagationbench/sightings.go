package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/test/simulation"
)

// sightings watch members for what arrives there.
type sightings struct {
	created atomic.Int64 // objects of the benchmark, in all members
	last    atomic.Int64 // when a member changed last, in nanoseconds since 1970

	mu    sync.Mutex
	waits map[string]*sighting // by the name of the object
}

// sighting waits for one version of one object.
type sighting struct {
	mark    []byte
	wanted  int
	ignored map[string]bool // members
	seen    map[string]bool // member/namespace
	done    chan struct{}
	at      time.Time // when the last one was seen; to be read once done is closed
}

// objectPrefix begins the names of all objects of the benchmark.
const objectPrefix = "bench-"

// see is told of every change in a member.
func (s *sightings) see(e simulation.Event) {
	if e.Resource != simulation.ConfigMaps || !strings.HasPrefix(e.Name, objectPrefix) {
		return
	}
	now := time.Now()
	s.last.Store(now.UnixNano())
	if e.Before == nil {
		s.created.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.waits[e.Name]
	if wait == nil || wait.ignored[e.Member.Name()] || !bytes.Contains(e.After, wait.mark) {
		return
	}
	wait.seen[e.Member.Name()+"/"+e.Namespace] = true
	if len(wait.seen) == wait.wanted {
		wait.at = now
		close(wait.done)
		delete(s.waits, e.Name)
	}
}

// expect begins to wait until a number of targets has a round of an object. Members that are
// ignored do not count.
func (s *sightings) expect(object string, round, wanted int, ignored map[string]bool) *sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := &sighting{
		mark: fmt.Appendf(nil, `"round":"%d"`, round), wanted: wanted, ignored: ignored,
		seen: map[string]bool{}, done: make(chan struct{}),
	}
	if s.waits == nil {
		s.waits = map[string]*sighting{}
	}
	s.waits[object] = wait
	return wait
}

// patience is how long anything may take before the benchmark gives up.
const patience = 10 * time.Minute

func (s *sightings) await(ctx context.Context, wait *sighting) (time.Time, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-timer.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Time{}, fmt.Errorf("%d of %d targets have not got the change within %s", wait.wanted-len(wait.seen), wait.wanted, patience)
	case <-wait.done:
		return wait.at, nil
	}
}
