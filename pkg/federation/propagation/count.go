package propagation

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Counts of cells are written into their status: a write for each cell that an object is in, whenever
// something else is counted. So they are written late. What changes and is back within moments, as while an
// object is updated in a thousand cells, is not written at all.
const (
	// recount is how often those namespaces are counted in which something happened. What is counted
	// twice in a row, of objects that nobody changed in between, is told.
	recount = 2 * time.Second
	// mostUnrest is how long a cell says something that is not so any more while its count goes on changing.
	mostUnrest = 10 * time.Second
	// mostTold bounds how many cells are told of after each recount: a hundred a second.
	mostTold = 200
	// seldom is after how many recounts those namespaces are looked at again of which all is known but the objects of types
	// that cannot be listed.
	seldom = 10
	// headStart is by how much cells in which something is wrong come before the others that wait.
	headStart = 10 * time.Second
)

// cellKey names a cell.
type cellKey struct{ namespace, name string }

// byCell has something of cells, by namespace and name: a look at one namespace costs nothing for the cells of others.
type byCell[V any] map[string]map[string]V

func (b byCell[V]) get(cell cellKey) (value V, there bool) {
	value, there = b[cell.namespace][cell.name]
	return value, there
}

func (b byCell[V]) set(cell cellKey, value V) {
	if b[cell.namespace] == nil {
		b[cell.namespace] = map[string]V{}
	}
	b[cell.namespace][cell.name] = value
}

func (b byCell[V]) remove(cell cellKey) {
	if delete(b[cell.namespace], cell.name); len(b[cell.namespace]) == 0 {
		delete(b, cell.namespace)
	}
}

// drop removes cells of a namespace.
func (b byCell[V]) drop(namespace string, which func(name string, value V) bool) {
	maps.DeleteFunc(b[namespace], which)
	if len(b[namespace]) == 0 {
		delete(b, namespace)
	}
}

// count is what one look finds of a cell.
type count struct {
	Tally
	generations int64
	// said is what the status of the cell says; nil: nothing. moving: it says that the cell moves.
	said   *federationv1alpha1.CellObjects
	moving bool
	// waits is what was told of what it waits for; nil: nothing was since the start.
	waits *string
	// deleting: the cell is, and waits until nothing is held.
	deleting bool
}

// isSaid reports whether the status of the cell says what is counted.
func (c count) isSaid() bool { return c.said != nil && *c.said == c.Said() && c.saysWaits() }

// saysWaits reports whether the cell says what it waits for, as far as that is known: after a start it may say what was so before.
func (c count) saysWaits() bool {
	if c.waits == nil {
		return c.Waits == "" && !c.moving
	}
	return *c.waits == c.Waits
}

// isBad reports whether something is wrong with the objects of the cell.
func (c count) isBad() bool {
	return c.OutOfDate > 0 || badness[c.Health] > badness[v1beta2.HealthProgressing]
}

// discrepancy is that a cell says something else than what is counted.
type discrepancy struct {
	since time.Time
	seen  count // at the last look
	ripe  bool
}

// rank is when it is told, beside others.
func (d discrepancy) rank() time.Time {
	if d.seen.isBad() {
		return d.since.Add(-headStart)
	}
	return d.since
}

// teller decides of which cells the counts are told. It is used by one goroutine.
type teller struct{ byCell[discrepancy] }

func newTeller() teller { return teller{byCell[discrepancy]{}} }

// look compares what is counted of all cells of a namespace with what they say.
func (t teller) look(namespace string, now time.Time, counts map[string]count) {
	t.drop(namespace, func(name string, _ discrepancy) bool {
		seen, there := counts[name]
		return !there || seen.isSaid()
	})
	for name, seen := range counts {
		if seen.isSaid() {
			continue
		}
		cell := cellKey{namespace, name}
		d := discrepancy{since: now, seen: seen}
		if before, known := t.get(cell); known {
			d.since = before.since
			d.ripe = before.seen.Tally == seen.Tally && before.seen.generations == seen.generations || now.Sub(d.since) >= mostUnrest
		}
		d.ripe = d.ripe || seen.deleting && seen.Held == 0
		t.set(cell, d)
	}
}

// forget tells of no cell of a namespace.
func (t teller) forget(namespace string) { delete(t.byCell, namespace) }

// news is a cell to be told of.
type news struct {
	cellKey
	discrepancy
}

// due returns the cells to be told of now, which are then taken to say it.
func (t teller) due() map[cellKey]Tally {
	var all []news
	for namespace, cells := range t.byCell {
		for name, d := range cells {
			if d.ripe {
				all = append(all, news{cellKey{namespace, name}, d})
			}
		}
	}
	slices.SortFunc(all, func(a, b news) int {
		return cmp.Or(a.rank().Compare(b.rank()), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	due := map[cellKey]Tally{}
	for _, n := range all[:min(len(all), mostTold)] {
		due[n.cellKey] = n.seen.Tally
		t.remove(n.cellKey)
	}
	return due
}

// stir notes that something happened to an object of a namespace.
func (e *Engine) stir(namespace string) {
	if e.OnCensus == nil || namespace == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stirred[namespace] = true
}

// counter counts what is in cells, and tells of it. It is used by one goroutine.
type counter struct {
	*Engine
	waiting  teller
	unlisted unlistedWatch
	// partly are the namespaces of which all is known but the objects of types that cannot be listed.
	partly map[string]bool
	looks  int
	// lasting is what is not known for long, as was told of cells that wait. room is how many cells may be told of that yet
	// after this recount.
	lasting byCell[string]
	room    int
}

// newCounter returns a counter that looks at all cells first: what they say may have been so before a start.
func newCounter(e *Engine) *counter {
	c := &counter{Engine: e, waiting: newTeller(), partly: map[string]bool{}, lasting: byCell[string]{}}
	cells, err := e.Cells.List(labels.Everything())
	if err != nil {
		return c // listers fail only for want of an index
	}
	for _, cell := range cells {
		e.stir(cell.Namespace)
	}
	return c
}

// keepCount tells of cells that say something else than what is counted, until ctx ends.
func (e *Engine) keepCount(ctx context.Context) {
	ticker := time.NewTicker(recount)
	defer ticker.Stop()
	c := newCounter(e)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.look()
	}
}

// look counts where that may have changed.
func (c *counter) look() {
	c.room = mostTold
	for namespace := range c.due() {
		c.lookAt(namespace)
	}
	c.tellCounts(c.waiting.due())
}

// due returns the namespaces that are to be looked at now.
func (c *counter) due() map[string]bool {
	changed := c.unlisted.look(c.Engine)
	c.mu.Lock()
	due := c.stirred
	c.stirred = map[string]bool{}
	c.mu.Unlock()
	for namespace := range c.waiting.byCell {
		due[namespace] = true
	}
	if c.looks++; changed || c.looks%seldom == 0 {
		maps.Copy(due, c.partly)
	}
	return due
}

// putOff has a namespace looked at again of which not everything is known: soon if objects there are looked at in a
// moment, and seldom if only types are not listed.
func (c *counter) putOff(namespace string, found *census) {
	switch {
	case len(found.cells) == 0:
	case found.lacksObjects:
		c.stir(namespace)
	default:
		c.waiting.forget(namespace)
		c.partly[namespace] = true
	}
}

// lookAt counts a namespace.
func (c *counter) lookAt(namespace string) {
	found := c.censusOf(namespace, 0)
	delete(c.partly, namespace)
	cells, err := c.Cells.Cells(namespace).List(labels.Everything())
	if err != nil { // listers fail only for want of an index
		return
	}
	if !found.complete {
		c.putOff(namespace, found)
		c.tellLasting(namespace, found)
		return
	}
	c.tellAnew(namespace)
	counts := map[string]count{}
	for _, cell := range cells {
		if t := found.cells[cell.Name]; t != nil {
			counts[cell.Name] = c.count(t, cell)
		}
	}
	c.waiting.look(namespace, c.now(), counts)
	c.forgetSaid(namespace, counts)
}

// count is what is counted of a cell, beside what it says.
func (e *Engine) count(t *tally, cell *federationv1alpha1.Cell) count {
	c := count{
		Tally: t.Tally, generations: t.generations, said: cell.Status.Objects, deleting: cell.DeletionTimestamp != nil,
		moving: meta.FindStatusCondition(cell.Status.Conditions, federationv1alpha1.CellMoving) != nil,
	}
	if waits, told := e.Waits(cell.Namespace, cell.Name); told {
		c.waits = &waits
	}
	return c
}

// forgetSaid forgets what was told of cells of a namespace that say it, or are gone.
func (e *Engine) forgetSaid(namespace string, counts map[string]count) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told.drop(namespace, func(name string, _ Tally) bool {
		seen, there := counts[name]
		return !there || seen.isSaid()
	})
	e.waits.drop(namespace, func(name, waits string) bool {
		seen, there := counts[name]
		return !there || waits == "" && seen.Waits == "" && !seen.moving
	})
	if len(counts) == 0 {
		delete(e.censuses, namespace)
	}
}

// tellLasting tells of cells that wait, for what is not known for long, each once.
func (c *counter) tellLasting(namespace string, found *census) {
	why := found.lasting()
	if why == "" {
		return
	}
	for name, t := range found.cells {
		cell := cellKey{namespace, name}
		if told, _ := c.lasting.get(cell); t.Waits == "" || told == why {
			continue
		}
		if c.room == 0 {
			c.stir(namespace)
			return
		}
		c.room--
		c.lasting.set(cell, why)
		c.OnCensus(namespace, name)
	}
}

// tellAnew has cells of a namespace told what they wait for that say what was not known for long.
func (c *counter) tellAnew(namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.lasting[namespace] {
		c.waits.remove(cellKey{namespace, name})
	}
	delete(c.lasting, namespace)
}

func (e *Engine) tellCounts(due map[cellKey]Tally) {
	e.mu.Lock()
	for cell, t := range due {
		e.told.set(cell, t)
		e.waits.set(cell, t.Waits)
	}
	e.mu.Unlock()
	for cell := range due {
		e.stir(cell.namespace) // until it says so
		e.OnCensus(cell.namespace, cell.name)
	}
}

// Waits names what a cell that moves, or is being deleted, waits for, as OnCensus told last; empty if it does not. told is
// false if nothing was since the start, and what the cell says of that stays.
func (e *Engine) Waits(namespace, cell string) (waits string, told bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.waits.get(cellKey{namespace, cell})
}

// Told returns what the status of a cell has to say of its objects: what OnCensus told last. ok is false if nothing was
// told since it said so, and what it says stays.
func (e *Engine) Told(namespace, cell string) (t Tally, ok bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.told.get(cellKey{namespace, cell})
}
