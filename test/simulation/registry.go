package simulation

import (
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
)

// stored is one version of an object. It is never modified.
type stored struct {
	namespace, name string
	uid             types.UID
	labels          labels.Set
	revision        uint64
	// data is the whole object as JSON.
	data []byte
}

func (s *stored) key() string { return objectKey(s.namespace, s.name) }

// objectKey sorts objects as etcd does.
func objectKey(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// decode returns a tree of its own.
func (s *stored) decode() map[string]any {
	var object map[string]any
	if err := utiljson.Unmarshal(s.data, &object); err != nil {
		panic("simulation: what was stored is no JSON: " + err.Error())
	}
	return object
}

// metadata returns the object as a PartialObjectMetadata.
func (s *stored) metadata() []byte {
	var object struct {
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(s.data, &object); err != nil {
		panic("simulation: what was stored is no JSON: " + err.Error())
	}
	const head = `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":`
	return slices.Concat([]byte(head), object.Metadata, []byte("}"))
}

// at returns the object with another version: that of its end.
func (s *stored) at(revision uint64) *stored {
	object := s.decode()
	(&unstructured.Unstructured{Object: object}).SetResourceVersion(strconv.FormatUint(revision, 10))
	copied := *s
	copied.revision, copied.data = revision, encode(object)
	return &copied
}

func encode(object map[string]any) []byte {
	data, err := json.Marshal(object)
	if err != nil {
		panic("simulation: what came as JSON cannot be written as JSON: " + err.Error())
	}
	return data
}

// selection is which objects of a type a list or a watch is about.
type selection struct {
	namespace string // empty: all
	labels    labels.Selector
	fields    fields.Selector
}

func (s *selection) has(o *stored) bool {
	return o != nil && (s.namespace == "" || s.namespace == o.namespace) && s.labels.Matches(o.labels) &&
		(s.fields.Empty() || s.fields.Matches(o.fields()))
}

// fields are those that lists and watches may select.
func (s *stored) fields() fields.Set {
	object := s.decode()
	node, _, _ := unstructured.NestedString(object, "spec", "nodeName")
	phase, _, _ := unstructured.NestedString(object, "status", "phase")
	return fields.Set{"metadata.name": s.name, "metadata.namespace": s.namespace, "spec.nodeName": node, "status.phase": phase}
}

// change is one entry of a registry's log.
type change struct {
	revision      uint64
	before, after *stored // nil: there was none, there is none
}

// registry holds the objects of one type. All but Type is guarded by the member's mu.
type registry struct {
	Type
	lost    bool // not served now
	objects map[string]*stored
	// log holds the latest changes; those up to compacted are not in it any more.
	log       []change
	compacted uint64
	// changed is closed, and forgotten, when there is something new for watches; nil while
	// nobody waits.
	changed chan struct{}
	// epoch counts up to end the watches that began before.
	epoch int
	// owners keep managedFields, by subresource.
	owners map[string]*managedfields.FieldManager
}

// wait returns what is closed at the next change.
func (r *registry) wait() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

func (r *registry) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// put records a change; after is nil if the object is gone. history is how many changes are
// kept at least.
func (r *registry) put(c change, history int) {
	if c.after != nil {
		if r.objects == nil {
			r.objects = map[string]*stored{}
		}
		r.objects[c.after.key()] = c.after
	} else {
		delete(r.objects, c.before.key())
	}
	if r.log = append(r.log, c); len(r.log) >= 2*history {
		r.compact(len(r.log) - history)
	}
	r.wake()
}

// compact forgets the n oldest changes.
func (r *registry) compact(n int) {
	if n > 0 {
		r.compacted = r.log[n-1].revision
		r.log = slices.Clone(r.log[n:])
	}
}

// since returns the changes after a version. They are the caller's to read.
func (r *registry) since(revision uint64) []change {
	first := sort.Search(len(r.log), func(i int) bool { return r.log[i].revision > revision })
	return slices.Clone(r.log[first:])
}

// list returns what is selected, sorted by namespace and name.
func (r *registry) list(s selection) []*stored {
	var items []*stored
	for _, o := range r.objects {
		if s.has(o) {
			items = append(items, o)
		}
	}
	slices.SortFunc(items, func(a, b *stored) int {
		if a.key() < b.key() {
			return -1
		}
		return 1
	})
	return items
}

// in returns the keys of a namespace, sorted.
func (r *registry) in(namespace string) []string {
	keys := slices.Sorted(maps.Keys(r.objects))
	return slices.DeleteFunc(keys, func(key string) bool { return r.objects[key].namespace != namespace })
}
