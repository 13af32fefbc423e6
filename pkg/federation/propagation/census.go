package propagation

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// censusAge is how old a census may be that is asked for.
const censusAge = time.Second

// Tally counts the federated objects of a cell.
type Tally struct {
	// Objects are in the cell, or are to be. Of OutOfDate ones the cell does not run what the spec says,
	// and Moving ones are in a place too that the cell left.
	Objects, OutOfDate, Moving int
	// Held are those of which something was written to the cell, or to a place that it left, and is
	// not known to be gone.
	Held int
	// Waits names what a cell that moves, or is being deleted, waits for; empty if it does not.
	Waits string
	// Health is that of the worst of them; empty if nothing is known of any.
	Health v1beta2.Health
}

// Said is what the status of the cell says of that.
func (t Tally) Said() federationv1alpha1.CellObjects {
	return federationv1alpha1.CellObjects{
		Total: int32(t.Objects), OutOfDate: int32(t.OutOfDate), Moving: int32(t.Moving), Held: int32(t.Held), Health: string(t.Health),
	}
}

// census is what the engine remembers of the objects of a namespace.
type census struct {
	taken time.Time
	// complete: every object was looked at. If not, lacks says why, and since when it is so. lacksObjects: of a type
	// that is listed some were not, which takes a moment.
	complete     bool
	lacks        string
	lacksObjects bool
	since        time.Time
	cells        map[string]*tally
}

type tally struct {
	Tally
	name string
	// generations are those of the objects, summed up: the same number counted of another
	// generation is no rest.
	generations int64
	// place of the cell as it was then, and whether it is being deleted.
	place    placement.Candidate
	draining bool
	// astray are the objects that have not arrived there, behind those that have arrived, and not left another place
	// yet, and held those of which something is in the cell that is being deleted.
	astray, behind, held stragglers
}

// Census returns what is in a cell. known is false while some objects of the namespace were not looked
// at, as after a start; why says which, if that lasts.
func (e *Engine) Census(namespace, cell string) (t Tally, known bool, why string) {
	c := e.censusOf(namespace, censusAge)
	now, err := e.Cells.Cells(namespace).Get(cell)
	if draining := err == nil && now.DeletionTimestamp != nil; draining && (c.cells[cell] == nil || !c.cells[cell].draining) {
		c = e.censusOf(namespace, 0) // it may have been filled just before it was deleted
	}
	if counted := c.cells[cell]; counted != nil {
		t = counted.Tally
	}
	return t, c.complete, c.lasting()
}

// lack notes that something was not looked at.
func (c *census) lack(what string) {
	c.complete, c.lacks = false, cmp.Or(c.lacks, what)
}

// lackObject notes that an object was not looked at. Which one it is differs from one census to the next, and whoever waits
// would say it.
func (c *census) lackObject() {
	c.lack("some federated objects of the namespace were not looked at yet")
	c.lacksObjects = true
}

// lasting is what was not looked at for so long that it is told.
func (c *census) lasting() string {
	if c.complete || c.taken.Sub(c.since) < unlistedPatience {
		return ""
	}
	return c.lacks
}

// othersArrived reports whether everything that moves with the cell that a target is, but for the
// object itself, is known to have arrived. If not, why continues a sentence with what has not, or with what is not known, if that
// takes a while.
func (e *Engine) othersArrived(v *view, target string) (arrived bool, why string) {
	cell, ok := cellOf(v.topologyOf(), v.key.namespace, target)
	if !ok {
		return true, "" // nothing else moves together
	}
	now, err := e.Cells.Cells(v.key.namespace).Get(cell)
	if err != nil {
		return false, ""
	}
	c := e.censusOf(v.key.namespace, censusAge)
	counted := c.cells[cell]
	if place := v.object().Cell(now); counted == nil || counted.place.Member != place.Member || counted.place.Namespace != place.Namespace {
		c = e.censusOf(v.key.namespace, 0)
		counted = c.cells[cell]
	}
	if counted == nil {
		return false, ""
	}
	other := counted.astray.but(v.key)
	switch {
	case other != nil && c.taken.Sub(counted.astray.since) >= namedAfter:
		return false, fmt.Sprintf("; it waits for %s (%s)", other.name(), other.word())
	case other == nil && c.complete:
		return true, ""
	}
	if unknown := c.lasting(); unknown != "" {
		return false, ": " + unknown
	}
	return false, ""
}

// cellOf returns the cell that a target of that topology type is.
func cellOf(topologyType, namespace, target string) (cell string, ok bool) {
	if topology.Base(topologyType) == v1beta2.TopologyCell {
		return target, true
	}
	cell, of, ok := topology.Split(v1beta2.TopologyCell, target)
	return cell, ok && topology.Base(topologyType) == v1beta2.TopologyCluster && of == namespace
}

// censusOf returns a census that is at most so old. One is taken at a time: who waits for it has the one that was begun
// since he asked.
func (e *Engine) censusOf(namespace string, age time.Duration) *census {
	asked := e.now()
	recent := func() *census {
		e.mu.RLock()
		defer e.mu.RUnlock()
		if known := e.censuses[namespace]; known != nil && asked.Sub(known.taken) < age {
			return known
		}
		return nil
	}
	if known := recent(); known != nil {
		return known
	}
	e.counting.Lock()
	defer e.counting.Unlock()
	age = max(age, 1) // as old as the question
	if known := recent(); known != nil {
		return known
	}
	taken := e.takeCensus(namespace)
	e.mu.Lock()
	defer e.mu.Unlock()
	taken.follow(e.censuses[namespace])
	e.censuses[namespace] = taken
	return taken
}

// follow completes a census that comes after another one; nil if it is the first.
func (c *census) follow(earlier *census) {
	if c.since = c.taken; earlier != nil && !earlier.complete {
		c.since = earlier.since
	}
	for name, t := range c.cells {
		var before *stragglers
		if earlier != nil && earlier.cells[name] != nil {
			before = &earlier.cells[name].astray
		}
		t.astray.follow(before, c.taken)
		t.behind.follow(nil, c.taken)
		t.held.follow(nil, c.taken)
		if t.Waits = cmp.Or(t.astray.String(), t.behind.String()); t.draining {
			t.Waits = t.held.String()
		}
	}
}

func (e *Engine) takeCensus(namespace string) *census {
	c := &census{taken: e.now(), complete: true, cells: map[string]*tally{}}
	cells, err := e.Cells.Cells(namespace).List(labels.Everything())
	if err != nil {
		return &census{taken: c.taken, lacks: err.Error()}
	}
	for _, cell := range cells {
		c.cells[cell.Name] = &tally{
			name: cell.Name, draining: cell.DeletionTimestamp != nil,
			place: reach.Object{TopologyType: v1beta2.TopologyCell, Namespace: namespace}.Cell(cell),
		}
	}
	if len(cells) == 0 {
		return c
	}
	kinds, unlisted := e.listing()
	for _, t := range unlisted {
		c.lack(t.String())
	}
	for _, k := range kinds {
		if !k.federatedNamespaced || k.onlyNarrows {
			continue
		}
		if !k.isListed() { // its FederatedTypeConfig may be gone, and it ends in a moment
			c.lack(fmt.Sprintf("the objects of the type %q are not known", k.name))
		}
		objects, err := k.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			continue // never: the index is there from the start
		}
		for _, object := range objects {
			c.count(e, k, object.(*v1beta2.FederatedObject))
		}
	}
	return c
}

// count adds one object to the cells in which it is.
func (c *census) count(e *Engine, k *kind, federated *v1beta2.FederatedObject) {
	v := &view{key: objectKey{k.name, federated.Namespace, federated.Name}, kind: k, federated: federated}
	paused := k.paused && federated.DeletionTimestamp == nil // nobody moves it, or decides on it
	m := e.recall(v.key)
	if m == nil || m.uid != federated.UID {
		c.lackObject()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.decided && !paused {
		c.lackObject()
		return
	}
	left := map[string]v1beta2.TargetStatus{}
	for slot, record := range m.records {
		if isFormerSlot(slot) && record.Hash != "" && record.State != v1beta2.TargetAbandoned { // what was given up nobody waits for
			left[record.Name] = record
		}
	}
	for slot, record := range m.records {
		t := c.cellOf(v, record.Name)
		if t == nil || isFormerSlot(slot) {
			continue
		}
		one := straggler{v.key, k.spec.FederatedType.Kind, t.name, paused, record}
		before, moves := left[slot]
		if held := record.Hash != "" || moves; held || record.State != v1beta2.TargetNotFound {
			t.add(record, moves || m.onward[slot])
			t.generations += federated.Generation
		}
		if record.Hash != "" {
			t.hold(one)
		} else if moves {
			one.record = before
			t.hold(one)
		}
		switch {
		case v.isAstray(t.place, record, moves, m):
			t.astray.add(one)
		case moves:
			one.record = before
			t.behind.add(one)
		}
	}
	c.countLeft(v, m, left)
}

// cellOf returns the tally of the cell that a target is, nil if it is none.
func (c *census) cellOf(v *view, target string) *tally {
	cell, ok := cellOf(v.topologyOf(), v.key.namespace, target)
	if !ok {
		return nil
	}
	return c.cells[cell]
}

// countLeft adds an object to cells of which only a place that they left is recorded. m.mu is held.
func (c *census) countLeft(v *view, m *memory, left map[string]v1beta2.TargetStatus) {
	for target, record := range left {
		t := c.cellOf(v, target)
		if _, known := m.records[target]; known || t == nil {
			continue
		}
		one := straggler{v.key, v.kind.spec.FederatedType.Kind, t.name, false, record}
		t.hold(one)
		t.behind.add(one)
		t.add(v1beta2.TargetStatus{State: v1beta2.TargetWaitingForRemoval}, true)
	}
}

// isAstray reports whether what is in a target has not arrived where the cell is. What is on its way out of
// the target is not on its way to another place, unless it leaves before it enters. m.mu is held.
func (v *view) isAstray(place placement.Candidate, record v1beta2.TargetStatus, left bool, m *memory) bool {
	switch {
	case m.onward[record.Name]:
		return true
	case left:
		return !m.arrived[record.Name]
	}
	return record.Hash != "" && v.kind.ofReach().Moved(v.object(), place, record) && record.State != v1beta2.TargetWaitingForRemoval
}

// badness orders words on the health of objects.
var badness = map[v1beta2.Health]int{
	v1beta2.HealthHealthy: 1, v1beta2.HealthSuspended: 1, v1beta2.HealthProgressing: 2, v1beta2.HealthUnknown: 3, v1beta2.HealthDegraded: 4,
}

func (t *Tally) add(record v1beta2.TargetStatus, left bool) {
	t.Objects++
	if !record.State.UpToDate() || left {
		t.OutOfDate++
	}
	if left {
		t.Moving++
	}
	health := record.Health
	if health == v1beta2.HealthSuspended {
		health = v1beta2.HealthHealthy
	}
	if badness[health] > badness[t.Health] {
		t.Health = health
	}
}

// hold counts an object of which something is in the cell, or in a place that it left.
func (t *tally) hold(one straggler) {
	if t.Held++; t.draining {
		t.held.add(one)
	}
}
