package closure

import (
	"context"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// seer is a view of EndpointSlices as the node sees them.
type seer struct {
	*Closure
	derived *view.Derived
	source  *view.View
	cancel  context.CancelFunc
	used    time.Time // guarded by mu
}

// see returns what of a view of EndpointSlices the node sees; nil if that is not known.
func (c *Closure) see(source *view.View) *view.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known || c.ctx == nil {
		return nil
	}
	s := c.seen[source]
	if s == nil {
		ctx, cancel := context.WithCancel(c.ctx)
		s = &seer{Closure: c, derived: view.Derive(source), source: source, cancel: cancel}
		c.seen[source] = s
		if moved := s.sync(); moved != nil {
			c.seers.Go(func() { s.run(ctx, moved) }) // ends with ctx
		}
	}
	s.used = time.Now()
	if _, complete := s.derived.View.Version(); !complete {
		return nil // the source was forgotten just now
	}
	return s.derived.View
}

// run has it see what becomes of its source, until ctx ends, or the source is forgotten.
func (s *seer) run(ctx context.Context, moved <-chan struct{}) {
	for moved != nil {
		select {
		case <-ctx.Done():
			return
		case <-moved:
		}
		s.mu.Lock()
		if moved = nil; ctx.Err() == nil {
			moved = s.sync()
		}
		s.mu.Unlock()
	}
}

// sync has it see what its source has, and everybody what that changes. It returns nil if the source was forgotten. mu must be held.
func (s *seer) sync() (moved <-chan struct{}) {
	moved, err := s.derived.Sync(s)
	if err != nil {
		s.end()
	}
	s.again()
	return moved
}

// end has nobody see by it any more. mu must be held.
func (s *seer) end() {
	s.cancel()
	delete(s.seen, s.source)
	s.derived.End(s)
	s.again()
}

// again has what is affected be seen by everybody as it is now. mu must be held.
func (c *Closure) again() {
	if len(c.affected) == 0 {
		return
	}
	for _, s := range c.seen {
		s.derived.Again(s, c.affected)
	}
	c.affected = nil
}

// affect notes whose EndpointSlices are to be seen anew. mu must be held.
func (c *Closure) affect(services []string) {
	for _, service := range services {
		c.affected = append(c.affected, c.topology.Slices(service)...)
	}
}

// newest returns what others have of an EndpointSlice, the newest; nil if none has it. mu must be held.
func (s *seer) newest(name string) (newest *view.Object) {
	for _, other := range s.seen {
		if o := other.derived.Has(name); other != s && o != nil && (newest == nil || o.Version > newest.Version) {
			newest = o
		}
	}
	return newest
}

// Put implements view.Lens. The topology knows the newest of what all have.
func (s *seer) Put(o *view.Object) {
	if other := s.newest(o.Name); other == nil || o.Version >= other.Version {
		s.tell(o)
	}
}

// tell has the topology know an EndpointSlice as it is corrected: whether a place has ready endpoints is decided by what is shown.
func (s *seer) tell(o *view.Object) {
	affected, err := s.topology.SetSlice(s.config.Correct(o.Body))
	if err != nil {
		s.config.Logger.Error("Failed to read an EndpointSlice", "endpointSlice", o.Name, "err", err)
	}
	s.affect(affected)
}

// Remove implements view.Lens.
func (s *seer) Remove(name string) {
	if other := s.newest(name); other != nil {
		s.tell(other)
		return
	}
	s.affect(s.topology.DeleteSlice(name))
}

// See implements view.Lens. What is no EndpointSlice is none to whoever reads it, too.
func (s *seer) See(o *view.Object) []byte {
	body, err := s.topology.Filter(o.Body)
	if err != nil {
		return o.Body
	}
	return s.config.Correct(body)
}
