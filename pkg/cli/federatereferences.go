package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/federation/native"
)

// What is in this file is pure: it says what a native object names.

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
	delete(found, reference{"ConfigMap", native.RootCA})
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
