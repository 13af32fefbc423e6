package propagation

import (
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
	// complete: every object was looked at.
	complete bool
	cells    map[string]*tally
}

type tally struct {
	Tally
	// generations are those of the objects, summed up: the same number counted of another
	// generation is no rest.
	generations int64
	// place of the cell as it was then, and the objects that have not arrived there.
	place  placement.Candidate
	astray map[objectKey]bool
}

// Census returns what is in a cell. known is false while some objects of the namespace were not looked
// at, as after a start.
func (e *Engine) Census(namespace, cell string) (t Tally, known bool) {
	c := e.censusOf(namespace, censusAge)
	if counted := c.cells[cell]; counted != nil {
		t = counted.Tally
	}
	return t, c.complete
}

// othersArrived reports whether everything that moves with the cell that a target is, but for the
// object itself, is known to have arrived.
func (e *Engine) othersArrived(v *view, target string) bool {
	cell, ok := cellOf(v.topologyOf(), v.key.namespace, target)
	if !ok {
		return true // nothing else moves together
	}
	now, err := e.Cells.Cells(v.key.namespace).Get(cell)
	if err != nil {
		return false
	}
	c := e.censusOf(v.key.namespace, censusAge)
	counted := c.cells[cell]
	if place := v.object().Cell(now); counted == nil || counted.place.Member != place.Member || counted.place.Namespace != place.Namespace {
		c = e.censusOf(v.key.namespace, 0)
		counted = c.cells[cell]
	}
	if !c.complete || counted == nil {
		return false
	}
	others := len(counted.astray)
	if counted.astray[v.key] {
		others--
	}
	return others == 0
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
	e.censuses[namespace] = taken
	return taken
}

func (e *Engine) takeCensus(namespace string) *census {
	c := &census{taken: e.now(), complete: e.knowsAllTypes(), cells: map[string]*tally{}}
	cells, err := e.Cells.Cells(namespace).List(labels.Everything())
	if err != nil {
		return &census{taken: c.taken}
	}
	for _, cell := range cells {
		c.cells[cell.Name] = &tally{place: reach.Object{TopologyType: v1beta2.TopologyCell, Namespace: namespace}.Cell(cell)}
	}
	if len(cells) == 0 {
		return c
	}
	for _, k := range e.runningKinds() {
		if !k.federatedNamespaced || k.onlyNarrows {
			continue
		}
		objects, err := k.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err != nil || !k.informer.HasSynced() {
			c.complete = false
			continue
		}
		for _, object := range objects {
			c.count(e, k, object.(*v1beta2.FederatedObject))
		}
	}
	return c
}

// knowsAllTypes reports whether every FederatedTypeConfig was looked at.
func (e *Engine) knowsAllTypes() bool {
	types, err := e.Types.List(labels.Everything())
	if err != nil {
		return false
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, t := range types {
		if !e.looked[t.Name] {
			return false
		}
	}
	return true
}

// count adds one object to the cells in which it is.
func (c *census) count(e *Engine, k *kind, federated *v1beta2.FederatedObject) {
	key := objectKey{k.name, federated.Namespace, federated.Name}
	m := e.recall(key)
	if m == nil || m.uid != federated.UID {
		c.complete = false
		return
	}
	v := &view{key: key, kind: k, federated: federated}
	m.mu.Lock()
	defer m.mu.Unlock()
	paused := k.paused && federated.DeletionTimestamp == nil // nobody moves it, or decides on it
	if !m.decided && !paused {
		c.complete = false
		return
	}
	left := map[string]bool{}
	for slot, record := range m.records {
		if isFormerSlot(slot) && record.Hash != "" && record.State != v1beta2.TargetAbandoned { // what was given up nobody waits for
			left[record.Name] = true
		}
	}
	for slot, record := range m.records {
		cell, ok := cellOf(v.topologyOf(), key.namespace, record.Name)
		t := c.cells[cell]
		if !ok || t == nil || isFormerSlot(slot) {
			continue
		}
		held := record.Hash != "" || left[slot]
		if held {
			t.Held++
		}
		if held || record.State != v1beta2.TargetNotFound {
			t.add(record, left[slot])
			t.generations += federated.Generation
		}
		if v.isAstray(t.place, record, left[slot], m.arrived[slot]) {
			t.stray(key)
		}
	}
	c.countLeft(v, m, left)
}

// countLeft adds an object to cells of which only a place that they left is recorded. m.mu is held.
func (c *census) countLeft(v *view, m *memory, left map[string]bool) {
	for target := range left {
		cell, ok := cellOf(v.topologyOf(), v.key.namespace, target)
		if _, known := m.records[target]; known || !ok || c.cells[cell] == nil {
			continue
		}
		c.cells[cell].Held++
		c.cells[cell].add(v1beta2.TargetStatus{State: v1beta2.TargetWaitingForRemoval}, true)
	}
}

// isAstray reports whether what is in a target has not arrived where the cell is. What is on its way out of
// the target is not on its way to another place.
func (v *view) isAstray(place placement.Candidate, record v1beta2.TargetStatus, left, arrived bool) bool {
	if left {
		return !arrived
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

func (t *tally) stray(key objectKey) {
	if t.astray == nil {
		t.astray = map[objectKey]bool{}
	}
	t.astray[key] = true
}
