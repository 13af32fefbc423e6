package ownership

import (
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// keepUnsaid returns entries in which the fields that v1beta1 has no words for belong to
// whom they belonged to in old.
func keepUnsaid(entries, old []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	return withEntriesOf(entries, old, func(set, was *fieldpath.Set) *fieldpath.Set {
		return set.RecursiveDifference(unsaid).Union(below(was, unsaid))
	})
}

// claimGroups returns the entries of an object whose placement names groups. Who wrote the selector
// that v1beta1 shows for them has written the names. An update that leaves the names as they were
// leaves them to their owners.
func claimGroups(w *write, obj, old *typesv1beta2.FederatedObject) []metav1.ManagedFieldsEntry {
	if w.applies || old == nil || old.Spec.Placement == nil || !reflect.DeepEqual(obj.Spec.Placement.Topologies, old.Spec.Placement.Topologies) {
		out, _ := eachEntry(obj.ManagedFields, func(e *metav1.ManagedFieldsEntry) bool {
			return changeSet(e, func(set *fieldpath.Set) *fieldpath.Set { return replaced(set, selectorPath, topologiesPath) })
		})
		return out
	}
	names := fieldpath.NewSet(topologiesPath)
	return withEntriesOf(obj.ManagedFields, old.ManagedFields, func(set, was *fieldpath.Set) *fieldpath.Set {
		return set.Difference(names).Difference(fieldpath.NewSet(selectorPath)).Union(was.Intersection(names))
	})
}

// giveBack returns entries in which fields belong to whom they belonged to in old, too.
func giveBack(entries, old []metav1.ManagedFieldsEntry, fields *fieldpath.Set) []metav1.ManagedFieldsEntry {
	if fields.Empty() {
		return entries
	}
	return withEntriesOf(entries, old, func(set, was *fieldpath.Set) *fieldpath.Set {
		return set.Union(was.Intersection(fields))
	})
}

// keepTargets returns entries in which the targets of a status, which are as they were, belong
// to whom they belonged to in old.
func keepTargets(entries, old []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	targets := fieldpath.NewSet(statusTargetsPath)
	return withEntriesOf(entries, old, func(set, was *fieldpath.Set) *fieldpath.Set {
		set = set.RecursiveDifference(targets)
		if below(was, targets).Empty() {
			return set
		}
		return set.Union(targets)
	})
}

// withEntriesOf calls merge for the fields of every manager, with those that it had in old.
func withEntriesOf(entries, old []metav1.ManagedFieldsEntry, merge func(set, was *fieldpath.Set) *fieldpath.Set) []metav1.ManagedFieldsEntry {
	out, _ := eachEntry(entries, func(e *metav1.ManagedFieldsEntry) bool {
		was := setOf(find(old, keyOf(e)))
		return changeSet(e, func(set *fieldpath.Set) *fieldpath.Set { return merge(set, was) })
	})
	for i := range old {
		if find(entries, keyOf(&old[i])) != nil {
			continue
		}
		if kept := merge(&fieldpath.Set{}, setOf(&old[i])); !kept.Empty() {
			e := old[i]
			changeSet(&e, func(*fieldpath.Set) *fieldpath.Set { return kept })
			out = append(slices.Clip(out), e)
		}
	}
	return out
}

// withoutClaims returns entries of an object that has no overrides by selector: nobody owns
// them but who owns the whole list.
func withoutClaims(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	out, _ := eachEntry(entries, func(e *metav1.ManagedFieldsEntry) bool {
		return mentions(e, bySelectorField) && changeSet(e, func(set *fieldpath.Set) *fieldpath.Set {
			if set.Has(byNamePath) {
				return set
			}
			return set.Difference(wholeList)
		})
	})
	return out
}

// keepOrder keeps the order of overrides whose parts belong to others than the manager of an
// apply, which gave up the list.
func keepOrder(w *write, obj, old *typesv1beta2.FederatedObject) {
	changed := changedParts(old.Spec.Overrides, obj.Spec.Overrides)
	if changed.Equals(fieldpath.NewSet(orderPath)) && w.applied(obj).Intersection(wholeList).Empty() {
		obj.Spec.Overrides = old.Spec.Overrides
	}
}

// keepWholeLists makes the list of overrides one field in a request in v1beta2, where it is
// one: who changed a part of it owns all of it, and from whom a part was taken, of the list
// as a whole, has lost it. Who owned only a part, by v1beta1, keeps what did not change. Who is
// new and did not write stands for those before the first apply, and had all of it.
func keepWholeLists(obj, old *typesv1beta2.FederatedObject) {
	changed := changedParts(old.Spec.Overrides, obj.Spec.Overrides)
	if changed.Empty() {
		return
	}
	obj.ManagedFields, _ = eachEntry(obj.ManagedFields, func(e *metav1.ManagedFieldsEntry) bool {
		before := find(old.ManagedFields, keyOf(e))
		was := setOf(before)
		return changeSet(e, func(set *fieldpath.Set) *fieldpath.Set {
			switch owned := set.Intersection(wholeList); {
			case !owned.Intersection(changed).Empty():
				return set.Union(wholeList) // the writer
			case before == nil || was.Has(byNamePath) && was.Has(bySelectorPath):
				return set.Difference(wholeList).Difference(fieldpath.NewSet(overridesPath))
			}
			return set
		})
	})
}

// changedParts returns the fields of the list of overrides that differ between two lists.
func changedParts(from, to []typesv1beta2.Override) *fieldpath.Set {
	changed := &fieldpath.Set{}
	if reflect.DeepEqual(from, to) {
		return changed
	}
	was, is := overridesTree(from), overridesTree(to)
	for name, path := range map[string]fieldpath.Path{byNameField: byNamePath, bySelectorField: bySelectorPath, orderField: orderPath} {
		if !reflect.DeepEqual(was[name], is[name]) {
			changed.Insert(path)
		}
	}
	return changed
}

// overridesTree is a list in the tracked shape: empty if there is none.
func overridesTree(list []typesv1beta2.Override) map[string]any {
	items, _ := mustTree(typesv1beta2.FederatedObjectSpec{Overrides: list})[overridesField].([]any)
	if items == nil {
		return nil
	}
	return splitOverrides(items)
}
