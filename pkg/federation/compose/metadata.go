package compose

import (
	"encoding/json"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// record is the value of manifest.RecordAnnotation.
type record struct {
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
	Finalizers  []string `json:"finalizers,omitempty"`
	Fields      []string `json:"fields,omitempty"`
}

func recordOf(metadata map[string]any, fields []string) string {
	r := record{
		Fields:      fields,
		Labels:      keysBut(child(metadata, "labels"), v1beta1.ManagedLabel),
		Annotations: keysBut(child(metadata, "annotations"), manifest.Marks()...),
		Finalizers:  texts(metadata["finalizers"]),
	}
	slices.Sort(r.Finalizers)
	data, err := json.Marshal(r)
	if err != nil {
		return "" // never: these are strings
	}
	return string(data)
}

func keysBut(m map[string]any, but ...string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(key string) bool { return slices.Contains(but, key) })
}

func texts(value any) []string {
	list, _ := value.([]any)
	var out []string
	for _, item := range list {
		if text, ok := item.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// ours tells what of the metadata in a member has come from a manifest.
type ours struct{ label, annotation, finalizer, owner func(string) bool }

// oursIn reads the record. Objects that KubeFed or an older release wrote have none, nor do those
// from which somebody took it; there, managedFields are all that is known. Finalizers and
// owners are then ours only as far as we applied them, for a finalizer that is taken away by
// mistake is data that is lost, while one that stays is seen.
func oursIn(live map[string]any, m managers) ours {
	r, ok := readRecord(live)
	if !ok {
		kubefed := child(live, "labels")[v1beta1.ManagedLabel] == "true"
		return ours{
			label: func(key string) bool {
				return m.own(isOurs, "labels", key) || kubefed && m.own(isKubeFeds, "labels", key)
			},
			annotation: func(key string) bool {
				return key != v1beta1.AdoptedAnnotation && m.own(isOurs, "annotations", key)
			},
			finalizer: func(name string) bool { return m.own(isApplied, "finalizers", name) },
			owner:     func(uid string) bool { return m.own(isApplied, "ownerReferences", uid) },
		}
	}
	return ours{
		label:      sets.New(r.Labels...).Has,
		annotation: sets.New(r.Annotations...).Has,
		finalizer:  sets.New(r.Finalizers...).Has,
		owner:      func(uid string) bool { return m.own(isApplied, "ownerReferences", uid) },
	}
}

// readRecord reads the record in the metadata of an object. It returns false if there is none, or
// none that can be read.
func readRecord(metadata map[string]any) (r record, ok bool) {
	text, _ := child(metadata, "annotations")[manifest.RecordAnnotation].(string)
	return r, text != "" && json.Unmarshal([]byte(text), &r) == nil
}

// mergeMetadata returns the manifest's metadata with what others have set in live.
func mergeMetadata(object, live map[string]any, m managers) map[string]any {
	mine := oursIn(live, m)
	goes := func(field string, mine func(string) bool) func(string) bool {
		// Who applies a key, too, says that he wants it. An edit of what is ours is drift.
		return func(key string) bool { return mine(key) && !m.own(isOtherApplier, field, key) }
	}
	for field, mine := range map[string]func(string) bool{"labels": mine.label, "annotations": mine.annotation} {
		if merged := mergeMap(child(object, field), child(live, field), goes(field, mine)); merged != nil {
			object[field] = merged
		}
	}
	mergeList(object, live, "finalizers", func(item any) string { s, _ := item.(string); return s }, goes("finalizers", mine.finalizer))
	mergeList(object, live, "ownerReferences", uidOf, goes("ownerReferences", mine.owner))
	for _, field := range []string{"uid", "resourceVersion"} {
		if value, there := live[field]; there {
			object[field] = value
		}
	}
	delete(object, "managedFields")
	return object
}

func mergeMap(manifest, live map[string]any, goes func(string) bool) map[string]any {
	out := maps.Clone(live)
	maps.DeleteFunc(out, func(key string, _ any) bool { return goes(key) })
	if out == nil {
		return manifest
	}
	maps.Copy(out, manifest)
	return out
}

// mergeList keeps live's order, and adds nothing to an object that is being deleted: API servers
// refuse further finalizers there.
func mergeList(object, live map[string]any, field string, id func(any) string, goes func(string) bool) {
	wanted, _ := object[field].([]any)
	there, _ := live[field].([]any)
	left := map[string]any{}
	for _, item := range wanted {
		left[id(item)] = item
	}
	var out []any
	for _, item := range there {
		if mine, ok := left[id(item)]; ok {
			out = append(out, mine)
			delete(left, id(item))
		} else if !goes(id(item)) {
			out = append(out, item)
		}
	}
	for _, item := range wanted {
		if _, ok := left[id(item)]; ok && live["deletionTimestamp"] == nil {
			out = append(out, item)
			delete(left, id(item))
		}
	}
	delete(object, field)
	if len(out) > 0 {
		object[field] = out
	}
}

func uidOf(item any) string {
	reference, _ := item.(map[string]any)
	uid, _ := reference["uid"].(string)
	return uid
}
