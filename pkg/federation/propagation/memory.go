package propagation

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
)

// memory is what the engine holds true of one federated object beyond what its caches
// show: records of targets that are newer than the status, jobs, and fights. It begins with
// the object's status and is dropped with the object.
type memory struct {
	uid types.UID
	// inherited: when the engine first saw the object it carried the finalizer, and its
	// status had no record of ours. KubeFed wrote it, or an engine that ended between the
	// finalizer and the record: where copies are is not known.
	inherited bool
	pace      statusPace

	mu sync.Mutex
	// guarded: the object carries our finalizer.
	guarded bool
	// records by slot: the name of a target for the place where it is, and see placeOf for those where it
	// was. A record with a hash is in the status too.
	records map[string]v1beta2.TargetStatus
	// decided: its targets were decided on since the memory began. arrived are those that moved and
	// are well where they are now, and onward those that leave where they are before they enter another place.
	decided bool
	arrived map[string]bool
	onward  map[string]bool
	// jobs by place: see placeOf. What is done where a target was is not over when it has left.
	jobs map[string]*job
	// fights by slot.
	fights map[string]*fight
	// stamps, by slot, are those of objects as the last write of ours has left them.
	stamps map[string]compose.Stamp
	// members that targets are in: those that the engine lists this object under.
	members map[string]bool
	// orphans are targets that were forgotten although something of ours may be there.
	orphans map[string]bool
	// withheld is since when no status was written, since something was begun each time; zero if
	// that is not so.
	withheld time.Time
	// fits is how large the status may be, as far as it is known: the object itself may
	// leave little room.
	fits statusBound
}

// statusBound holds for one generation of an object.
type statusBound struct {
	generation int64
	bytes      int
}

const (
	// minStatusBytes is below what it is not worth to halve.
	minStatusBytes = 24 << 10
	// bareStatusBytes leaves out all that can be left out.
	bareStatusBytes = 1
)

// remember returns the memory of an object, made from its status if there is none.
func (e *Engine) remember(key objectKey, federated *v1beta2.FederatedObject) *memory {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.memories[key]; m != nil && m.uid == federated.UID {
		return m
	}
	m := &memory{
		uid:     federated.UID,
		records: map[string]v1beta2.TargetStatus{},
		jobs:    map[string]*job{},
		fights:  map[string]*fight{},
		stamps:  map[string]compose.Stamp{},
		orphans: map[string]bool{},
		guarded: hasFinalizer(federated),
	}
	m.inherited = m.guarded
	members := map[string]bool{}
	if federated.Status != nil {
		for _, target := range federated.Status.Targets {
			for slot, former := range formerOf(target) {
				m.records[slot] = former
				m.inherited = false
				members[former.Cluster] = true
			}
			target.RemoteStatus, target.Former = nil, nil
			m.records[target.Name] = target
			m.inherited = m.inherited && target.Hash == "" && target.State != v1beta2.TargetAbandoned // which only we write
			members[target.Cluster] = true
		}
	}
	if old := e.memories[key]; old != nil {
		e.unlist(key, old)
	}
	e.memories[key] = m
	e.enlist(key, m, members)
	return m
}

func (e *Engine) forget(key objectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.memories[key]; m != nil {
		e.unlist(key, m)
		delete(e.memories, key)
	}
}

// list notes in which members the targets of an object are, or are recorded to be.
func (e *Engine) list(key objectKey, m *memory, members map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.memories[key] != m || maps.Equal(m.members, members) {
		return
	}
	e.unlist(key, m)
	e.enlist(key, m, members)
}

// enlist puts an object that is in no list in those of members. e.mu is held.
func (e *Engine) enlist(key objectKey, m *memory, members map[string]bool) {
	m.members = members
	for member := range members {
		if e.holders[member] == nil {
			e.holders[member] = map[objectKey]bool{}
		}
		e.holders[member][key] = true
	}
}

// unlist takes an object out of the lists of members. e.mu is held.
func (e *Engine) unlist(key objectKey, m *memory) {
	for member := range m.members {
		if delete(e.holders[member], key); len(e.holders[member]) == 0 {
			delete(e.holders, member)
		}
	}
	m.members = nil
}

func (m *memory) record(slot string) v1beta2.TargetStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[slot]
}

// names returns the targets with a record of where they are, sorted.
func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.records)), isFormerSlot)
}

// settle notes what a decision without an action says, or that nothing is left to say.
func (m *memory) settle(target, place string, d decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unwant(place)
	if d.forget {
		if d.stays && (d.left != "" || m.mayHold(target)) {
			m.orphans[target] = true
		}
		delete(m.records, target)
		delete(m.fights, target)
		delete(m.stamps, target)
		return
	}
	delete(m.orphans, target)
	m.records[target] = d.status
}

// mayHold reports whether something was written to a target, as far as is known. m.mu is held.
func (m *memory) mayHold(target string) bool {
	record := m.records[target]
	return record.Hash != "" || record.State == v1beta2.TargetAbandoned || m.inherited
}

// isOrphan reports whether a target was forgotten although something of ours may be there.
func (m *memory) isOrphan(target string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.orphans[target]
}

// unwant drops the job of a place. m.mu is held.
func (m *memory) unwant(place string) {
	if j := m.jobs[place]; j != nil && j.unwant() {
		delete(m.jobs, place)
	}
}

// unwantOthers drops the jobs of places that are not among these any more.
func (m *memory) unwantOthers(known map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for place := range m.jobs {
		if !known[place] {
			m.unwant(place)
		}
	}
}

// want has something done in a place of a target: see job. record, if not nil, is what is stored of the
// target by now.
func (m *memory) want(place string, o *order, record *v1beta2.TargetStatus) (enqueue bool, said *v1beta2.TargetStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if record != nil {
		m.records[o.target.slot()] = *record
	}
	j := m.jobs[place]
	if j == nil {
		j = &job{}
		m.jobs[place] = j
	}
	return j.want(o)
}

// take returns what an executor is to do, nil if that is nothing any more.
func (m *memory) take(place string) *order {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[place]; j != nil {
		return j.take()
	}
	return nil
}

// wake ends the wait of a job; member is whose executor is to have it.
func (m *memory) wake(place string, turn int) (member string, enqueue bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[place]; j != nil {
		return j.member, j.wake(turn)
	}
	return "", false
}

// lose drops a job that is in no queue any more, and loseMember all of a member.
func (m *memory) lose(place string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[place]; j != nil && j.lose() {
		delete(m.jobs, place)
	}
}

func (m *memory) loseMember(member string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for place, j := range m.jobs {
		if j.member == member && j.lose() {
			delete(m.jobs, place)
		}
	}
}

// sequel is what becomes of a job that an executor had.
type sequel struct {
	// enqueue: the job is queued for member.
	enqueue bool
	member  string
	// wait, if not 0, is how long it waits, and turn is of that wait.
	wait time.Duration
	turn int
}

// rest says that an executor found nothing to do.
func (m *memory) rest(place string) sequel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done(place)
}

// end notes the result of an action. What is known of its place by then is the record of that place.
func (m *memory) end(t viewTarget, home string, r result) sequel {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, slot := placeOf(t.Name, t.Member, home), m.slotOf(t, home)
	switch {
	case r.gone:
		if delete(m.orphans, slot); r.stays {
			m.orphans[slot] = true
		}
		delete(m.records, slot)
		delete(m.fights, slot)
		delete(m.stamps, slot)
	case r.failed && !t.intent.stays() && r.record.Hash != "" && m.records[slot].State == v1beta2.TargetAbandoned: // it was given up meanwhile
	case isFormerSlot(slot) && r.failed && r.record.Hash == "" && m.records[slot].Hash != "": // it was not recorded there any more
	default: // also if sync has forgotten it meanwhile: something may have been written
		m.records[slot] = r.record
	}
	if !r.failed {
		return m.done(place)
	}
	j := m.jobs[place]
	if j == nil {
		return sequel{}
	}
	wait, enqueue, over := j.fail(r.record)
	if over {
		delete(m.jobs, place)
	}
	return sequel{enqueue: enqueue, member: j.member, wait: wait, turn: j.turn}
}

func (m *memory) done(place string) sequel {
	j := m.jobs[place]
	if j == nil {
		return sequel{}
	}
	enqueue, over := j.done()
	if over {
		delete(m.jobs, place)
	}
	return sequel{enqueue: enqueue, member: j.member}
}

// writtenTo reports whether a target's record is in a namespace of a member.
func (m *memory) writtenTo(member, namespace string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, record := range m.records {
		if record.Hash != "" && record.Cluster == member && record.Namespace == namespace {
			return true
		}
	}
	return false
}

// statusBytes returns how large the status of a generation may be: 0 if there is no room
// for what is new in it.
func (m *memory) statusBytes(generation int64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fits.generation != generation {
		m.fits = statusBound{generation, v1beta2.MaxStatusBytes}
	}
	return m.fits.bytes
}

// shrinkStatus notes that a status of the last size was too large.
func (m *memory) shrinkStatus() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fits.bytes/2 >= minStatusBytes:
		m.fits.bytes /= 2
	case m.fits.bytes > bareStatusBytes:
		m.fits.bytes = bareStatusBytes
	default:
		m.fits.bytes = 0
	}
}

// mayWithhold reports whether the status may wait for what was just begun: not for longer than
// patience, however often something is begun.
func (m *memory) mayWithhold(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.withheld.IsZero() {
		m.withheld = now
	}
	if now.Sub(m.withheld) <= patience {
		return true
	}
	m.withheld = time.Time{}
	return false
}

func (m *memory) nothingBegun() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.withheld = time.Time{}
}

func (m *memory) setGuarded(guarded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.guarded = guarded
}

func (m *memory) isGuarded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guarded
}
