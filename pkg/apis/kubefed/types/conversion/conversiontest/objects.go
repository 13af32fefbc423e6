// Package conversiontest makes federated objects for tests: random ones that validate,
// of all topology types, with every variation of null, absent and empty that the types
// can tell apart. It is for tests only.
package conversiontest

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Objects fills FederatedObjects of v1beta2, each valid and with everything defaulted
// set, from one source of randomness.
type Objects struct{ fill *randfill.Filler }

// NewObjects returns a generator; the same seed gives the same objects.
func NewObjects(seed int64) Objects {
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	funcs := fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, Funcs)
	return Objects{fill: fuzzer.FuzzerFor(funcs, rand.NewSource(seed), codecs)}
}

// Next returns a new object.
func (o Objects) Next() *v1beta2.FederatedObject {
	obj := &v1beta2.FederatedObject{}
	o.fill.Fill(obj)
	return obj
}

// Funcs are the fuzzer functions of the types, for apimachinery's round-trip helpers.
func Funcs(serializer.CodecFactory) []any {
	return []any{fillObject, fillValue}
}

func fillObject(obj *v1beta2.FederatedObject, c randfill.Continue) {
	c.Fill(&obj.ObjectMeta)
	obj.TypeMeta = metav1.TypeMeta{APIVersion: v1beta2.SchemeGroupVersion.String(), Kind: "FederatedDeployment"}
	obj.Name, obj.Namespace, obj.GenerateName = label(c), label(c), ""
	obj.Labels, obj.Annotations = randomLabels(c), randomLabels(c)
	obj.Spec = v1beta2.FederatedObjectSpec{
		TopologyType: pick(c, v1beta2.TopologyCluster, v1beta2.TopologyCell, v1beta2.TopologyEdgeUnit,
			"cell:zone", "cluster:topology.kubernetes.io/region", "edgeunit:idc"),
		Template:       rawjson.Value(`{"spec":` + string(randomValue(c, 4)) + `}`),
		Placement:      randomPlacement(c),
		PlacementMask:  randomPlacement(c),
		Overrides:      randomOverrides(c),
		RetainReplicas: pick(c, nil, new(true), new(false)),
	}
	obj.Status = randomStatus(c)
	if topology.Label(obj.Spec.TopologyType) != "" {
		inGroups(obj, c)
	}
}

// inGroups makes a random object one that a user-defined type allows: names of groups may hold dots, a
// placement has them or a selector, and the status may have a group without targets.
func inGroups(obj *v1beta2.FederatedObject, c randfill.Continue) {
	for i := range obj.Spec.Overrides {
		if o := &obj.Spec.Overrides[i]; o.TopologyName != "" {
			o.TopologyName += pick(c, "", ".a", "_B")
		}
	}
	if p := obj.Spec.Placement; p != nil && len(p.Topologies) > 0 {
		p.TopologySelector = nil
	}
	if s := obj.Status; s != nil && len(s.Targets) > 0 && c.Bool() {
		s.Targets = append(s.Targets, v1beta2.TargetStatus{
			Name: topology.GroupTarget(obj.Spec.TopologyType, label(c)+".x"), State: v1beta2.TargetNotFound, Message: "sentence",
		})
	}
}

func fillValue(v *rawjson.Value, c randfill.Continue) { *v = randomValue(c, 3) }

func pick[T any](c randfill.Continue, choices ...T) T { return choices[c.Intn(len(choices))] }

// label returns a DNS label.
func label(c randfill.Continue) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	for range 1 + c.Intn(12) {
		b.WriteByte(letters[c.Intn(len(letters))])
	}
	return b.String()
}

// distinct returns up to n different labels.
func distinct(c randfill.Continue, n int) []string {
	seen := []string{}
	for range c.Intn(n + 1) {
		if l := label(c); !slices.Contains(seen, l) {
			seen = append(seen, l)
		}
	}
	return seen
}

func randomLabels(c randfill.Continue) map[string]string {
	var out map[string]string
	for _, key := range distinct(c, 3) {
		if out == nil {
			out = map[string]string{}
		}
		out[pick(c, "", "example.com/")+key] = label(c)
	}
	return out
}

func randomSelector(c randfill.Continue) *metav1.LabelSelector {
	s := &metav1.LabelSelector{MatchLabels: randomLabels(c)}
	if c.Bool() {
		s.MatchExpressions = []metav1.LabelSelectorRequirement{
			{Key: label(c), Operator: metav1.LabelSelectorOpIn, Values: []string{label(c), label(c)}},
			{Key: label(c), Operator: metav1.LabelSelectorOpDoesNotExist},
		}
	}
	return pick(c, nil, &metav1.LabelSelector{}, s)
}

func randomPlacement(c randfill.Continue) *v1beta2.Placement {
	p := &v1beta2.Placement{TopologySelector: randomSelector(c)}
	if c.Bool() {
		p.Topologies = []v1beta2.TopologyReference{}
		for _, name := range distinct(c, 4) {
			p.Topologies = append(p.Topologies, v1beta2.TopologyReference{Name: name})
		}
	}
	return pick(c, nil, &v1beta2.Placement{}, p, p)
}

func randomOverrides(c randfill.Continue) []v1beta2.Override {
	out := []v1beta2.Override{}
	for _, name := range distinct(c, 5) {
		o := v1beta2.Override{TopologyName: name, TopologyOverrides: randomPatches(c)}
		if s := randomSelector(c); s != nil {
			o.TopologyName, o.TopologySelector = "", s
		}
		out = append(out, o)
	}
	return pick(c, nil, []v1beta2.Override{}, out, out, out)
}

func randomPatches(c randfill.Continue) []v1beta2.OverridePatch {
	out := []v1beta2.OverridePatch{}
	for _, part := range distinct(c, 4) {
		p := v1beta2.OverridePatch{Op: pick(c, "", "add", "remove", "replace"), Path: "/spec/" + part}
		if c.Bool() {
			p.Value = randomValue(c, 2)
		}
		out = append(out, p)
	}
	return pick(c, nil, []v1beta2.OverridePatch{}, out, out)
}

func randomStatus(c randfill.Continue) *v1beta2.FederatedObjectStatus {
	s := &v1beta2.FederatedObjectStatus{ObservedGeneration: int64(c.Intn(9))}
	if c.Bool() {
		s.Conditions = []v1beta2.Condition{{
			Type: v1beta2.ConditionPropagation, Status: pick(c, metav1.ConditionTrue, metav1.ConditionFalse),
			Reason: pick(c, "", "CheckClusters"), Message: pick(c, "", "rz00a: quota exceeded <1>"),
			LastUpdateTime: "2026-11-22T01:02:03Z", LastTransitionTime: pick(c, "", "2026-11-22T01:02:03Z"),
		}}
	}
	if c.Bool() {
		s.Workload = &v1beta2.WorkloadStatus{DesiredReplicas: int64(c.Intn(3)), Replicas: int64(c.Intn(3)), UpdatedReplicas: int64(c.Intn(3)),
			ReadyReplicas: int64(c.Intn(3)), AvailableReplicas: int64(c.Intn(3))}
	}
	for _, name := range distinct(c, 5) {
		t := v1beta2.TargetStatus{Name: name, State: pick(c, v1beta2.TargetOK, v1beta2.TargetMasked, v1beta2.TargetUpdateFailed)}
		if c.Bool() {
			t.RemoteStatus = randomValue(c, 2)
		}
		if c.Bool() {
			t.Message, t.Cluster, t.Namespace = pick(c, "", "sentence"), pick(c, "", "m1"), pick(c, "", "shop-a")
			t.Hash, t.Version, t.Generation = pick(c, "", "abc"), pick(c, "", "gen:4"), int64(c.Intn(3))
			t.Ended = c.Bool()
			t.Health = pick(c, "", v1beta2.HealthHealthy, v1beta2.HealthDegraded)
			t.HealthMessage, t.Replicas, t.Ready = pick(c, "", "Ready: 1/3"), int64(c.Intn(3)), int64(c.Intn(3))
			t.Former = pick(c, nil, []v1beta2.FormerPlace{{Cluster: "m0", Namespace: pick(c, "", "shop-a"), Hash: pick(c, "", "abc"), Version: "gen:3",
				State: v1beta2.TargetWaitingForRemoval, Message: pick(c, "", "a <sentence>"), Generation: int64(c.Intn(3)), Ended: c.Bool()}})
		}
		s.Targets = append(s.Targets, t)
	}
	return pick(c, nil, &v1beta2.FederatedObjectStatus{}, s, s, s)
}

// randomValue returns compact JSON, with strings that encoders like to change.
func randomValue(c randfill.Continue, depth int) rawjson.Value {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch c.Intn(kinds) {
	case 0:
		return rawjson.Value("null")
	case 1:
		return rawjson.Value(pick(c, "0", "-0", "3", "1e300", "1.50", "123456789012345678901234567890"))
	case 2:
		return rawjson.Value(pick(c, `""`, `"<&>"`, `"\u003c"`, `"a\/b"`, `"\u2028"`, "\"\u2028é\""))
	case 3:
		return rawjson.Value(pick(c, "true", "false"))
	case 4:
		items := make([]string, c.Intn(4))
		for i := range items {
			items[i] = string(randomValue(c, depth-1))
		}
		return rawjson.Value("[" + strings.Join(items, ",") + "]")
	default:
		var fields []string
		for _, key := range distinct(c, 4) {
			fields = append(fields, fmt.Sprintf("%q:%s", key, randomValue(c, depth-1)))
		}
		return rawjson.Value("{" + strings.Join(fields, ",") + "}")
	}
}
