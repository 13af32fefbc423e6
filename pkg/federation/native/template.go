package native

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// Template makes the template of an object: what members would be sent of it, and nothing that belongs to the place where
// it is. fromMember says that it is a member's. The object is not modified.
func Template(config *v1beta1.FederatedTypeConfig, object *unstructured.Unstructured, fromMember bool) map[string]any {
	kind := reach.KindOf(&config.Spec)
	template := runtime.DeepCopyJSON(object.Object)
	manifest.TakeOut(template, manifest.CopiedFields(template, kind.GroupKind()))
	manifest.Remove(template, manifest.Drops(template, manifest.Patterns(config.Spec.PropagatingAnnotations).Match))
	delete(template, "kind")
	if object.GroupVersionKind().Version == config.Spec.TargetType.Version {
		delete(template, "apiVersion") // it follows from the type, and with it when that is changed
	}
	metadata, _ := template["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	delete(labels, v1beta1.ManagedLabel)
	delete(labels, v1beta1.FederateLabel) // a member may be a host itself
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, v1beta1.PlacementAnnotation)
	if kind.IsNamespace() {
		delete(labels, corev1.LabelMetadataName) // each API server sets it
		delete(template, "spec")
		if fromMember { // those that the namespace has here may be sent, and none else
			delete(metadata, "labels")
		}
	}
	for _, key := range slices.Collect(maps.Keys(metadata)) {
		if manifest.IsEmpty(metadata[key]) {
			delete(metadata, key)
		}
	}
	if len(metadata) == 0 {
		delete(template, "metadata")
	}
	return template
}

// LeftOut says what of an object a template made of it has not, by path: what somebody wrote, or the place where the object is
// allocated. Not told is what every object has, and what its controllers note in its annotations.
func LeftOut(config *v1beta1.FederatedTypeConfig, object *unstructured.Unstructured) (paths []string) {
	noted := append(manifest.Marks(), v1beta1.PlacementAnnotation)
	for _, c := range manifest.CopiedFields(object.Object, reach.KindOf(&config.Spec).GroupKind()) {
		path := c.Path(nil).String()
		if key, ok := strings.CutPrefix(path, "metadata.annotations["); ok {
			noted = append(noted, strings.TrimSuffix(key, "]"))
			continue
		}
		paths = append(paths, path)
	}
	for _, d := range manifest.Drops(object.Object, manifest.Patterns(config.Spec.PropagatingAnnotations).Match) {
		switch {
		case len(d.Steps) == 3 && d.Steps[1] == "annotations" && !slices.Contains(noted, d.Steps[2]),
			len(d.Steps) == 2 && (d.Steps[1] == "finalizers" || d.Steps[1] == "ownerReferences") && !manifest.IsEmpty(d.Value(object.Object)):
			paths = append(paths, d.Path(nil).String())
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
