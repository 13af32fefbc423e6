package closure

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/edgehub/topology"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// places reads in which units nodes are, while that is needed. need and end are called by one goroutine at a time.
type places struct {
	*Closure
	// stop ends the reading; nil while there is none.
	stop func()

	// What follows is guarded by the closure's mu.

	edge map[string]*v1alpha1.EdgeUnit
	// units are of the nodes that have one, and warned is what was wrong with how nodes are in theirs.
	units, warned map[string]string
}

// need has units be read, and waits until they are known, or it is known that they will not be, for a while.
func (p *places) need(ctx context.Context) {
	if p.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	nodes := p.read(ctx, &reading, nodesKey, isForbidden, "the node may not read all nodes, and a Service that is closed to its unit is closed to the node alone", p.setNodes, p.changeNodes)
	units := p.read(ctx, &reading, unitsKey, p.config.Refused, "", p.setUnits, p.changeUnits)
	p.stop = func() { cancel(); reading.Wait() }
	await(ctx, nodes, units)
}

// end has units not be read any more.
func (p *places) end() {
	if p.stop == nil {
		return
	}
	p.stop()
	p.stop = nil
	p.problem(nodesKey.Resource, "")
}

// read reads a view until ctx ends. ready reports whether it has, or may not, as isRefused says; of the latter refused is the problem, unless it is empty.
func (p *places) read(ctx context.Context, reading *sync.WaitGroup, key view.Key, isRefused func(error) bool, refused string, all func([]*view.Object), some func([]view.Event)) (ready func() bool) {
	r := &reader{Closure: p.Closure, key: key}
	var has atomic.Bool
	reading.Go(func() { // ends with ctx
		r.read(ctx, func(list []*view.Object) { all(list); has.Store(true) }, some, func() {})
	})
	may := func() bool {
		err := r.hindered()
		if isRefused(err) {
			if refused != "" {
				p.problem(key.Resource, refused+": "+err.Error())
			}
			return false
		}
		if err == nil {
			p.problem(key.Resource, "")
		}
		return true
	}
	reading.Go(func() { watchRight(ctx, may) }) // ends with ctx
	return func() bool { return has.Load() || !may() }
}

// watchRight looks whether something may be read, until ctx ends.
func watchRight(ctx context.Context, may func() bool) {
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			may()
		}
	}
}

// await waits until all are ready, for a while.
func await(ctx context.Context, ready ...func() bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for _, is := range ready {
		for !is() {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}
}

// setNodes has nodes be those of a list, and no others.
func (p *places) setNodes(list []*view.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := maps.Clone(p.units)
	for _, o := range list {
		delete(gone, o.Name)
		p.put(o)
	}
	for name := range gone {
		delete(p.warned, name)
		p.move(name, "")
	}
	p.again()
}

// changeNodes has some be otherwise.
func (p *places) changeNodes(events []view.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		switch e.Type {
		case view.Bookmark:
		case view.Deleted:
			delete(p.warned, e.Object.Name)
			p.move(e.Object.Name, "")
		default:
			p.put(e.Object)
		}
	}
	p.again()
}

// put has a node be where its labels say. mu must be held.
func (p *places) put(o *view.Object) {
	var node struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if utiljson.Unmarshal(o.Body, &node) != nil {
		return // it was read once: this does not happen
	}
	unit, err := topology.UnitOf(node.Metadata.Labels, slices.Collect(maps.Values(p.edge)))
	switch {
	case err == nil:
		delete(p.warned, o.Name)
	case p.warned[o.Name] != err.Error():
		p.warned[o.Name] = err.Error()
		p.config.Logger.Warn("Read a node that is in more than one unit", "node", o.Name, "err", err)
	}
	p.move(o.Name, unit)
}

// move has a node be in a unit, "" for none. mu must be held.
func (p *places) move(node, unit string) {
	if p.units[node] = unit; unit == "" {
		delete(p.units, node)
	}
	p.affect(p.topology.SetNode(node, unit))
}

// setUnits has EdgeUnits be those of a list, and no others.
func (p *places) setUnits(list []*view.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edge = map[string]*v1alpha1.EdgeUnit{}
	for _, o := range list {
		p.putUnit(o)
	}
	p.putAll()
}

// changeUnits has some be otherwise.
func (p *places) changeUnits(events []view.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		switch e.Type {
		case view.Bookmark:
		case view.Deleted:
			delete(p.edge, e.Object.Name)
		default:
			p.putUnit(e.Object)
		}
	}
	p.putAll()
}

// putUnit has an EdgeUnit be what it says. mu must be held.
func (p *places) putUnit(o *view.Object) {
	unit := &v1alpha1.EdgeUnit{}
	if err := utiljson.Unmarshal(o.Body, unit); err != nil {
		p.config.Logger.Warn("Read an EdgeUnit that is none", "edgeUnit", o.Name, "err", err)
		delete(p.edge, o.Name)
		return
	}
	p.edge[o.Name] = unit
}

// putAll has all nodes be where their labels and EdgeUnits say. mu must be held.
func (p *places) putAll() {
	nodes, _, err := p.config.View(nodesKey).List()
	if err != nil {
		return // they come, or may not be read
	}
	for _, o := range nodes {
		p.put(o)
	}
	p.again()
}
