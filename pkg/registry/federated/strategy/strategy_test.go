package strategy

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
)

// newStrategy is for FederatedConfigMaps, of which the schema has the annotations only.
func newStrategy() strategy {
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	annotations := spec.MapProperty(spec.StringProperty())
	metadata := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{"annotations": *annotations}}}
	root := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{"metadata": *metadata}}}
	target := &targetschema.Target{GVK: gvk, Root: "ConfigMap", Schemas: map[string]*spec.Schema{"ConfigMap": root}}
	return strategy{
		kind:   federated.Kind{Kind: "FederatedConfigMap", Resource: "federatedconfigmaps", Namespaced: true, Target: gvk, TargetNamespaced: true},
		schema: func() *targetschema.Target { return target },
	}
}

func TestOneMistakeInATemplateIsToldOnce(t *testing.T) {
	object := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}}
	object.Spec.TopologyType = typesv1beta2.TopologyCluster
	object.Spec.Template = rawjson.Value(`{"metadata":{"annotations":{"x":true}}}`)
	var got []string
	for _, err := range newStrategy().Validate(t.Context(), object) {
		if strings.Contains(err.Field, "annotations") {
			got = append(got, err.Error())
		}
	}
	if len(got) != 1 || !strings.HasSuffix(got[0], "must be a string") {
		t.Errorf("got %q, want one error", got)
	}
}

func TestFinalizersOfFederatedObjectsAreWarnedAbout(t *testing.T) {
	old := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}}
	old.Spec.Template = rawjson.Value(`{}`)
	object := old.DeepCopy()
	object.Finalizers = []string{"nofqdn"}
	for when, got := range map[string][]string{
		"create": newStrategy().WarningsOnCreate(t.Context(), object.DeepCopy()),
		"update": newStrategy().WarningsOnUpdate(t.Context(), object.DeepCopy(), old),
	} {
		if len(got) != 1 || !strings.HasPrefix(got[0], `metadata.finalizers[0]: "nofqdn": prefer a domain-qualified`) {
			t.Errorf("%s: got %q", when, got)
		}
	}
	if got := newStrategy().WarningsOnUpdate(t.Context(), object.DeepCopy(), object); len(got) > 0 {
		t.Errorf("one that was there: got %q", got)
	}
}
