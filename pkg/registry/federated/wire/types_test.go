package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion/conversiontest"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

func newTypes() *Types {
	types := NewTypes()
	types.SetKinds([]federated.Kind{{Kind: "FederatedDeployment", Resource: "federateddeployments"}})
	return types
}

// encoded is the JSON of a federated object or list of any form, without a difference
// between numbers that are equal.
func encoded(t *testing.T, obj runtime.Object) map[string]any {
	t.Helper()
	var buf bytes.Buffer
	if u, ok := obj.(runtime.Unstructured); ok {
		return u.UnstructuredContent()
	}
	if done, err := WriteJSON(obj, &buf); !done || err != nil {
		t.Fatalf("encode a %T: %v, %v", obj, done, err)
	}
	content := map[string]any{}
	if err := utiljson.Unmarshal(buf.Bytes(), &content); err != nil {
		t.Fatal(err)
	}
	return content
}

// plain returns the object with numbers as an unstructured one holds them, so that all forms
// can hold it. It reports false for an object with a number that is too large for that.
func plain(o *typesv1beta2.FederatedObject) (*typesv1beta2.FederatedObject, bool) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(o.GroupVersionKind())
	if err := NewTypes().Convert(o, u, nil); err != nil {
		return nil, false
	}
	out, err := fromUnstructured(u)
	if err != nil {
		return nil, false
	}
	return out.(*typesv1beta2.FederatedObject), true
}

// form is one in which admission, or anybody else, may want objects and lists.
type form struct {
	version schema.GroupVersion
	empty   func(kind string) runtime.Object
}

var forms = map[string]form{
	"typed v1beta1": {federated.V1beta1, func(kind string) runtime.Object {
		if strings.HasSuffix(kind, "List") {
			return &typesv1beta1.FederatedObjectList{}
		}
		return &typesv1beta1.FederatedObject{}
	}},
	"typed v1beta2": {federated.V1beta2, func(kind string) runtime.Object {
		if strings.HasSuffix(kind, "List") {
			return &typesv1beta2.FederatedObjectList{}
		}
		return &typesv1beta2.FederatedObject{}
	}},
	"unstructured v1beta1": {federated.V1beta1, newUnstructured(federated.V1beta1)},
	"unstructured v1beta2": {federated.V1beta2, newUnstructured(federated.V1beta2)},
}

func newUnstructured(version schema.GroupVersion) func(kind string) runtime.Object {
	return func(kind string) runtime.Object {
		if strings.HasSuffix(kind, "List") {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(version.WithKind(kind))
			return list
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(version.WithKind(kind))
		return u
	}
}

// shown is the object or list in a version, as the pure conversion gives it.
func shown(t *testing.T, hub runtime.Object, version schema.GroupVersion) map[string]any {
	t.Helper()
	if version == federated.V1beta2 {
		return encoded(t, hub)
	}
	switch o := hub.(type) {
	case *typesv1beta2.FederatedObject:
		converted, err := conversion.ToV1beta1(o)
		if err != nil {
			t.Fatal(err)
		}
		return encoded(t, converted)
	case *typesv1beta2.FederatedObjectList:
		converted, err := listToV1beta1(o)
		if err != nil {
			t.Fatal(err)
		}
		return encoded(t, converted)
	}
	t.Fatalf("a %T is no federated object", hub)
	return nil
}

func TestConvertTakesEveryFormToEveryOther(t *testing.T) {
	types, objects := newTypes(), conversiontest.NewObjects(1)
	var hubs []runtime.Object
	list := &typesv1beta2.FederatedObjectList{TypeMeta: metav1.TypeMeta{Kind: "FederatedDeploymentList", APIVersion: federated.V1beta2.String()}}
	for len(hubs) < 30 {
		if o, ok := plain(objects.Next()); ok {
			hubs = append(hubs, o)
			list.Items = append(list.Items, *o)
		}
	}
	hubs = append(hubs, list)
	for _, hub := range hubs {
		kind := hub.GetObjectKind().GroupVersionKind().Kind
		for from, source := range forms {
			in := source.empty(kind)
			if err := types.Convert(hub, in, nil); err != nil {
				t.Fatalf("from the stored form to %s: %v", from, err)
			}
			for to, target := range forms {
				out := target.empty(kind)
				if err := types.Convert(in, out, nil); err != nil {
					t.Fatalf("from %s to %s: %v", from, to, err)
				}
				if diff := cmp.Diff(shown(t, hub, target.version), encoded(t, out)); diff != "" {
					t.Fatalf("from %s to %s (-want +got):\n%s", from, to, diff)
				}
			}
		}
	}
}

func TestConvertRefusesAnotherKind(t *testing.T) {
	types := newTypes()
	service := newDeployment()
	service.Kind = "FederatedService"
	for name, form := range forms {
		out := form.empty("FederatedDeployment")
		out.GetObjectKind().SetGroupVersionKind(form.version.WithKind("FederatedDeployment"))
		err := types.Convert(service, out, nil)
		if err == nil || !strings.Contains(err.Error(), "FederatedService and FederatedDeployment are two kinds") {
			t.Errorf("to %s: got %v, want the two kinds", name, err)
		}
	}
}

func TestConvertCopiesScales(t *testing.T) {
	types := newTypes()
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}
	for name, in := range map[string]runtime.Object{
		"typed": scale,
		"unstructured": &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": map[string]any{"name": "web"}, "spec": map[string]any{"replicas": int64(3)},
		}},
	} {
		out, err := types.New(ScaleKind)
		if err != nil {
			t.Fatal(err)
		}
		if err := types.Convert(in, out, nil); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := out.(*autoscalingv1.Scale)
		got.TypeMeta = metav1.TypeMeta{}
		if diff := cmp.Diff(scale, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
