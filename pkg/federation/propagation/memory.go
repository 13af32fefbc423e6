package propagation

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// memory is what the engine holds true of one federated object beyond what its caches
// show: records of targets that are newer than the status, and attempts. It begins with
// the object's status and is dropped with the object.
type memory struct {
	uid types.UID

	mu sync.Mutex
	// guarded: the object carries our finalizer.
	guarded bool
	// records by target name. A record with a hash is in the status too.
	records map[string]v1beta2.TargetStatus
	// attempts are the last ones by target name.
	attempts map[string]attempt
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

// attempt is one try to act in a target.
type attempt struct {
	// about stands for what was tried, and on what ground.
	about string
	// failed is what to say of the target until it is tried again; nil while the try is
	// under way.
	failed *v1beta2.TargetStatus
}

// remember returns the memory of an object, made from its status if there is none.
func (e *Engine) remember(key objectKey, federated *v1beta2.FederatedObject) *memory {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.memories[key]; m != nil && m.uid == federated.UID {
		return m
	}
	m := &memory{
		uid:      federated.UID,
		records:  map[string]v1beta2.TargetStatus{},
		attempts: map[string]attempt{},
	}
	if federated.Status != nil {
		for _, target := range federated.Status.Targets {
			target.RemoteStatus = nil
			m.records[target.Name] = target
		}
	}
	e.memories[key] = m
	return m
}

func (e *Engine) forget(key objectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.memories, key)
}

func (m *memory) record(target string) v1beta2.TargetStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[target]
}

// names returns the targets with a record, sorted.
func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.records))
}

// settle notes what a decision without an action says, or that nothing is left to say.
func (m *memory) settle(target string, d decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.attempts, target)
	if d.forget {
		delete(m.records, target)
		return
	}
	m.records[target] = d.status
}

// begin notes that something is to be tried. It returns false if just that is being tried
// already, or has failed and waits for its backoff; said is then what to say of the target.
func (m *memory) begin(target, about string) (said *v1beta2.TargetStatus, begun bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last, ok := m.attempts[target]; ok && last.about == about {
		return last.failed, false
	}
	m.attempts[target] = attempt{about: about}
	return nil, true
}

// cancel takes back what begin noted: it was not tried.
func (m *memory) cancel(target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.attempts, target)
}

// end notes the result of a try. failed is nil if it went well; gone says that nothing of
// ours is left in the target.
func (m *memory) end(target, about string, record v1beta2.TargetStatus, failed, gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case gone:
		delete(m.attempts, target)
		delete(m.records, target)
	case failed:
		m.attempts[target] = attempt{about: about, failed: &record}
		m.records[target] = record
	default:
		delete(m.attempts, target)
		m.records[target] = record
	}
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
