package simulated_test

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/simulation"
)

// subject is a kind that histories are about.
type subject struct {
	config            string // the name of its FederatedTypeConfig
	kind              string // federated
	federated, target schema.GroupVersionResource
	clusterScoped     bool
	// pointer is where an object has its value, and template makes one.
	pointer  string
	template func(value string) map[string]any
	// ends: an object that has run to its end is not made again, and what it runs cannot be
	// changed meanwhile.
	ends bool
	// custom: members have the kind by a CustomResourceDefinition.
	custom bool
}

// widgets are a custom kind.
var widgets = simulation.Type{
	GroupVersionResource: schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"},
	Kind:                 "Widget", Namespaced: true, Generation: true, Status: true,
}

// memberTypes are what members serve.
func memberTypes() []simulation.Type {
	return append(simulation.BuiltIn(), widgets, simulation.Type{GroupVersionResource: simulation.CustomResourceDefinitions, Kind: "CustomResourceDefinition", Status: true})
}

// subjects are one kind without a generation, one with a controller in members, one without a
// namespace, one whose objects end, and one that members may lose.
func subjects() []*subject {
	inPodTemplate := func(value string) map[string]any {
		return map[string]any{"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{"value": value}},
			"spec":     map[string]any{"restartPolicy": "Never", "containers": []any{map[string]any{"name": "main", "image": "example.org/main"}}},
		}}}
	}
	const valueInPodTemplate = "/spec/template/metadata/annotations/value"
	all := []*subject{
		{config: "configmaps", kind: "FederatedConfigMap", target: simulation.ConfigMaps, pointer: "/data/key",
			template: func(value string) map[string]any { return map[string]any{"data": map[string]any{"key": value}} }},
		{config: "deployments.apps", kind: "FederatedDeployment", target: simulation.Deployments, pointer: valueInPodTemplate, template: inPodTemplate},
		{config: "clusterroles.rbac.authorization.k8s.io", kind: "FederatedClusterRole", clusterScoped: true,
			target: schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, pointer: "/rules/0/resourceNames/0",
			template: func(value string) map[string]any {
				return map[string]any{"rules": []any{map[string]any{
					"apiGroups": []any{""}, "resources": []any{"configmaps"}, "verbs": []any{"get"}, "resourceNames": []any{value},
				}}}
			}},
		{config: "jobs.batch", kind: "FederatedJob", target: simulation.Jobs, pointer: valueInPodTemplate, template: inPodTemplate, ends: true},
		{config: "widgets.example.com", kind: "FederatedWidget", target: widgets.GroupVersionResource, pointer: "/spec/value", custom: true,
			template: func(value string) map[string]any { return map[string]any{"spec": map[string]any{"value": value}} }},
	}
	for _, s := range all {
		s.federated = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federated" + s.target.Resource}
	}
	return all
}

// value is what an object has at the subject's pointer; empty if there is no object.
func (s *subject) value(object map[string]any) string {
	var found any = object
	for step := range strings.SplitSeq(strings.TrimPrefix(s.pointer, "/"), "/") {
		switch in := found.(type) {
		case map[string]any:
			found = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return ""
			}
			found = in[i]
		}
	}
	text, _ := found.(string)
	return text
}

// set changes the value of an object that has one.
func (s *subject) set(object map[string]any, value string) {
	for key, changed := range s.template(value) {
		object[key] = changed
	}
}

// hasEnded goes by the condition that a member's controller sets: see end.
func (s *subject) hasEnded(object map[string]any) bool {
	conditions, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	return s.ends && len(conditions) > 0
}

func end(object map[string]any) {
	object["status"] = map[string]any{"succeeded": int64(1), "conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}
}

// typeConfig of the custom kind; those of the others are there from the start.
func (s *subject) typeConfig() *v1beta1.FederatedTypeConfig {
	enabled := v1beta1.Enabled
	config := &v1beta1.FederatedTypeConfig{
		Spec: v1beta1.FederatedTypeConfigSpec{
			TargetType:    v1beta1.APIResource{Group: s.target.Group, Version: s.target.Version, Kind: strings.TrimPrefix(s.kind, "Federated"), PluralName: s.target.Resource, Scope: v1beta1.NamespaceScoped},
			FederatedType: v1beta1.APIResource{Group: s.federated.Group, Version: s.federated.Version, Kind: s.kind, PluralName: s.federated.Resource, Scope: v1beta1.NamespaceScoped},
			Propagation:   v1beta1.Enabled, StatusCollection: &enabled,
		},
	}
	config.SetGroupVersionKind(v1beta1.SchemeGroupVersion.WithKind("FederatedTypeConfig"))
	config.Name, config.Namespace = s.config, v1beta1.DefaultNamespace
	return config
}

// definition is the CustomResourceDefinition of a custom kind.
func (s *subject) definition() map[string]any {
	return map[string]any{"metadata": map[string]any{"name": s.target.Resource + "." + s.target.Group}}
}

// admit refuses what API servers refuse: a Job's pods cannot be changed.
func admit(of simulation.Type, subresource string, object, old map[string]any) error {
	if of.GroupVersionResource != simulation.Jobs || subresource != "" || old == nil {
		return nil
	}
	now, _, _ := unstructured.NestedFieldNoCopy(object, "spec", "template")
	before, _, _ := unstructured.NestedFieldNoCopy(old, "spec", "template")
	if equality.Semantic.DeepEqual(now, before) {
		return nil
	}
	name, _, _ := unstructured.NestedString(object, "metadata", "name")
	err := apierrors.NewInvalid(schema.GroupKind{Group: of.Group, Kind: of.Kind}, name, nil)
	err.ErrStatus.Message = fmt.Sprintf("Job.batch %q is invalid: spec.template: field is immutable", name)
	return err
}

// federatedResources are those of all subjects.
func federatedResources() (resources []schema.GroupVersionResource) {
	for _, s := range subjects() {
		resources = append(resources, s.federated)
	}
	return resources
}
