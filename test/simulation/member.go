package simulation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Event is one change of an object in a member.
type Event struct {
	Member   *Member
	Resource schema.GroupVersionResource
	// Namespace is empty for cluster types.
	Namespace, Name string
	// Before and After are the object as JSON, nil if there was none or is none now. They
	// must not be modified.
	Before, After []byte
}

// Admission is what a member does to an object on its way in, as its defaults, allocators and
// webhooks do. It modifies object. old is nil on create, and must not be modified; subresource
// is "" or "status". An error is answered as it is if it has a Status, else as 403.
type Admission func(t Type, subresource string, object, old map[string]any) error

// Member is one simulated API server.
type Member struct {
	name    string
	number  int
	options Options
	token   string
	counts  counts
	traps   traps
	server  *server // nil if it is a handler only

	mu        sync.Mutex
	order     []*registry // every type, in the order of Options.Types
	registry  map[schema.GroupVersionResource]*registry
	revision  uint64
	born      uint64 // how many objects were made
	snapshots []*snapshot
}

// NewMember returns a member that nobody listens for: it is an http.Handler. number tells it
// from the others of the same seed.
func NewMember(name string, number int, options Options) *Member {
	options.setDefaults()
	m := &Member{
		name: name, number: number, options: options,
		registry: map[schema.GroupVersionResource]*registry{}, revision: 1,
	}
	secret := sha256.Sum256(fmt.Appendf(nil, "token %d %d", options.Seed, number))
	m.token = hex.EncodeToString(secret[:16])
	m.traps.seed = options.Seed + int64(number)<<32
	for _, t := range options.Types {
		r := &registry{Type: t}
		m.order = append(m.order, r)
		m.registry[t.GroupVersionResource] = r
	}
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		if m.registry[Namespaces] == nil {
			break
		}
		if err := m.Put(Namespaces, map[string]any{"metadata": map[string]any{"name": name}}); err != nil {
			panic("simulation: " + err.Error()) // the names are good
		}
	}
	return m
}

// Name of the member, and of its KubeFedCluster.
func (m *Member) Name() string { return m.name }

// Token that requests must bear.
func (m *Member) Token() string { return m.token }

// Revision is the version of the latest change.
func (m *Member) Revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision
}

// nextUID is a UID that depends on the seed, the member and how many there were. m.mu is held.
func (m *Member) nextUID() types.UID {
	m.born++
	sum := sha256.Sum256(fmt.Appendf(nil, "uid %d %d %d", m.options.Seed, m.number, m.born))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

// record stores a change, tells watches, and ends what ends with it. m.mu is held.
func (m *Member) record(r *registry, before, after *stored) {
	m.counts.changes.Add(1)
	c := change{revision: m.revision, before: before, after: after}
	r.put(c, m.options.History)
	if m.options.OnChange == nil {
		return
	}
	event := Event{Member: m, Resource: r.GroupVersionResource}
	if before != nil {
		event.Namespace, event.Name, event.Before = before.namespace, before.name, before.data
	}
	if after != nil {
		event.Namespace, event.Name, event.After = after.namespace, after.name, after.data
	}
	m.options.OnChange(event)
}

// Object returns an object as the member has it, nil if there is none. namespace is empty for
// cluster types.
func (m *Member) Object(gvr schema.GroupVersionResource, namespace, name string) map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.registry[gvr]; r != nil {
		if o := r.objects[objectKey(namespace, name)]; o != nil {
			return o.decode()
		}
	}
	return nil
}

// Objects returns all objects of a type, sorted by namespace and name.
func (m *Member) Objects(gvr schema.GroupVersionResource) []map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.registry[gvr]
	if r == nil {
		return nil
	}
	var all []map[string]any
	for _, o := range r.list(everything) {
		all = append(all, o.decode())
	}
	return all
}

// SetServed has the member lose a type, or have it again: its objects stay. Watches of a type
// that is lost end.
func (m *Member) SetServed(gvr schema.GroupVersionResource, served bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.registry[gvr]; r != nil {
		r.lost = !served
		r.epoch++
		r.wake()
	}
}

// CloseWatches ends all watches, as API servers do every few minutes.
func (m *Member) CloseWatches() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.order {
		r.epoch++
		r.wake()
	}
}

// Compact forgets all changes: who watches from before gets 410, and lists that are under way
// cannot go on.
func (m *Member) Compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshots = nil
	for _, r := range m.order {
		r.compact(len(r.log))
	}
}

// Expire ends all watches, and has everybody list everything anew: whatever version somebody has
// seen is too old by then, so that what watches have lost is found.
func (m *Member) Expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
}

// expire is Expire. m.mu is held.
func (m *Member) expire() {
	m.revision++ // which nobody has seen
	m.snapshots = nil
	for _, r := range m.order {
		r.log, r.compacted = nil, m.revision
		r.epoch++
		r.wake()
	}
}

var _ http.Handler = &Member{}

// now is the time as objects have it.
func (m *Member) now() string {
	return m.options.Now().UTC().Truncate(time.Second).Format(time.RFC3339)
}

// fraction is between 0 and 1, and the same for the same seed and words.
func fraction(seed int64, words ...string) float64 {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, seed)
	for _, word := range words {
		_, _ = fmt.Fprintf(h, "%d:%s", len(word), word)
	}
	return float64(binary.BigEndian.Uint64(h.Sum(nil))>>11) / (1 << 53)
}
