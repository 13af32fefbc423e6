package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

func compile(t *testing.T, in request) *Base {
	t.Helper()
	base, err := Compile(t.Context(), in.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

func manifestFor(t *testing.T, base *Base, target Target) *Manifest {
	t.Helper()
	m, err := base.For(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func hashOf(t *testing.T, in request) string {
	t.Helper()
	return manifestFor(t, compile(t, in), in.Target).Hash
}

func TestTheHashStandsForWhatIsSent(t *testing.T) {
	const pods = `{"metadata":{"annotations":{"a":"1"}},"spec":{"replicas":3,"template":{"spec":{}}}}`
	for change, test := range map[string]struct {
		changed bool
		change  func(*request)
	}{
		"the template in another order": {false, func(in *request) {
			in.Template = rawjson.Value(`{"spec":{"template":{"spec":{}},"replicas": 3}}`)
		}},
		"an annotation that does not propagate": {false, func(in *request) {
			in.Template = rawjson.Value(strings.Replace(pods, `"a":"1"`, `"a":"2","b":"3"`, 1))
		}},
		"a status": {false, func(in *request) {
			in.Template = rawjson.Value(strings.Replace(pods, `{`, `{"status":{"replicas":3},`, 1))
		}},
		"an override for another target": {false, func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("other", patch("", "/spec/replicas", "4"))}
		}},
		"an override that says what the template says": {false, func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/spec/replicas", "3"))}
		}},
		"the federation": {false, func(in *request) { in.Federation = "f1" }},
		"the federation, where an override names it": {false, func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("add", "/metadata/annotations/federation.koinon.io~1federation", `"f2"`))}
		}},
		"the name of the target":   {false, func(in *request) { in.Target.Name = "rz01a" }},
		"the labels of the target": {false, func(in *request) { in.Labels = nil }},

		"the template":          {true, func(in *request) { in.Template = rawjson.Value(strings.Replace(pods, "3", "4", 1)) }},
		"an annotation is sent": {true, func(in *request) { in.PropagatingAnnotations = []string{"a"} }},
		"an override": {true, func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/spec/replicas", "4"))}
		}},
		"an override of a label": {true, func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("add", "/metadata/labels/a", `"b"`))}
		}},
		"the version": {true, func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/apiVersion", `"apps/v1beta2"`))}
		}},
		"the kind":              {true, func(in *request) { in.Kind.Kind = "ReplicaSet" }},
		"the source":            {true, func(in *request) { in.Source = "shop/other" }},
		"the name":              {true, func(in *request) { in.ObjectName = "other" }},
		"the namespace":         {true, func(in *request) { in.Namespace = "other" }},
		"no namespace":          {true, func(in *request) { in.Namespace = "" }},
		"annotations of ours":   {true, func(in *request) { in.Annotations = map[string]string{"a": "b"} }},
		"the nodes of its unit": {true, func(in *request) { in.NodeSelector = map[string]string{"a": "b"} }},
		"retained replicas":     {true, func(in *request) { in.RetainReplicas = true }},
	} {
		t.Run(change, func(t *testing.T) {
			in := input(pods)
			before := hashOf(t, in)
			test.change(&in)
			after := hashOf(t, in)
			if (after != before) != test.changed {
				t.Errorf("got hash %s and before %s, want a change: %v", after, before, test.changed)
			}
			if len(after) != 2*hashBytes {
				t.Errorf("hash %s has %d digits, want %d: there is one for each target", after, len(after), 2*hashBytes)
			}
		})
	}
}

// Records of targets hold the hash: if it were another one after an upgrade, every object in every
// member would be written.
func TestTheHashIsTheSameInAllReleases(t *testing.T) {
	in := input(`{"metadata":{"labels":{"a":"b"}},"spec":{"n":[1,1.50,true,false,null,"x"],"template":{"spec":{}}}}`)
	in.NodeSelector, in.Annotations = map[string]string{"unit": "north"}, map[string]string{"c": "d", "e": "f"}
	in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("add", "/spec/n/-", `{"g":{}}`))}
	if got, want := hashOf(t, in), "b72a48637baf82d0"; got != want {
		t.Errorf("got hash %s, want %s", got, want)
	}
}

// Kinds without pods are not bound to nodes, and are not sent anew when these change.
func TestTheNodesOfAUnitDoNotCountForKindsWithoutPods(t *testing.T) {
	in := input(`{"data":{"a":"1"}}`)
	before := hashOf(t, in)
	in.NodeSelector = map[string]string{"a": "b"}
	if after := hashOf(t, in); after != before {
		t.Errorf("got hash %s, want %s as before", after, before)
	}
}

// TestHashesAreEqualIfObjectsAre compares random manifests of one base.
func TestHashesAreEqualIfObjectsAre(t *testing.T) {
	seed := *patchSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-patch-seed=%d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 2))}
	byHash, byObject := map[string]string{}, map[string]string{}
	for range 40 {
		in := input(marshal(t, map[string]any{"spec": g.tree(2), "data": g.object(2)}))
		for range 20 {
			in.Overrides = append(in.Overrides, forTarget(fmt.Sprint(g.IntN(15)), g.patch(map[string]any{"spec": map[string]any{}, "data": g.object(2)})))
		}
		base := compile(t, in)
		for i := range 15 {
			m, err := base.For(t.Context(), Target{Name: fmt.Sprint(i), ObjectName: pick(g, []string{"a", "b"})})
			if err != nil {
				continue
			}
			object := marshal(t, m.Object())
			if other, there := byHash[m.Hash]; there && other != object {
				t.Errorf("hash %s is of %s and %s", m.Hash, other, object)
			}
			if other, there := byObject[object]; there && other != m.Hash {
				t.Errorf("%s has the hashes %s and %s", object, other, m.Hash)
			}
			byHash[m.Hash], byObject[object] = object, m.Hash
		}
	}
	if len(byHash) < 20 {
		t.Errorf("%d objects could be rendered: that compares too little", len(byHash))
	}
}

func TestTheFederationIsOnObjectsAndNotAskedFor(t *testing.T) {
	in := input(`{"metadata":{"annotations":{"federation.koinon.io/federation":"theirs"}}}`)
	in.PropagatingAnnotations, in.Federation = []string{"*"}, "ours"
	m := manifestFor(t, compile(t, in), in.Target)
	want := map[string]string{SourceAnnotation: "shop/web", federationv1alpha1.FederationAnnotation: "ours"}
	if diff := cmp.Diff(want, m.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	sent := stringMap(m.Object()["metadata"].(map[string]any)["annotations"])
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("annotations that are sent (-want +got):\n%s", diff)
	}
	older := map[string]string{SourceAnnotation: "shop/web"}
	if !m.Has(m.Labels, older) {
		t.Error("an object that an older release wrote counts as drift: all would be written at once")
	}
	if m.Has(m.Labels, map[string]string{federationv1alpha1.FederationAnnotation: "ours"}) {
		t.Error("an object without our source does not count as drift")
	}
}

func TestTheMarksOfANamespaceAreAskedFor(t *testing.T) {
	in := input(``)
	in.Kind, in.ObjectName, in.Namespace, in.Federation = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "shop", "", "ours"
	in.Annotations = map[string]string{federationv1alpha1.FederationAnnotation: "ours", federationv1alpha1.OwnerAnnotation: "namespace/shop"}
	m := manifestFor(t, compile(t, in), in.Target)
	for missing := range in.Annotations {
		live := maps.Clone(m.Annotations)
		delete(live, missing)
		if m.Has(m.Labels, live) {
			t.Errorf("a namespace without %s does not count as drift", missing)
		}
	}
	if !m.Has(m.Labels, m.Annotations) {
		t.Error("a namespace with all marks counts as drift")
	}
}

// What is sent to one target must not depend on what was done with another's.
func TestObjectsShareNothing(t *testing.T) {
	in := input(`{"metadata":{"labels":{"app":"web"}},"spec":{"list":[{"a":[1]}],"map":{"b":{}}}}`)
	in.Overrides = []v1beta2.Override{
		{TopologySelector: &metav1.LabelSelector{}, TopologyOverrides: []v1beta2.OverridePatch{patch("add", "/spec/value", `{"c":[{}]}`)}},
		forTarget("rz01a", patch("add", "/spec/value/d", `1`), patch("add", "/spec/value/c/0/e", `1`), patch("remove", "/spec/list/0/a/0", ``)),
	}
	base := compile(t, in)
	first, second := in.Target, in.Target
	second.Name = "rz01a"
	want := []string{marshal(t, manifestFor(t, base, first).Object()), marshal(t, manifestFor(t, base, second).Object())}
	for range 2 {
		spoil(manifestFor(t, base, first).Object())
		spoil(manifestFor(t, base, second).Object())
		got := []string{marshal(t, manifestFor(t, base, first).Object()), marshal(t, manifestFor(t, base, second).Object())}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("an object changed with another one (-want +got):\n%s", diff)
		}
	}
}

// spoil changes everything in a tree.
func spoil(tree any) {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			spoil(value)
			v[key] = "spoilt"
		}
		v["more"] = true
	case []any:
		for i := range v {
			spoil(v[i])
			v[i] = "spoilt"
		}
	}
}

func TestOverridesApplyInTheOrderOfTheSpec(t *testing.T) {
	in := input(`{"spec":{"order":[]}}`)
	bySelector := func(zone string, patches ...v1beta2.OverridePatch) v1beta2.Override {
		return v1beta2.Override{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": zone}}, TopologyOverrides: patches}
	}
	note := func(i int) v1beta2.OverridePatch { return patch("add", "/spec/order/-", fmt.Sprint(i)) }
	in.Overrides = []v1beta2.Override{
		forTarget("rz00a", note(0)), bySelector("a", note(1)), bySelector("b", note(2)),
		forTarget("other", note(3)), forTarget("rz00a", note(4)), bySelector("a", note(5)),
	}
	m, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(m.JSON), `"order":[0,1,4,5]`) {
		t.Errorf("got %s", m.JSON)
	}
}

// Nobody knows which targets it is for. What is wrong before it is said first.
func TestABrokenSelectorFailsEveryTarget(t *testing.T) {
	in := input(`{}`)
	in.Overrides = []v1beta2.Override{
		forTarget("rz01a", patch("move", "/spec", "1")),
		{TopologySelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}},
	}
	base := compile(t, in)
	for target, want := range map[string]string{"rz00a": "spec.overrides[1]: topologySelector: ", "rz01a": "spec.overrides[0].topologyOverrides[0] "} {
		if _, err := base.For(t.Context(), Target{Name: target}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("target %s: got error %v, want one that begins with %q", target, err, want)
		}
	}
}

// failing is an object as issue 8 has it: patches that are right, and one that is not.
func failing(patches int) request {
	in := input(`{"data":{"a":"` + strings.Repeat("x", 600_000) + `"},"list":[]}`)
	var all []v1beta2.OverridePatch
	for i := range patches - 1 {
		all = append(all, patch("add", fmt.Sprintf("/data/k%d", i), `"v"`))
	}
	in.Overrides = []v1beta2.Override{forTarget("rz00a", append(all, patch("add", "/none/x", "1"))...)}
	return in
}

// counting is a context that ends when it has been asked so often.
type counting struct {
	context.Context
	mu          sync.Mutex
	asked, ends int
}

func (c *counting) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked++; c.ends > 0 && c.asked >= c.ends {
		return context.Canceled
	}
	return nil
}

func TestThePatchThatFailsIsNamedInOnePass(t *testing.T) {
	in := failing(16_000)
	base, ctx := compile(t, in), &counting{Context: t.Context()}
	_, err := base.For(ctx, in.Target)
	var refused *OverrideError
	if !errors.As(err, &refused) || refused.Override != 0 || refused.Patch != 15_999 || refused.Path != "/none/x" {
		t.Fatalf("got error %v, want the last patch to blame", err)
	}
	// Each patch is made ready once, and applied once.
	if most := 2 * 16_000 / checkEvery; ctx.asked > most {
		t.Errorf("%d times %d steps were made for 16,000 patches, want at most %d", ctx.asked, checkEvery, most)
	}
	asked := ctx.asked
	for range 10 {
		if _, again := base.For(ctx, in.Target); again != err {
			t.Fatalf("got error %v, want the one that is remembered", again)
		}
	}
	if ctx.asked != asked {
		t.Error("the patches were applied again, although their error is known")
	}
}

// Who cancels gets that error, and the next one what is true.
func TestPatchesEndWithTheirContext(t *testing.T) {
	in := failing(16_000)
	var base *Base
	for _, ends := range []int{1, 30, 63, 100} { // half of it makes the patches ready
		base = compile(t, in)
		ctx := &counting{Context: t.Context(), ends: ends}
		if _, err := base.For(ctx, in.Target); !errors.Is(err, context.Canceled) {
			t.Errorf("ended when asked %d times: got error %v, want that it was canceled", ends, err)
		}
		if ctx.asked > ends {
			t.Errorf("ended when asked %d times: went on until %d", ends, ctx.asked)
		}
	}
	var refused *OverrideError
	if _, err := base.For(t.Context(), in.Target); !errors.As(err, &refused) {
		t.Errorf("got error %v after one that was canceled, want that of the patch", err)
	}
}

func TestCompileEndsWithItsContext(t *testing.T) {
	in := input(`{}`)
	for i := range 1000 {
		in.Overrides = append(in.Overrides, forTarget(fmt.Sprint(i)))
	}
	for ends := range 4 {
		ctx := &counting{Context: t.Context(), ends: ends}
		if _, err := Compile(ctx, in.Spec); (ends > 0) != errors.Is(err, context.Canceled) {
			t.Errorf("ended when asked %d times: got error %v", ends, err)
		}
	}
}

// A hash is compared at every sync of every target: nothing is copied or encoded for it.
func TestAManifestThatIsOnlyHashedIsNotMade(t *testing.T) {
	for _, overridden := range []bool{false, true} {
		small, large := input(`{"spec":{"a":[]}}`), input(`{"spec":{"a":[`+strings.Repeat(`{"b":"c"},`, 5000)+`{}]}}`)
		for _, in := range []*request{&small, &large} {
			if overridden {
				in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("add", "/spec/b", "1"), patch("add", "/spec/a/0", "1"))}
			}
			base := compile(t, *in)
			manifestFor(t, base, in.Target)
			allocations := testing.AllocsPerRun(10, func() { manifestFor(t, base, in.Target) })
			if allocations > 5 {
				t.Errorf("overridden %v, %d bytes: %v allocations", overridden, len(in.Template), allocations)
			}
		}
	}
}

func TestManifestsWithoutOverridesShareTheirMaps(t *testing.T) {
	in := input(`{"metadata":{"labels":{"app":"web"}}}`)
	in.Overrides = []v1beta2.Override{forTarget("b", patch("add", "/spec", "{}"))}
	base := compile(t, in)
	a, b := manifestFor(t, base, Target{Name: "a", ObjectName: "a"}), manifestFor(t, base, Target{Name: "b", ObjectName: "b"})
	if reflect.ValueOf(a.Labels).Pointer() != reflect.ValueOf(b.Labels).Pointer() ||
		reflect.ValueOf(a.Annotations).Pointer() != reflect.ValueOf(b.Annotations).Pointer() {
		t.Error("the labels and annotations of two targets are copies")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	in := input(`{}`)
	var labels []string
	for i := range 1000 {
		labels = append(labels, fmt.Sprintf(`"l%d":"v"`, i))
	}
	in.Template = rawjson.Value(`{"metadata":{"labels":{` + strings.Join(labels, ",") + `}}}`)
	const targets = 600
	for i := range targets {
		in.Overrides = append(in.Overrides, forTarget(fmt.Sprint(i), patch("add", "/metadata/labels/mine", fmt.Sprintf(`"%d"`, i))))
	}
	base := compile(t, in)
	empty := base.SizeBytes()
	hashes := map[string]bool{}
	for round := range 2 {
		for i := range targets {
			m := manifestFor(t, base, Target{Name: fmt.Sprint(i)})
			if m.Labels["mine"] != fmt.Sprint(i) {
				t.Fatalf("target %d got the label %q", i, m.Labels["mine"])
			}
			hashes[m.Hash] = true
		}
		if len(hashes) != targets {
			t.Errorf("round %d: got %d hashes of %d targets", round, len(hashes), targets)
		}
	}
	if size := base.SizeBytes() - empty; size > memoLimitBytes || size < memoLimitBytes/2 {
		t.Errorf("%d bytes are remembered, of at most %d", size, memoLimitBytes)
	}
}

func TestABaseMayBeUsedConcurrently(t *testing.T) {
	in := input(`{"metadata":{"labels":{"app":"web"}},"spec":{"a":[1,2,3]}}`)
	for i := range 20 {
		in.Overrides = append(in.Overrides, forTarget(fmt.Sprint(i), patch("add", "/spec/a/0", fmt.Sprint(i)), patch("add", "/metadata/labels/b", `"c"`)))
	}
	base := compile(t, in)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 40 {
				m, err := base.For(t.Context(), Target{Name: fmt.Sprint(i % 20), ObjectName: "web"})
				if err != nil {
					t.Error(err)
					return
				}
				spec, _ := m.Object()["spec"].(map[string]any)
				if list, _ := spec["a"].([]any); len(list) != 4 || fmt.Sprint(list[0]) != fmt.Sprint(i%20) {
					t.Errorf("target %d got %v", i%20, spec)
				}
			}
		})
	}
	all.Wait()
}

func TestPatchesThatTheLibraryTookWrongly(t *testing.T) {
	for name, test := range map[string]struct {
		patches []v1beta2.OverridePatch
		want    string
	}{
		"a replace of a missing field whose name begins with -": {
			[]v1beta2.OverridePatch{patch("", "/data/-x", "1")}, "(path \"/data/-x\"): there is nothing to replace at this path",
		},
		"a way through a null that a patch has set": {
			[]v1beta2.OverridePatch{patch("add", "/data/a", "null"), patch("add", "/data/a/b", "1")},
			"topologyOverrides[1] (path \"/data/a/b\"): what this path leads through is not there",
		},
		"an index that is too large": {
			[]v1beta2.OverridePatch{patch("", "/list/3", "1")}, "(path \"/list/3\"): the index at the end of this path is out of range: the list has 3 elements",
		},
		"an index that is too small": {
			[]v1beta2.OverridePatch{patch("add", "/list/-5", "1")}, "out of range: the list has 3 elements",
		},
		"a name in a list": {
			[]v1beta2.OverridePatch{patch("remove", "/list/name", "")}, "must be an index, as it leads to a list",
		},
		"a removal of the place behind a list": {
			[]v1beta2.OverridePatch{patch("remove", "/list/-", "")}, "must be an index, as it leads to a list",
		},
		"a value that is no JSON": {
			[]v1beta2.OverridePatch{patch("", "/data", "{}x")}, "value: must be one JSON value",
		},
		"too deep a value": {
			[]v1beta2.OverridePatch{patch("add", "/data/a", `{}`), patch("add", "/data/a/b", strings.Repeat("[", 9_998)+strings.Repeat("]", 9_998))},
			"topologyOverrides[1] (path \"/data/a/b\"): puts more than 10000 objects and lists around one another",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(`{"data":{},"list":[1,2,3]}`)
			in.Overrides = []v1beta2.Override{forTarget("rz00a", test.patches...)}
			if _, err := render(t, in); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}
