package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
)

const testWeb = testTypes + "federatedconfigmaps/web"

// departing is an object that is being deleted, in m1 and in m3, which is Offline.
const departing = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap,
	metadata: {name: web, namespace: shop, generation: 2, resourceVersion: "9", deletionTimestamp: "2026-01-01T00:00:00Z"},
	spec: {template: {data: {color: blue}}, placement: {topologies: [{name: m1}, {name: m3}]}},
	status: {observedGeneration: 2, targets: [
		{name: m1, hash: h, version: "gen:1", cluster: m1, namespace: shop, state: WaitingForRemoval},
		{name: m2, cluster: m2, namespace: shop, state: Pending},
		{name: m3, hash: h, version: "gen:1", cluster: m3, namespace: shop, state: ClusterNotReady}]}}`

func TestWhatIsAbandonedIsSaid(t *testing.T) {
	annotated := func(value string) string {
		return strings.Replace(departing, `generation: 2,`, `generation: 2, annotations: {federation.koinon.io/abandon: "`+value+`"},`, 1)
	}
	const m3 = "  m3: ConfigMap shop/web in member m3 (member \"m3\" is Offline: nobody answers)"
	for name, c := range map[string]struct {
		object string
		args   []string
		want   string
		err    string
		after  string // the annotation
	}{
		"without --yes nothing is written": {object: departing,
			want: "FederatedConfigMap shop/web: what is in 1 of its targets would be left behind, and stays when the member is back, without Koinon's label\n" + m3 + "\n",
			err:  "nothing was written: --yes gives them up"},
		"those that hold the deletion up": {object: departing, args: []string{"--yes"},
			want:  "FederatedConfigMap shop/web: what is in 1 of its targets is left behind, and stays when the member is back, without Koinon's label\n" + m3 + "\n",
			after: "m3"},
		"one by name, beside another": {object: annotated("m7"), args: []string{"m3", "--yes"},
			want:  "FederatedConfigMap shop/web: what is in 1 of its targets is left behind, and stays when the member is back, without Koinon's label\n" + m3 + "\n",
			after: "m7,m3"},
		"one that was": {object: annotated("*"), args: []string{"m3"},
			want:  "FederatedConfigMap shop/web: what is in 1 of its targets was given up already, and stays when the member is back, without Koinon's label\n" + m3 + "\n",
			after: "*"},
		"one before the object is deleted": {object: strings.Replace(departing, `, deletionTimestamp: "2026-01-01T00:00:00Z"`, "", 1), args: []string{"m3", "--yes"},
			want:  "FederatedConfigMap shop/web: what is in 1 of its targets is left behind, and stays when the member is back, without Koinon's label\n" + m3 + "; once the object is deleted, or no longer placed there\n",
			after: "m3"},
		"none, as the object leaves no target": {object: strings.Replace(departing, `, deletionTimestamp: "2026-01-01T00:00:00Z"`, "", 1), args: []string{"--yes"},
			want: "FederatedConfigMap shop/web: nothing is held up by a member that cannot be reached\n"},
		"none while the member counts as ready": {object: strings.Replace(strings.Replace(departing, "state: WaitingForRemoval", "state: DeletionFailed, message: connection refused", 1), `name: m3, hash: h,`, `name: m3,`, 1), args: []string{"--yes"},
			want: "FederatedConfigMap shop/web: nothing is held up by a member that cannot be reached; it waits for what its member has, which counts as ready: m1 (DeletionFailed, connection refused)\n"},
		"one whose member is ready": {object: departing, args: []string{"m1", "--yes"},
			err: `FederatedConfigMap shop/web: member "m1" is ready (Kubernetes v1.36.3): what is in target "m1" is deleted there, and not given up`},
		"one that never got it": {object: departing, args: []string{"m2", "--yes"},
			err: `FederatedConfigMap shop/web: "m2" is no target that the object was written to; those are m1, m3`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(testWeb, c.object)
			stdout, _, err := run(t, append([]string{"abandon", "fcm/web"}, c.args...)...)
			if got := errorText(err); got != c.err {
				t.Errorf("error %q, want %q", got, c.err)
			}
			if diff := cmp.Diff(c.want, stdout); diff != "" {
				t.Errorf("it said (-want +got):\n%s", diff)
			}
			annotations, _ := h.objects[testWeb]["metadata"].(map[string]any)["annotations"].(map[string]any)
			if got, _ := annotations[v1beta1.AbandonAnnotation].(string); got != c.after {
				t.Errorf("the annotation is %q, want %q", got, c.after)
			}
			if code := ExitCode(err); (code == 0) != (c.err == "") || code > 1 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestAPlaceThatACellHasLeftIsAbandoned(t *testing.T) {
	const left = `FederatedConfigMap shop/web: what is in 1 of its targets is left behind, and stays when the member is back, without Koinon's label
  c: ConfigMap shop-c/web in member m3 (member "m3" is Offline: nobody answers)
`
	for _, args := range [][]string{{"--yes"}, {"c", "--yes"}} {
		for name, target := range map[string]string{
			"before the controllers have looked": `{name: c, hash: x, version: "gen:1", cluster: m3, namespace: shop-c, generation: 4}`,
			"after that": `{name: c, hash: x, version: "gen:1", cluster: m2, namespace: shop-c, generation: 4, state: WaitingForRemoval,
				former: [{hash: x, version: "gen:1", cluster: m3, namespace: shop-c, generation: 4, state: WaitingForRemoval}]}`,
		} {
			h := newFakeHub(t)
			h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: c}, spec: {clusterName: m2, memberNamespace: shop-c}}]}`)
			h.put(testWeb, `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 4, resourceVersion: "9"},
				spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c}]}},
				status: {observedGeneration: 4, targets: [`+target+`]}}`)
			stdout, stderr, err := run(t, append([]string{"abandon", "fcm/web"}, args...)...)
			if diff := cmp.Diff(left, stdout); err != nil || diff != "" {
				t.Errorf("%s, %v: %v %s; it said (-want +got):\n%s", name, args, err, stderr, diff)
			}
		}
	}
}

// What is in a namespace that is somebody else's by now is not deleted there, however well the member is.
func TestWhatIsInANamespaceOfSomebodyElseIsAbandoned(t *testing.T) {
	for _, args := range [][]string{{"--yes"}, {"m1", "--yes"}} {
		h := newFakeHub(t)
		h.put(groupPath+"/membernamespaces/shop", `{metadata: {name: shop}, spec: {owners: [{kind: Cell, namespace: bank, name: x, members: [m1]}]}}`)
		h.put(testWeb, strings.Replace(departing, "name: m3, hash: h", "name: m3", 1))
		stdout, _, err := run(t, append([]string{"abandon", "fcm/web"}, args...)...)
		const want = `m1: ConfigMap shop/web in member m1 (namespace "shop" of member "m1" belongs to cell bank/x)`
		if err != nil || !strings.Contains(stdout, want) {
			t.Errorf("%v: %v; it said %s", args, err, stdout)
		}
	}
}

// What only the controllers find out is in the status, which names the annotation that the command writes.
func TestWhatTheStatusSaysCannotBeRemovedIsAbandoned(t *testing.T) {
	const why = "the member does not serve the type any more, and may have the object stored"
	stuck := strings.Replace(departing, "name: m3, hash: h", "name: m3", 1)
	stuck = strings.Replace(stuck, "state: WaitingForRemoval", `state: WaitingForRemoval, message: "`+why+lifecycle.WayOut("m1")+`"`, 1)
	for _, args := range [][]string{{"--yes"}, {"m1", "--yes"}} {
		h := newFakeHub(t)
		h.put(testWeb, stuck)
		stdout, _, err := run(t, append([]string{"abandon", "fcm/web"}, args...)...)
		if err != nil || !strings.Contains(stdout, "m1: ConfigMap shop/web in member m1 ("+why+")\n") {
			t.Errorf("%v: %v; it said %s", args, err, stdout)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWhatIsAbandonedIsReadAgainWhereSomebodyElseWroteFirst(t *testing.T) {
	h := newFakeHub(t)
	h.put(testWeb, departing)
	h.conflicts = 2
	if _, _, err := run(t, "abandon", "fcm/web", "--yes"); err != nil {
		t.Fatal(err)
	}
	if h.objects[testWeb]["metadata"].(map[string]any)["annotations"] == nil {
		t.Error("the annotation is not stored")
	}
}

func TestWhatAbandonCannotDoIsASentence(t *testing.T) {
	h := newFakeHub(t)
	h.put(testWeb, departing)
	for args, want := range map[string]string{
		"":          "an object is needed, and the targets if only those are meant: kubectl koinon abandon TYPE/NAME [TARGET...]",
		"web":       `"web" is no object: it must be TYPE/NAME, such as federateddeployment/web`,
		"fcm/other": `there is no FederatedConfigMap "other" in namespace "shop"`,
	} {
		_, _, err := run(t, append([]string{"abandon"}, strings.Fields(args)...)...)
		if got := errorText(err); got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}
