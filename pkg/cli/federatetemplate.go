package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// What is in this file is pure: it says what of a native object is federated.

// templateOf makes the template of an object: what members would be sent of it, and nothing that belongs to the place where
// it is. fromMember says that it is a member's. The object is not modified.
func templateOf(config *v1beta1.FederatedTypeConfig, object *unstructured.Unstructured, fromMember bool) map[string]any {
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

// leftOut says what of an object a template made of it has not, by path: what somebody wrote, or the place where the object is
// allocated. Not told is what every object has, and what its controllers note in its annotations.
func leftOut(config *v1beta1.FederatedTypeConfig, object *unstructured.Unstructured) (paths []string) {
	noted := manifest.Marks()
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

// notFederated are resources whose objects are made in each cluster by itself.
var notFederated = map[schema.GroupResource]bool{
	{Resource: "endpoints"}:                                 true,
	{Group: "discovery.k8s.io", Resource: "endpointslices"}: true,
	{Resource: "events"}:                                    true,
	{Group: "events.k8s.io", Resource: "events"}:            true,
	{Group: "coordination.k8s.io", Resource: "leases"}:      true,
	{Group: "apps", Resource: "controllerrevisions"}:        true,
}

// rootCA is the ConfigMap that each cluster puts into each namespace.
const rootCA = "kube-root-ca.crt"

// whySkipped says why an object of a namespace is not federated with its contents; empty if it is.
func whySkipped(kind schema.GroupKind, object *unstructured.Unstructured, template map[string]any) string {
	switch {
	case object.GetDeletionTimestamp() != nil:
		return "being deleted"
	case metav1.GetControllerOf(object) != nil:
		return "made by a controller from another object"
	case object.GetAnnotations()[manifest.SourceAnnotation] != "":
		return "made by Koinon from a federated object"
	case kind == schema.GroupKind{Kind: "ConfigMap"} && object.GetName() == rootCA:
		return "in every namespace of every cluster"
	case kind == schema.GroupKind{Kind: "ServiceAccount"} && object.GetName() == "default" && len(template) == 0:
		return "in every namespace of every cluster"
	case kind == schema.GroupKind{Kind: "Secret"} && object.Object["type"] == string(corev1.SecretTypeServiceAccountToken):
		return "a token of a ServiceAccount, good in one cluster alone"
	}
	return ""
}

// comesFrom refuses an object of a member that another federated object, or another federation, has made. source is the
// federated object that it is to become.
func comesFrom(object *unstructured.Unstructured, source, federation string) error {
	annotations := object.GetAnnotations()
	if object.GetLabels()[v1beta1.ManagedLabel] != "true" || annotations[manifest.SourceAnnotation] == "" {
		return nil
	}
	if of := annotations[federationv1alpha1.FederationAnnotation]; of != "" && federation != "" && of != federation {
		return fmt.Errorf("it is an object of another federation, %q: it would be taken over from nobody", of)
	}
	if from := annotations[manifest.SourceAnnotation]; from != source {
		return fmt.Errorf("it was made from the federated object %q already", from)
	}
	return nil
}

// reference is an object that another one names.
type reference struct {
	kind, name string
}

// String is as kubectl takes it.
func (r reference) String() string { return r.resource() + "/" + r.name }

func (r reference) resource() string { return strings.ToLower(r.kind) + "s" }

// podTemplates are where kinds have the spec of their Pods.
var podTemplates = [][]string{
	{"spec", "template", "spec"},                        // Deployment, StatefulSet, DaemonSet, ReplicaSet, Job
	{"spec", "jobTemplate", "spec", "template", "spec"}, // CronJob
	{"spec"}, // Pod
}

// referencesOf are the ConfigMaps, Secrets and ServiceAccounts that an object names: those of its Pods, or of a ServiceAccount. The
// value says whether it cannot run without.
func referencesOf(kind schema.GroupKind, template map[string]any) map[reference]bool {
	found := map[reference]bool{}
	if kind == (schema.GroupKind{Kind: "ServiceAccount"}) {
		var account corev1.ServiceAccount
		if decodeTree(template, &account) {
			for _, s := range account.ImagePullSecrets {
				found[reference{"Secret", s.Name}] = true
			}
			for _, s := range account.Secrets {
				found[reference{"Secret", s.Name}] = true
			}
		}
	}
	for _, path := range podTemplates {
		if len(path) == 1 && kind != (schema.GroupKind{Kind: "Pod"}) {
			continue
		}
		spec, there, err := unstructured.NestedMap(template, path...)
		var pod corev1.PodSpec
		if there && err == nil && decodeTree(spec, &pod) && len(pod.Containers) > 0 {
			referencesOfPod(&pod, found)
		}
	}
	delete(found, reference{"ConfigMap", rootCA})
	delete(found, reference{"ServiceAccount", "default"})
	maps.DeleteFunc(found, func(r reference, _ bool) bool { return r.name == "" })
	return found
}

// sortReferences has them in a fixed order.
func sortReferences[V any](found map[reference]V) []reference {
	return slices.SortedFunc(maps.Keys(found), func(a, b reference) int { return strings.Compare(a.String(), b.String()) })
}

// decodeTree reads a tree; false if it is another shape.
func decodeTree(tree map[string]any, into any) bool {
	data, err := json.Marshal(tree)
	return err == nil && json.Unmarshal(data, into) == nil
}

func referencesOfPod(pod *corev1.PodSpec, found map[reference]bool) {
	found[reference{"ServiceAccount", pod.ServiceAccountName}] = true
	for _, s := range pod.ImagePullSecrets {
		found[reference{"Secret", s.Name}] = true
	}
	for i := range pod.Volumes {
		referencesOfVolume(&pod.Volumes[i], found)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, from := range c.EnvFrom {
			if r := from.ConfigMapRef; r != nil {
				noteReference(found, "ConfigMap", r.Name, r.Optional)
			}
			if r := from.SecretRef; r != nil {
				noteReference(found, "Secret", r.Name, r.Optional)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom == nil {
				continue
			}
			if r := env.ValueFrom.ConfigMapKeyRef; r != nil {
				noteReference(found, "ConfigMap", r.Name, r.Optional)
			}
			if r := env.ValueFrom.SecretKeyRef; r != nil {
				noteReference(found, "Secret", r.Name, r.Optional)
			}
		}
	}
}

func referencesOfVolume(volume *corev1.Volume, found map[reference]bool) {
	if v := volume.ConfigMap; v != nil {
		noteReference(found, "ConfigMap", v.Name, v.Optional)
	}
	if v := volume.Secret; v != nil {
		noteReference(found, "Secret", v.SecretName, v.Optional)
	}
	if volume.Projected == nil {
		return
	}
	for _, source := range volume.Projected.Sources {
		if v := source.ConfigMap; v != nil {
			noteReference(found, "ConfigMap", v.Name, v.Optional)
		}
		if v := source.Secret; v != nil {
			noteReference(found, "Secret", v.Name, v.Optional)
		}
	}
}

// noteReference notes that something is named. Named twice, it is needed if it is once.
func noteReference(found map[reference]bool, kind, name string, optional *bool) {
	r := reference{kind, name}
	found[r] = found[r] || optional == nil || !*optional
}
