package compose

import (
	"encoding/base64"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/retain"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// Rules are what a type, or an object of it, says of sharing with the member.
type Rules struct {
	// RetainFields are fields that the member decides beside those of manifest.BuiltinFields.
	RetainFields retain.Fields
	// KeepForeign leaves the fields that another manager owns and the manifest does not set.
	KeepForeign bool
	// RetainReplicas leaves spec.replicas as it is, once the object is there.
	RetainReplicas bool
}

// ForCreate returns the body of a POST.
func ForCreate(rendered map[string]any, kind schema.GroupVersionKind) map[string]any {
	object := runtime.DeepCopyJSON(rendered)
	foldStringData(object, kind.GroupKind())
	metadata := makeMap(object, "metadata")
	if record := recordOf(metadata, setFields(object, manifest.BuiltinFields(kind.GroupKind()))); record != "" {
		makeMap(metadata, "annotations")[manifest.RecordAnnotation] = record
	}
	return object
}

// ForUpdate returns the body of a PUT over live, which is the object as it was read. It carries
// the resourceVersion and the UID of live, so that the API server refuses it once somebody else
// has written, or made another object of the name.
func ForUpdate(rendered, live map[string]any, kind schema.GroupVersionKind, rules Rules) map[string]any {
	object := ForCreate(rendered, kind)
	live = runtime.DeepCopyJSON(live)
	before, _ := readRecord(child(live, "metadata"))
	retained, _ := rules.RetainFields.Of(rendered, live) // before anything is carried over
	carryOver(object, live, slices.Concat(manifest.BuiltinFields(kind.GroupKind()), retained), sets.New(before.Fields...))
	if rules.RetainReplicas {
		retainReplicas(object, live)
	}
	managers := readManagers(live)
	if rules.KeepForeign {
		keepForeign(object, live, managers)
	}
	keepStatus(object, live)
	object["metadata"] = mergeMetadata(child(object, "metadata"), child(live, "metadata"), managers)
	return object
}

// Kept are sentences on the fields that ForUpdate leaves as they are in live since it cannot be told whether
// Rules.RetainFields want that.
func Kept(rendered, live map[string]any, rules Rules) []string {
	_, problems := rules.RetainFields.Of(rendered, live)
	return problems
}

// foldStringData does what the API server does with stringData on create. On update it would
// keep what was folded in before, which is the reason why it never gets to see any.
func foldStringData(object map[string]any, kind schema.GroupKind) {
	if kind != (schema.GroupKind{Kind: "Secret"}) {
		return
	}
	texts, ok := object["stringData"].(map[string]any)
	if !ok {
		if object["stringData"] == nil {
			delete(object, "stringData")
		}
		return
	}
	for _, text := range texts {
		if _, ok := text.(string); !ok && text != nil {
			return // for the API server to refuse
		}
	}
	delete(object, "stringData")
	for key, text := range texts {
		value, _ := text.(string)
		makeMap(object, "data")[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
}

// retainReplicas: where the member has none yet, the manifest's are sent.
func retainReplicas(object, live map[string]any) {
	if replicas, there := child(live, "spec")["replicas"]; there && replicas != nil {
		makeMap(object, "spec")["replicas"] = replicas
	}
}

// keepStatus: types without a status subresource would lose it.
func keepStatus(object, live map[string]any) {
	delete(object, "status")
	if status, there := live["status"]; there {
		object["status"] = status
	}
}

// makeMap returns the map in a field, which becomes one if it is none.
func makeMap(parent map[string]any, field string) map[string]any {
	m, ok := parent[field].(map[string]any)
	if !ok {
		m = map[string]any{}
		parent[field] = m
	}
	return m
}

// child walks down maps; nil if there is none at the end.
func child(object map[string]any, steps ...string) map[string]any {
	for _, step := range steps {
		object, _ = object[step].(map[string]any)
	}
	return object
}
