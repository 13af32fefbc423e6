package profiles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	multicluster "github.com/koinon-io/koinon/pkg/apis/multicluster/v1alpha1"
)

// labelsAnnotation on a profile has the keys of the labels that we wrote, so that those go that the
// cluster has no more, and no others.
const labelsAnnotation = "federation.koinon.io/profile-labels"

// newProfile is a profile that is not stored yet. Its status is written later.
func newProfile(k key, p *profile, federation string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"displayName":    p.displayName,
			"clusterManager": map[string]any{"name": Manager},
		},
	}}
	u.SetGroupVersionKind(multicluster.SchemeGroupVersion.WithKind(multicluster.ClusterProfileKind))
	u.SetNamespace(k.Namespace)
	u.SetName(k.Name)
	setMetadata(u, p, federation)
	return u
}

// isOurs reports whether this federation keeps a profile. The name of the manager cannot be changed; an
// annotation that somebody took away is no other federation's.
func isOurs(u *unstructured.Unstructured, federation string) bool {
	manager, _, _ := unstructured.NestedString(u.Object, "spec", "clusterManager", "name")
	named := u.GetAnnotations()[federationv1alpha1.FederationAnnotation]
	return manager == Manager && (named == "" || named == federation)
}

// setMetadata writes labels and annotations, and reports whether that changed anything.
func setMetadata(u *unstructured.Unstructured, p *profile, federation string) (changed bool) {
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	for key := range strings.SplitSeq(annotations[labelsAnnotation], ",") {
		if _, wanted := p.labels[key]; !wanted && key != "" {
			delete(labels, key)
		}
	}
	maps.Copy(labels, p.labels)
	annotations[labelsAnnotation] = strings.Join(slices.Sorted(maps.Keys(p.labels)), ",")
	annotations[federationv1alpha1.FederationAnnotation] = federation
	if maps.Equal(labels, u.GetLabels()) && maps.Equal(annotations, u.GetAnnotations()) {
		return false
	}
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	return true
}

// setStatus writes what is ours in the status, and reports whether that changed anything.
func setStatus(u *unstructured.Unstructured, p *profile, now time.Time) (changed bool, err error) {
	wanted, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&p.status)
	if err != nil {
		return false, fmt.Errorf("encode the status: %w", err)
	}
	have, _, err := unstructured.NestedMap(u.Object, "status") // a copy
	if err != nil {
		return false, fmt.Errorf("read the status: %w", err)
	}
	merged := runtime.DeepCopyJSON(have)
	if merged == nil {
		merged = map[string]any{}
	}
	setList(merged, "conditions", "type", conditions(have, wanted, now), []string{multicluster.ControlPlaneHealthy})
	setList(merged, "properties", "name", list(wanted, "properties"), ownProperties)
	if !p.keepAccess {
		setList(merged, "accessProviders", "name", list(wanted, "accessProviders"), []string{Provider})
	}
	version, _ := merged["version"].(map[string]any)
	if version == nil {
		version = map[string]any{}
	}
	if version["kubernetes"] = p.status.Version.Kubernetes; version["kubernetes"] == "" {
		delete(version, "kubernetes")
	}
	if merged["version"] = version; len(version) == 0 {
		delete(merged, "version")
	}
	if equality.Semantic.DeepEqual(have, merged) {
		return false, nil
	}
	u.Object["status"] = merged
	return true, nil
}

// conditions are the wanted ones, with the time of the last transition: what is there keeps its time while
// its status is the same.
func conditions(have, wanted map[string]any, now time.Time) []any {
	all := list(wanted, "conditions")
	for _, item := range all {
		condition := item.(map[string]any)
		if condition["lastTransitionTime"] == nil {
			condition["lastTransitionTime"] = now.UTC().Format(time.RFC3339)
		}
		for _, earlier := range list(have, "conditions") {
			if earlier, ok := earlier.(map[string]any); ok && earlier["type"] == condition["type"] && earlier["status"] == condition["status"] && earlier["lastTransitionTime"] != nil {
				condition["lastTransitionTime"] = earlier["lastTransitionTime"]
			}
		}
	}
	return all
}

// setList puts items into a list whose items a key tells apart: in the place of those of the same key, else
// at the end. Others whose key is one of own go, and the rest stays as it is.
func setList(in map[string]any, field, key string, items []any, own []string) {
	wanted := map[any]any{}
	for _, item := range items {
		wanted[item.(map[string]any)[key]] = item
	}
	var merged []any
	for _, item := range list(in, field) {
		entry, _ := item.(map[string]any)
		name, _ := entry[key].(string)
		if replacement, ok := wanted[name]; ok {
			merged = append(merged, replacement)
			delete(wanted, name)
		} else if !slices.Contains(own, name) {
			merged = append(merged, item)
		}
	}
	for _, item := range items {
		if _, missing := wanted[item.(map[string]any)[key]]; missing {
			merged = append(merged, item)
		}
	}
	if in[field] = merged; len(merged) == 0 {
		delete(in, field)
	}
}

func list(in map[string]any, field string) []any {
	items, _ := in[field].([]any)
	return items
}
