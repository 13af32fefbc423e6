package conversion_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion/conversiontest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/validation"
)

const rounds = 1000

func encode(t testing.TB, v any) string {
	t.Helper()
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatalf("encode: %v", err)
	}
	return buf.String()
}

func toV1beta1(t testing.TB, in *v1beta2.FederatedObject) *v1beta1.FederatedObject {
	t.Helper()
	out, err := conversion.ToV1beta1(in)
	if err != nil {
		t.Fatalf("ToV1beta1: %v", err)
	}
	return out
}

func toV1beta2(t testing.TB, in *v1beta1.FederatedObject) *v1beta2.FederatedObject {
	t.Helper()
	out, err := conversion.ToV1beta2(in)
	if err != nil {
		t.Fatalf("ToV1beta2 of\n%s: %v", encode(t, in), err)
	}
	return out
}

func TestEveryValidObjectSurvivesBothWays(t *testing.T) {
	objects := conversiontest.NewObjects(1)
	for range rounds {
		hub := objects.Next()
		before := encode(t, hub)
		cluster := toV1beta1(t, hub)
		if diff := cmp.Diff(before, encode(t, toV1beta2(t, cluster))); diff != "" {
			t.Fatalf("v1beta2 -> v1beta1 -> v1beta2 (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(hub, toV1beta2(t, cluster)); diff != "" {
			t.Fatalf("v1beta2 -> v1beta1 -> v1beta2, as Go values (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(encode(t, cluster), encode(t, toV1beta1(t, toV1beta2(t, cluster)))); diff != "" {
			t.Fatalf("v1beta1 -> v1beta2 -> v1beta1 (-before +after):\n%s", diff)
		}
		if after := encode(t, hub); after != before {
			t.Fatalf("the input was modified:\n%s", cmp.Diff(before, after))
		}
	}
}

func TestObjectsSurviveTheWire(t *testing.T) {
	objects := conversiontest.NewObjects(2)
	for range rounds {
		hub := objects.Next()
		var cluster v1beta1.FederatedObject
		decode(t, encode(t, toV1beta1(t, hub)), &cluster)
		var back v1beta2.FederatedObject
		decode(t, encode(t, toV1beta2(t, &cluster)), &back)
		if diff := cmp.Diff(encode(t, hub), encode(t, &back)); diff != "" {
			t.Fatalf("over the wire in both shapes (-before +after):\n%s", diff)
		}
	}
}

func TestSameInputGivesSameBytes(t *testing.T) {
	objects := conversiontest.NewObjects(3)
	for range rounds / 5 {
		hub := objects.Next()
		cluster := toV1beta1(t, hub)
		first, firstBack := encode(t, cluster), encode(t, toV1beta2(t, cluster))
		for range 5 {
			again := toV1beta1(t, hub.DeepCopy())
			if got := encode(t, again); got != first {
				t.Fatalf("ToV1beta1 is not stable:\n%s", cmp.Diff(first, got))
			}
			if got := encode(t, toV1beta2(t, again)); got != firstBack {
				t.Fatalf("ToV1beta2 is not stable:\n%s", cmp.Diff(firstBack, got))
			}
		}
	}
}

func TestTemplateBytesAreShared(t *testing.T) {
	hub := conversiontest.NewObjects(4).Next()
	cluster := toV1beta1(t, hub)
	if &hub.Spec.Template[0] != &cluster.Spec.Template[0] {
		t.Error("ToV1beta1 copied the template")
	}
	if back := toV1beta2(t, cluster); &back.Spec.Template[0] != &hub.Spec.Template[0] {
		t.Error("ToV1beta2 copied the template")
	}
}

func TestIntoOverwritesAll(t *testing.T) {
	objects := conversiontest.NewObjects(5)
	var cluster v1beta1.FederatedObject
	var back v1beta2.FederatedObject
	for range rounds / 5 {
		hub := objects.Next()
		if err := conversion.ToV1beta1Into(hub, &cluster); err != nil {
			t.Fatal(err)
		}
		if err := conversion.ToV1beta2Into(&cluster, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(hub, &back); diff != "" {
			t.Fatalf("into used objects (-before +after):\n%s", diff)
		}
	}
}

func decode(t testing.TB, data string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), into); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
}

// FuzzV1beta1 takes what any client may send. Whatever converts must then be stable.
func FuzzV1beta1(f *testing.F) {
	objects := conversiontest.NewObjects(6)
	for range 50 {
		cluster := toV1beta1(f, objects.Next())
		f.Add([]byte(encode(f, cluster)))
	}
	f.Add([]byte(`{"metadata":{"namespace":"shop","annotations":{"federation.koinon.io/topology":"{\"selectorOverrides\":[{\"index\":-1,\"override\":{\"topologySelector\":{}}}]}"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var sent v1beta1.FederatedObject
		if json.Unmarshal(data, &sent) != nil {
			return
		}
		before := encode(t, &sent)
		hub, err := conversion.ToV1beta2(&sent)
		if after := encode(t, &sent); after != before {
			t.Fatalf("the input was modified:\n%s", cmp.Diff(before, after))
		}
		if err != nil {
			return
		}
		again := toV1beta2(t, toV1beta1(t, hub))
		if hub.Namespace != "" && cmp.Diff(encode(t, hub), encode(t, again)) != "" {
			t.Fatalf("v1beta2 changed on its way (-before +after):\n%s", cmp.Diff(encode(t, hub), encode(t, again)))
		}
	})
}

// FuzzV1beta2 takes what any client may send. Whatever validates must then survive the
// other shape, over the wire, byte by byte.
func FuzzV1beta2(f *testing.F) {
	objects := conversiontest.NewObjects(8)
	for range 50 {
		f.Add([]byte(encode(f, objects.Next())))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var hub v1beta2.FederatedObject
		if json.Unmarshal(data, &hub) != nil {
			return
		}
		conversion.SetDefaults(&hub)
		hub.APIVersion = v1beta2.SchemeGroupVersion.String()
		opts := validation.Options{Namespaced: true}
		if validation.ValidateObject(&hub, opts) != nil || validation.ValidateStatusUpdate(&hub, &hub, opts) != nil || hub.Namespace == "" {
			return
		}
		var cluster v1beta1.FederatedObject
		decode(t, encode(t, toV1beta1(t, &hub)), &cluster)
		if diff := cmp.Diff(encode(t, &hub), encode(t, toV1beta2(t, &cluster))); diff != "" {
			t.Fatalf("over v1beta1 (-before +after):\n%s", diff)
		}
	})
}

func BenchmarkToV1beta1(b *testing.B) {
	for _, topologyType := range []string{"cluster", "cell"} {
		b.Run(topologyType, func(b *testing.B) {
			hub := benchObject(topologyType)
			var out v1beta1.FederatedObject
			b.ReportAllocs()
			for b.Loop() {
				if err := conversion.ToV1beta1Into(hub, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkToV1beta2(b *testing.B) {
	for _, topologyType := range []string{"cluster", "cell"} {
		b.Run(topologyType, func(b *testing.B) {
			cluster := toV1beta1(b, benchObject(topologyType))
			var out v1beta2.FederatedObject
			b.ReportAllocs()
			for b.Loop() {
				if err := conversion.ToV1beta2Into(cluster, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchObject has a template of 4 KiB, three targets, and an override for each.
func benchObject(topologyType string) *v1beta2.FederatedObject {
	obj := &v1beta2.FederatedObject{}
	obj.APIVersion, obj.Kind = "types.kubefed.io/v1beta2", "FederatedDeployment"
	obj.Name, obj.Namespace = "web", "shop"
	obj.Labels = map[string]string{"app": "web"}
	obj.Annotations = map[string]string{"example.com/owner": "shop"}
	obj.Spec.TopologyType = topologyType
	obj.Spec.Template = []byte(`{"spec":{"text":"` + string(bytes.Repeat([]byte("x"), 4096)) + `"}}`)
	obj.Spec.Placement = &v1beta2.Placement{}
	obj.Status = &v1beta2.FederatedObjectStatus{ObservedGeneration: 1}
	for _, name := range []string{"rz00a", "rz00b", "rz01a"} {
		obj.Spec.Placement.Topologies = append(obj.Spec.Placement.Topologies, v1beta2.TopologyReference{Name: name})
		obj.Spec.Overrides = append(obj.Spec.Overrides, v1beta2.Override{TopologyName: name, TopologyOverrides: []v1beta2.OverridePatch{
			{Path: "/spec/replicas", Value: []byte("3")},
		}})
		obj.Status.Targets = append(obj.Status.Targets, v1beta2.TargetStatus{Name: name, Cluster: "m1", Hash: "abc", Version: "gen:1", Generation: 1})
	}
	return obj
}
