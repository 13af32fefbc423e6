package propagation

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
)

// A target whose cell moved has the object in the place that it left, too: in several, if the cell moved
// more than once. Each place has a record and a job of its own, and what is done in a place belongs to it
// wherever the target is by then. A copy in a former place goes once the object, and all others that move
// with the cell, have arrived. See ADR 42.

// othersPause is how long a copy stays before it is asked again whether all others have arrived.
const othersPause = 2 * time.Second

// formerMark is in no name of a target.
const formerMark = "\x00"

// placeOf names a place that a target is in, or has left: the slot of its record there once the target has left it, and its job.
func placeOf(target, member, namespace string) string {
	return strings.Join([]string{target, member, namespace}, formerMark)
}

func isFormerSlot(slot string) bool { return strings.Contains(slot, formerMark) }

// slot is where the memory has what is known of a target in its place.
func (t viewTarget) slot() string {
	if t.former != "" {
		return t.former
	}
	return t.Name
}

// placeOf names the place of a target in which something is done: at most one executor is in it at a time, whether the target is
// there, has left it, or is back.
func (v *view) placeOf(t viewTarget) string {
	return placeOf(t.Name, t.Member, v.home(t.Candidate))
}

// formerOf returns the records of the places that a target has left, by slot.
func formerOf(target v1beta2.TargetStatus) iter.Seq2[string, v1beta2.TargetStatus] {
	return func(yield func(string, v1beta2.TargetStatus) bool) {
		for _, f := range target.Former {
			record := v1beta2.TargetStatus{
				Name: target.Name, Cluster: f.Cluster, Namespace: f.Namespace, State: f.State, Message: f.Message,
				Hash: f.Hash, Version: f.Version, Generation: f.Generation, Ended: f.Ended,
			}
			if !yield(placeOf(target.Name, f.Cluster, f.Namespace), record) {
				return
			}
		}
	}
}

// isAt reports whether a record is of that place.
func isAt(record v1beta2.TargetStatus, member, namespace string) bool {
	return record.Cluster == member && (record.Namespace == "" || record.Namespace == namespace)
}

// relocate notes that a target is in another place now. If it was there before, what is known of
// that is its record again. Nothing is to be done any more where it was as long as nobody says so.
func (m *memory) relocate(target, member, namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.records[target]
	leaves := placeOf(target, left.Cluster, left.Namespace)
	m.unwant(leaves)
	delete(m.fights, target)
	delete(m.stamps, target)
	back := placeOf(target, member, namespace)
	now, known := m.records[back]
	if !known {
		now = v1beta2.TargetStatus{Name: target, Cluster: member, Namespace: namespace}
	}
	delete(m.records, back)
	m.records[target] = now
	m.records[leaves] = left
}

// former returns the records of all places that targets have left, by slot.
func (m *memory) former() map[string]v1beta2.TargetStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	var former map[string]v1beta2.TargetStatus
	for slot, record := range m.records {
		if !isFormerSlot(slot) {
			continue
		}
		if former == nil {
			former = map[string]v1beta2.TargetStatus{}
		}
		former[slot] = record
	}
	return former
}

// comeBack notes that a target is in a place again that it left. What is known of that is its record, unless one was made there
// since: nothing was written where it was in between.
func (m *memory) comeBack(target, slot string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unwant(slot)
	if now := m.records[target]; now.Hash == "" && now.State != v1beta2.TargetAbandoned {
		m.unwant(placeOf(target, now.Cluster, now.Namespace))
		m.records[target] = m.records[slot]
	}
	delete(m.records, slot)
}

// slotOf returns whose record it is what is known of a place after an action there: the target may be
// elsewhere by now, or back. m.mu is held.
func (m *memory) slotOf(t viewTarget, home string) string {
	now, known := m.records[t.Name]
	switch {
	case !known || now.Cluster == "":
		return t.slot()
	case isAt(now, t.Member, home):
		return t.Name
	}
	return placeOf(t.Name, t.Member, home)
}

// isIn reports whether the memory has a target still in the place in which something is to be done.
func (m *memory) isIn(t viewTarget, home string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.former != "" {
		_, known := m.records[t.former]
		return known
	}
	now, known := m.records[t.Name]
	return !known || now.Cluster == "" || isAt(now, t.Member, home)
}

// move has a placed target that is elsewhere now leave where it was. What runs to its end is not in
// two places at once: it leaves before it enters, once it can enter. What was given up is not waited for.
func (e *Engine) move(v *view, t viewTarget) viewTarget {
	if v.kind.completion == nil || v.memory.record(t.Name).State == v1beta2.TargetAbandoned {
		v.memory.relocate(t.Name, t.Member, v.home(t.Candidate))
		t.intent = run
		return t
	}
	left := viewTarget{Candidate: v.recorded(t.Name), intent: remove, onward: true, recorded: true}
	member, there := e.member(t.Member)
	if !there || member.Health != membership.Ready {
		left.intent, left.awaited = await, t.Member
		left.reason = fmt.Sprintf("the object in %s stays until member %q is ready", left.where(), t.Member)
	}
	if !there && !e.isJoined(t.Member) {
		left.reason = fmt.Sprintf("there is no member %q; the object in %s stays until it is joined and ready", t.Member, left.where())
	}
	return left
}

// where names the place of a target.
func (t viewTarget) where() string {
	if t.Namespace == "" {
		return fmt.Sprintf("member %q", t.Member)
	}
	return fmt.Sprintf("namespace %q of member %q", t.Namespace, t.Member)
}

// addFormer adds the places that targets have left. They are left as the target itself is, if that departs.
func (v *view) addFormer(candidates map[string]*placement.Candidate) {
	former := v.memory.former()
	if len(former) == 0 {
		return
	}
	current := map[string]viewTarget{}
	for _, t := range v.targets {
		current[t.Name] = t
	}
	for slot, record := range former {
		c := v.recordedIn(record, record.Name)
		now, known := current[record.Name]
		if known && now.intent != absent && now.Member == c.Member && isAt(record, now.Member, v.home(now.Candidate)) {
			v.memory.comeBack(record.Name, slot)
			continue
		}
		givenUp := record.State == v1beta2.TargetAbandoned
		t := v.departing(c, candidates[record.Name], record.Hash != "" || givenUp)
		t.former, t.recorded = slot, true
		switch {
		case givenUp && t.intent != keep: // nobody waits for it, wherever the target is
			t.intent = release
		case known && !now.intent.leaves() && now.Leaving == "":
			t.intent, t.reason = await, waitsFor(t, now)
		}
		v.targets = append(v.targets, t)
	}
}

// waitsFor says why a copy stays in a place that the target has left.
func waitsFor(t, now viewTarget) string {
	switch now.intent {
	case keep:
		return fmt.Sprintf("the object in %s stays, since the mask holds the target back", t.where())
	case run:
		return fmt.Sprintf("the object in %s stays until the one in %s is up to date and healthy", t.where(), now.where())
	}
	return fmt.Sprintf("the object in %s stays as it is: %s", t.where(), now.reason)
}

// leaves reports whether the object is to go from its target, or is given up there.
func (i intent) leaves() bool { return i == remove || i == release }

// way is how far the targets of an object are that moved.
type way struct {
	e       *Engine
	v       *view
	moved   map[string]bool
	arrived map[string]bool
	onward  map[string]bool
}

func (e *Engine) wayOf(v *view) *way {
	w := &way{e: e, v: v}
	for _, t := range v.targets {
		if t.former == "" {
			continue
		}
		if w.moved == nil {
			w.moved, w.arrived = map[string]bool{}, map[string]bool{}
		}
		w.moved[t.Name] = true
	}
	return w
}

// note takes down whether a target has arrived where it is now; one that leaves that place too has no
// way to go, unless it enters another one then.
func (w *way) note(t viewTarget, o observation, d decision) {
	if t.onward {
		if w.onward == nil {
			w.onward = map[string]bool{}
		}
		w.onward[t.Name] = true
	}
	if t.former == "" && w.moved[t.Name] {
		w.arrived[t.Name] = !t.onward && (t.intent.leaves() || o.hasArrived(d))
	}
}

// leave has the copy in a former place go if it may. It returns when to ask again, 0 if something
// will tell.
func (w *way) leave(t *viewTarget) (again time.Duration) {
	if t.intent != await || !w.arrived[t.Name] {
		return 0
	}
	arrived, why := w.e.othersArrived(w.v, t.Name)
	if arrived {
		t.intent = remove
		return 0
	}
	t.reason = fmt.Sprintf("the object in %s stays until all others that move with the target are up to date and healthy, too", t.where()) + why
	return othersPause
}

// hasArrived reports whether the object is in the target, and is well there.
func (o observation) hasArrived(d decision) bool {
	switch {
	case o.intent != run || !d.status.State.UpToDate() || o.manifest == nil || o.record.Hash != o.manifest.Hash:
		return false
	case d.status.State == v1beta2.TargetEnded:
		return true
	}
	return o.sees == seen && (o.record.Health == v1beta2.HealthHealthy || o.record.Health == v1beta2.HealthSuspended)
}

// setWay notes how far the targets are that moved, as they were decided on; nil: none has a way to go.
func (m *memory) setWay(w *way) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.decided, m.arrived, m.onward = true, nil, nil; w != nil {
		m.arrived, m.onward = w.arrived, w.onward
	}
}

// enter puts what is said of a target in its place into the list of entries. Of a former place it becomes
// part of the entry of the target, which comes before it, if it has one.
func (v *view) enter(entries []v1beta2.TargetStatus, s step, said v1beta2.TargetStatus) []v1beta2.TargetStatus {
	if s.target.former == "" {
		return append(entries, v.entry(s, said))
	}
	if last := len(entries) - 1; last < 0 || entries[last].Name != s.target.Name {
		entries = append(entries, v1beta2.TargetStatus{Name: s.target.Name})
	}
	entry := &entries[len(entries)-1]
	entry.Former = append(entry.Former, v1beta2.FormerPlace{
		Cluster: said.Cluster, Namespace: said.Namespace, State: said.State, Message: said.Message,
		Hash: said.Hash, Version: said.Version, Generation: said.Generation, Ended: said.Ended,
	})
	switch {
	case !entry.State.UpToDate():
	case said.State == v1beta2.TargetAbandoned: // nobody waits for that
		entry.Message = cmp.Or(entry.Message, said.Message)
	default: // the target is not done before nothing of it is elsewhere
		entry.State, entry.Message = said.State, said.Message
	}
	return entries
}

// givenUpInFormer is what is said once of a place that the target left and that is given up now: the state of the target
// is that of the place where it is.
func (o observation) givenUpInFormer(d decision) string {
	if !o.former || d.status.State != v1beta2.TargetAbandoned || o.record.State == v1beta2.TargetAbandoned {
		return ""
	}
	return d.status.Message
}

// leftInFormer is what is said of what is left in a target, or in a place that it left: nobody knows of that
// one any more.
func (o observation) leftInFormer(t viewTarget, d decision) string {
	if t.former == "" || !d.stays || d.left != "" || o.record.Hash == "" {
		return d.left
	}
	return fmt.Sprintf("target %q has moved, and what it had in %s stays there: the member left the federation, or is another tenant's", t.Name, t.where())
}

// earlier returns the shorter one of two waits; 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}
