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
	first   atomic.Int64 // when one changed since this was 0

	mu    sync.Mutex
	waits map[string]*sighting // by the name of the object
}

// sighting waits for one version of one object, or for its end if that has no mark.
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
	s.first.CompareAndSwap(0, now.UnixNano())
	if e.Before == nil {
		s.created.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.waits[e.Name]
	if wait == nil || wait.ignored[e.Member.Name()] || !wait.isFor(e.After) {
		return
	}
	wait.seen[e.Member.Name()+"/"+e.Namespace] = true
	if len(wait.seen) == wait.wanted {
		wait.at = now
		close(wait.done)
		delete(s.waits, e.Name)
	}
}

// isFor reports whether the object as it is now, nil if it is gone, is what is waited for.
func (w *sighting) isFor(object []byte) bool {
	if w.mark == nil {
		return object == nil
	}
	return bytes.Contains(object, w.mark)
}

// expect begins to wait until a number of targets has a round of an object. Members that are
// ignored do not count.
func (s *sightings) expect(object string, round, wanted int, ignored map[string]bool) *sighting {
	return s.wait(object, &sighting{mark: fmt.Appendf(nil, `"round":"%d"`, round), wanted: wanted, ignored: ignored})
}

// expectNone begins to wait until one target does not have an object any more.
func (s *sightings) expectNone(object string) *sighting {
	return s.wait(object, &sighting{wanted: 1})
}

func (s *sightings) wait(object string, wait *sighting) *sighting {
	wait.seen, wait.done = map[string]bool{}, make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
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
