package compose

import (
	"cmp"
	"maps"
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// Conflict is a field that a write of ours changes, although somebody else owns it.
type Conflict struct {
	// Path of the field, such as .spec.template.spec.containers[name=app].image.
	Path string
	// Manager is the name by which managedFields know the owner. It is empty if the object has no
	// managedFields: whose the field is cannot be known then.
	Manager string
	// Operation is Apply or Update, and Subresource by which path it was written, such as scale.
	Operation, Subresource string
}

// maxConflicts is how many are told.
const maxConflicts = 10

// Conflicts returns the fields that another field manager owns in live, the object as it was read,
// that sent, the body of ForUpdate, sets, and that have another value in becomes: the first ten,
// sorted by path and manager, and how many there are in all. The member's answer to the write, or
// to a dry run of it, is what becomes of live; where nobody has asked the member, that is sent,
// and defaults and other ways to write a value may look like a change.
//
// What sent does not set is no conflict: that goes or stays by Rules.KeepForeign. What Rules or the
// kind leave to the member is none either, since ForUpdate has taken it over from live. KubeFed is
// no other manager, and of an object with our marks and without managedFields everything is ours.
func Conflicts(live, sent, becomes map[string]any) (first []Conflict, all int) {
	c := conflicts{}
	if owners := owningManagers(live); len(owners) > 0 {
		c.maps("", settable(live), settable(becomes), settable(sent), owners)
	} else if !hasManagers(live) && !hasOurMarks(live) {
		c.ofNobody("", settable(live), settable(becomes), settable(sent))
	}
	slices.SortFunc(c.found, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Subresource, b.Subresource))
	})
	return c.found[:min(len(c.found), maxConflicts)], len(c.found)
}

// owningManagers are those of whom a manifest can take something, and we ourselves: what we own
// tells which fields are owned in parts.
func owningManagers(live map[string]any) []holding {
	all, others := readManagers(live), false
	owned := make([]holding, 0, len(all))
	for i := range all {
		if m := &all[i]; !m.writesStatus() {
			owned = append(owned, holding{m, m.set, false})
			others = others || isOthers(m)
		}
	}
	if !others {
		return nil
	}
	return owned
}

// hasManagers reports whether anybody is known to own anything. Somebody may have taken all
// managedFields off, and an old object may never have had any.
func hasManagers(live map[string]any) bool {
	list, _ := child(live, "metadata")["managedFields"].([]any)
	return len(list) > 0
}

// hasOurMarks reports whether we, or KubeFed, have written an object.
func hasOurMarks(live map[string]any) bool {
	return child(live, "metadata", "labels")[v1beta1.ManagedLabel] == "true"
}

// settable is what of an object can be in conflict: lists in the metadata are merged, and our marks
// are ours whoever has written them.
func settable(object map[string]any) map[string]any {
	out := maps.Clone(object)
	for field := range notForeign {
		delete(out, field)
	}
	metadata := map[string]any{}
	for _, field := range []string{"labels", "annotations"} {
		set := maps.Clone(child(object, "metadata", field))
		for _, mark := range []string{v1beta1.ManagedLabel, manifest.SourceAnnotation, manifest.RecordAnnotation, federationv1alpha1.FederationAnnotation} {
			delete(set, mark)
		}
		if set != nil {
			metadata[field] = set
		}
	}
	if out == nil {
		out = map[string]any{}
	}
	out["metadata"] = metadata
	return out
}

type conflicts struct{ found []Conflict }

// value compares one field that is sent; owned is what managers own of it. Null, or an empty map or
// list, holds nothing that could be taken.
func (c *conflicts) value(path string, live, becomes, sent any, owned []holding) {
	if sent == nil || isUnset(live, true) || equal(live, becomes) || !slices.ContainsFunc(owned, ofOthers) {
		return
	}
	if !slices.ContainsFunc(owned, inParts) {
		c.take(path, owned)
		return
	}
	// Who owns it as a whole beside one who owns parts of it owns no more than that it is there.
	owned = slices.DeleteFunc(slices.Clone(owned), func(h holding) bool { return !inParts(h) })
	switch from := live.(type) {
	case map[string]any:
		to, _ := becomes.(map[string]any)
		if set, ok := sent.(map[string]any); ok {
			c.maps(path, from, to, set, owned)
			return
		}
	case []any:
		to, _ := becomes.([]any)
		if set, ok := sent.([]any); ok {
			c.lists(path, from, to, set, owned)
			return
		}
	}
	c.take(path, owned) // it becomes something of another type
}

func ofOthers(h holding) bool { return isOthers(h.manager) }
func inParts(h holding) bool  { return !h.whole }

// take notes a conflict with everybody else who owns a field, or parts of it.
func (c *conflicts) take(path string, owned []holding) {
	for _, h := range owned {
		one := Conflict{path, h.manager.name, h.manager.operation, h.manager.subresource}
		if ofOthers(h) && !slices.Contains(c.found[max(0, len(c.found)-len(owned)):], one) {
			c.found = append(c.found, one)
		}
	}
}

func (c *conflicts) maps(path string, live, becomes, sent map[string]any, owned []holding) {
	for key, value := range sent {
		if from, there := live[key]; there {
			c.value(path+keyText(key), from, becomes[key], value, below(owned, []fieldpath.PathElement{fieldpath.FieldNameElement(key)}))
		}
	}
}

// lists compares the items that managedFields tell apart. The others have no owner.
func (c *conflicts) lists(path string, live, becomes, sent []any, owned []holding) {
	indexes := make([]*itemElements, len(owned))
	for i, h := range owned {
		indexes[i] = indexElements(h.set)
	}
	liveItems, nextItems := byElement(live, indexes), byElement(becomes, indexes)
	for position, item := range sent {
		var theirs []holding
		var from, to any
		for i, h := range owned {
			elements := indexes[i].of(item, position)
			theirs = append(theirs, below([]holding{h}, elements)...)
			for _, e := range elements {
				if at, there := liveItems[e.String()]; there {
					from, to = at, nextItems[e.String()]
				}
			}
		}
		c.value(path+itemText(item, position), from, to, item, theirs)
	}
}

// byElement finds the items of a list by the elements of managedFields that mean them, the first of
// several.
func byElement(list []any, indexes []*itemElements) map[string]any {
	out := map[string]any{}
	for position, item := range list {
		for _, index := range indexes {
			for _, e := range index.of(item, position) {
				if _, twice := out[e.String()]; !twice {
					out[e.String()] = item
				}
			}
		}
	}
	return out
}

// ofNobody is maps for an object of which nobody is known to own anything.
func (c *conflicts) ofNobody(path string, live, becomes, sent map[string]any) {
	for key, value := range sent {
		from, there := live[key]
		if !there || value == nil || isUnset(from, true) || equal(from, becomes[key]) {
			continue
		}
		before, isMap := from.(map[string]any)
		set, alsoMap := value.(map[string]any)
		if isMap && alsoMap {
			to, _ := becomes[key].(map[string]any)
			c.ofNobody(path+keyText(key), before, to, set)
			continue
		}
		c.found = append(c.found, Conflict{Path: path + keyText(key)})
	}
}
