package strategy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gvk "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/kube-openapi/pkg/validation/spec"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// pods is the schema of a kind that has containers with an environment.
func pods() *schema.Target {
	object := func(properties map[string]spec.Schema) *spec.Schema {
		return &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: properties}}
	}
	list := func(items *spec.Schema) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"array"}, Items: &spec.SchemaOrArray{Schema: items}}}
	}
	text := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"string"}}}
	env := list(object(map[string]spec.Schema{"name": text, "value": text}))
	containers := list(object(map[string]spec.Schema{"name": text, "image": text, "env": env}))
	podSpec := object(map[string]spec.Schema{"containers": containers})
	root := object(map[string]spec.Schema{"apiVersion": text, "kind": text, "metadata": *object(nil), "spec": *podSpec})
	return &schema.Target{GVK: gvk.GroupVersionKind{Version: "v1", Kind: "Pod"}, Root: "Pod", Schemas: map[string]*spec.Schema{"Pod": root}}
}

// podTemplate has a size of about that many KiB.
func podTemplate(kib int, image string) []byte {
	var env []string
	for i := range kib * 1024 / 56 {
		env = append(env, fmt.Sprintf(`{"name":"VARIABLE_%05d","value":"value-%05d-abcdefgh"}`, i, i))
	}
	return []byte(`{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"` + image + `","env":[` + strings.Join(env, ",") + `]}]}}`)
}

// noTargets answers without looking, so that only the strategy is measured.
type noTargets struct{}

func (noTargets) CheckPlacement(context.Context, *typesv1beta2.FederatedObject, string) (field.ErrorList, []string) {
	return nil, nil
}

func (noTargets) Losses(context.Context, *typesv1beta2.FederatedObject, *typesv1beta2.FederatedObject, Holdings, string) []string {
	return nil
}

func podStrategy() strategy {
	kind := federated.Kind{Kind: "FederatedPod", Resource: "federatedpods", Namespaced: true, TargetNamespaced: true,
		Target: gvk.GroupVersionKind{Version: "v1", Kind: "Pod"}}
	types := wire.NewTypes()
	types.SetKinds([]federated.Kind{kind})
	target := pods()
	return strategy{Types: types, NameGenerator: names.SimpleNameGenerator, kind: kind, placement: noTargets{}, schema: func() *schema.Target { return target }}
}

func podObject(template []byte) *typesv1beta2.FederatedObject {
	o := &typesv1beta2.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: "FederatedPod", APIVersion: federated.V1beta2.String()}}
	o.Name, o.Namespace, o.ResourceVersion = "web", "shop", ""
	o.Spec.TopologyType, o.Spec.Template = typesv1beta2.TopologyCluster, template
	o.Spec.Placement = &typesv1beta2.Placement{Topologies: []typesv1beta2.TopologyReference{{Name: "m1"}, {Name: "m2"}}}
	return o
}

func benchContext(b *testing.B) context.Context {
	ctx := genericapirequest.WithNamespace(b.Context(), "shop")
	return genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{APIGroup: federated.GroupName, APIVersion: "v1beta2"})
}

// BenchmarkWrite is what the strategy costs in one write: prepare, validate, warn.
func BenchmarkWrite(b *testing.B) {
	for _, kib := range []int{4, 64} {
		first, second := podTemplate(kib, "web:1"), podTemplate(kib, "web:2")
		b.Run(fmt.Sprintf("create/%dKiB", kib), func(b *testing.B) {
			s := podStrategy()
			b.ReportAllocs()
			for b.Loop() {
				ctx, o := ForRequest(benchContext(b), metav1.FieldValidationWarn), podObject(first)
				rest.FillObjectMetaSystemFields(o)
				if err := rest.BeforeCreate(s, ctx, o); err != nil {
					b.Fatal(err)
				}
				s.WarningsOnCreate(ctx, o)
			}
		})
		for name, template := range map[string][]byte{"template": second, "mask": first} {
			b.Run(fmt.Sprintf("update-of-%s/%dKiB", name, kib), func(b *testing.B) {
				s, old := podStrategy(), podObject(first)
				s.PrepareForCreate(benchContext(b), old)
				old.ResourceVersion = "1"
				b.ReportAllocs()
				for b.Loop() {
					ctx, o := ForRequest(benchContext(b), metav1.FieldValidationWarn), podObject(template)
					if name == "mask" {
						o.Spec.Template = old.Spec.Template
						o.Spec.PlacementMask = &typesv1beta2.Placement{Topologies: []typesv1beta2.TopologyReference{}}
					}
					o.ResourceVersion = "1"
					if err := rest.BeforeUpdate(s, ctx, o, old); err != nil {
						b.Fatal(err)
					}
					s.WarningsOnUpdate(ctx, o, old)
				}
			})
		}
	}
}
