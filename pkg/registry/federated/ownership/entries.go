package ownership

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// Paths that versions name differently, or that the tracked shape has instead of one.
var (
	overridesPath       = fieldpath.MakePathOrDie("spec", overridesField)
	byNamePath          = fieldpath.MakePathOrDie("spec", overridesField, byNameField)
	bySelectorPath      = fieldpath.MakePathOrDie("spec", overridesField, bySelectorField)
	orderPath           = fieldpath.MakePathOrDie("spec", overridesField, orderField)
	clustersPath        = fieldpath.MakePathOrDie("spec", "placement", "clusters")
	clusterSelectorPath = fieldpath.MakePathOrDie("spec", "placement", "clusterSelector")
	topologiesPath      = fieldpath.MakePathOrDie("spec", "placement", "topologies")
	selectorPath        = fieldpath.MakePathOrDie("spec", "placement", "topologySelector")
	annotationPath      = fieldpath.MakePathOrDie("metadata", "annotations", typesv1beta1.TopologyAnnotation)
	statusPath          = fieldpath.MakePathOrDie("status")
	statusTargetsPath   = fieldpath.MakePathOrDie("status", "targets")
	statusClustersPath  = fieldpath.MakePathOrDie("status", "clusters")
	statusTopologyPath  = fieldpath.MakePathOrDie("status", "topology")
)

// wholeList are the fields of who owns the list of overrides as v1beta2 has it.
var wholeList = fieldpath.NewSet(byNamePath, bySelectorPath, orderPath)

// unsaid are the fields that v1beta1 has no words for, with all that is below them.
var (
	unsaidPaths = []fieldpath.Path{
		fieldpath.MakePathOrDie("spec", topologyTypeField), fieldpath.MakePathOrDie("spec", maskField), bySelectorPath, orderPath,
	}
	unsaid = fieldpath.NewSet(unsaidPaths...)
)

// renamedOrUnsaid are the fields, but for the overrides, that make it worth while to read an
// entry in v1beta1.
var renamedOrUnsaid = []string{"placement", "status", topologyTypeField, maskField}

// below returns the part of set that is in roots, or below one of them.
func below(set, roots *fieldpath.Set) *fieldpath.Set {
	return set.Difference(set.RecursiveDifference(roots))
}

// trackedEntries returns entries as the field manager of a version gets them, and whether any
// is not as it was. All are in that version: the library would compare those of others apart,
// and take fields for nobody's that belong to managers of another version. Entries that cannot
// be read, or are in a version that is not served, stay as they are: the library drops or
// refuses them.
func trackedEntries(entries []metav1.ManagedFieldsEntry, version schema.GroupVersion) ([]metav1.ManagedFieldsEntry, bool) {
	out, changed := eachEntry(entries, func(e *metav1.ManagedFieldsEntry) bool {
		was := e.APIVersion
		if was != federated.V1beta1.String() && was != federated.V1beta2.String() {
			return false
		}
		e.APIVersion = version.String()
		return trackEntry(e, was, version) || e.APIVersion != was
	})
	if merged := oneEach(out); len(merged) != len(out) {
		return merged, true
	}
	return out, changed
}

// trackEntry turns the fields of an entry, which were in the words of a version, into those of
// the tracked shape, and reports whether that changes any. In v1beta1 the order of the list is
// nobody's.
func trackEntry(e *metav1.ManagedFieldsEntry, was string, version schema.GroupVersion) bool {
	v1beta1 := was == federated.V1beta1.String()
	if !mentions(e, overridesField) && !(v1beta1 && (mentions(e, "placement") || mentions(e, "annotations") || mentions(e, "status"))) {
		return false
	}
	return changeSet(e, func(set *fieldpath.Set) *fieldpath.Set {
		if v1beta1 {
			return fromV1beta1(set)
		}
		if set.Has(overridesPath) && set.Intersection(wholeList).Empty() {
			set = set.Difference(fieldpath.NewSet(overridesPath)).Union(wholeList)
		}
		if version == federated.V1beta1 {
			set = set.Difference(fieldpath.NewSet(orderPath))
		}
		return set
	})
}

// fromV1beta1 renames what v1beta1 calls otherwise. It drops what no entry holds any more:
// the annotation, and the fields of the status as v1beta1 has them.
func fromV1beta1(set *fieldpath.Set) *fieldpath.Set {
	set = replaced(set, clustersPath, topologiesPath)
	set = replaced(set, clusterSelectorPath, selectorPath)
	if set.Intersection(wholeList).Empty() {
		set = replaced(set, overridesPath, byNamePath)
	}
	return set.RecursiveDifference(fieldpath.NewSet(annotationPath, statusClustersPath, statusTopologyPath))
}

// replaced returns set with one path instead of another.
func replaced(set *fieldpath.Set, from, to fieldpath.Path) *fieldpath.Set {
	if !set.Has(from) {
		return set
	}
	return set.Difference(fieldpath.NewSet(from)).Union(fieldpath.NewSet(to))
}

// storeEntry turns the fields of an entry into the words of its version, or of v1beta2 if that
// has none for some. groups says that the placement names groups.
func storeEntry(e *metav1.ManagedFieldsEntry, groups bool) {
	v1beta1 := e.APIVersion == federated.V1beta1.String()
	if !mentions(e, overridesField) && !(v1beta1 && slices.ContainsFunc(renamedOrUnsaid, func(field string) bool { return mentions(e, field) })) {
		return
	}
	changeSet(e, func(set *fieldpath.Set) *fieldpath.Set {
		if !set.Intersection(wholeList).Empty() {
			set = set.Difference(fieldpath.NewSet(overridesPath)) // what holds the parts is no part
		}
		if v1beta1 && sayable(set) && !(groups && set.Has(topologiesPath)) {
			set = replaced(set, topologiesPath, clustersPath)
			set = replaced(set, selectorPath, clusterSelectorPath)
			return replaced(set, byNamePath, overridesPath)
		}
		e.APIVersion = federated.V1beta2.String()
		if set.Has(byNamePath) && set.Has(bySelectorPath) {
			return set.Difference(wholeList).Union(fieldpath.NewSet(overridesPath))
		}
		return set.Difference(fieldpath.NewSet(orderPath))
	})
}

// sayable reports whether v1beta1 has words for all fields. Of a status it has two: what
// stock controllers know of a target, and the rest.
func sayable(set *fieldpath.Set) bool {
	return below(set, unsaid).Empty() && below(set, fieldpath.NewSet(statusPath)).Empty()
}

// oneEach merges the entries of a manager that are in one version, or that name their fields
// alike.
func oneEach(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	out := make([]metav1.ManagedFieldsEntry, 0, len(entries))
	for i := range entries {
		other := &entries[i]
		e := find(out, keyOf(other))
		if e == nil {
			out = append(out, *other)
			continue
		}
		changeSet(e, func(set *fieldpath.Set) *fieldpath.Set { return set.Union(setOf(other)) })
		if e.Time == nil || e.Time.Before(other.Time) {
			e.Time = other.Time
		}
	}
	return out
}

// inOrder drops entries without fields, and sorts all others as the library does, so that the
// next write finds the same bytes.
func inOrder(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	out := slices.DeleteFunc(slices.Clone(entries), ownsNothing)
	seconds := func(t *metav1.Time) int64 {
		if t == nil {
			return 0
		}
		return t.Unix()
	}
	slices.SortStableFunc(out, func(a, b metav1.ManagedFieldsEntry) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(seconds(a.Time), seconds(b.Time)),
			cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Subresource, b.Subresource))
	})
	return out
}

// ownsNothing reports whether an entry has no fields.
func ownsNothing(e metav1.ManagedFieldsEntry) bool {
	return e.FieldsV1 != nil && string(e.FieldsV1.GetRawBytes()) == "{}"
}

// entryKey is a manager, and the way in which it writes.
type entryKey struct {
	manager, subresource, group string
	operation                   metav1.ManagedFieldsOperationType
}

func keyOf(e *metav1.ManagedFieldsEntry) entryKey {
	group, _, _ := strings.Cut(e.APIVersion, "/")
	return entryKey{manager: e.Manager, subresource: e.Subresource, operation: e.Operation, group: group}
}

// find returns the entry of a key, or nil.
func find(entries []metav1.ManagedFieldsEntry, key entryKey) *metav1.ManagedFieldsEntry {
	for i := range entries {
		if keyOf(&entries[i]) == key {
			return &entries[i]
		}
	}
	return nil
}

// eachEntry calls change for a copy of each entry, and reports whether one returned true; if
// not, it returns entries.
func eachEntry(entries []metav1.ManagedFieldsEntry, change func(*metav1.ManagedFieldsEntry) bool) ([]metav1.ManagedFieldsEntry, bool) {
	out, changed := entries, false
	for i := range entries {
		e := entries[i]
		if !change(&e) {
			continue
		}
		if !changed {
			out, changed = slices.Clone(entries), true
		}
		out[i] = e
	}
	return out, changed
}

// mentions reports whether an entry may have a field of that name: it is not parsed.
func mentions(e *metav1.ManagedFieldsEntry, field string) bool {
	return e.FieldsV1 != nil && bytes.Contains(e.FieldsV1.GetRawBytes(), []byte(`"f:`+field+`"`))
}

// setOf returns the fields of an entry: none if it cannot be read.
func setOf(e *metav1.ManagedFieldsEntry) *fieldpath.Set {
	set := &fieldpath.Set{}
	if e == nil || e.FieldsV1 == nil || set.FromJSON(e.FieldsV1.GetRawReader()) != nil {
		return &fieldpath.Set{}
	}
	return set
}

// changeSet replaces the fields of an entry, and reports whether they are others now.
func changeSet(e *metav1.ManagedFieldsEntry, change func(*fieldpath.Set) *fieldpath.Set) bool {
	set := &fieldpath.Set{}
	if e.FieldsV1 == nil || set.FromJSON(e.FieldsV1.GetRawReader()) != nil {
		return false
	}
	changed := change(set)
	if changed.Equals(set) {
		return false
	}
	data, err := changed.ToJSON()
	if err != nil {
		return false // cannot be: the fields came from JSON
	}
	e.FieldsV1 = metav1.NewFieldsV1(string(data))
	return true
}
