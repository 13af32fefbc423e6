package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// movedCell is an object in cell c, which was in m3 before it was in m1.
const movedCell = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 2, resourceVersion: "9"},
	spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c}]}},
	status: {observedGeneration: 2, targets: [{name: c, hash: x, cluster: m1, namespace: shop, state: WaitingForRemoval, message: waits,
		former: [{cluster: m3, namespace: shop, hash: x, generation: 1, state: WaitingForRemoval, message: "nobody answers there"}]}]}}`

func newMovesHub(t *testing.T, cell, object string) *fakeHub {
	t.Helper()
	h := newFakeHub(t)
	h.put(groupPath+"/namespaces/shop/cells", `{items: [`+cell+`]}`)
	h.put(testTypes+"federatedconfigmaps/web", object)
	return h
}

func cellIn(member string) string {
	return `{metadata: {name: c}, spec: {clusterName: ` + member + `, memberNamespace: shop}}`
}

func TestPlanSaysWhatBecomesOfEachPlaceOfACellThatMoves(t *testing.T) {
	const drained = `{metadata: {name: c, deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {clusterName: m1, memberNamespace: shop}}`
	for name, c := range map[string]struct {
		cell, mask string
		want       map[string]outcome
	}{
		"the old place is left":                     {cellIn("m1"), "", map[string]outcome{"m1": outUnchanged, "m3": outDeleted}},
		"it is back where it was":                   {cellIn("m3"), "", map[string]outcome{"m1": outDeleted, "m3": outUnchanged}},
		"it goes to a member that is not joined":    {cellIn("m9"), "", map[string]outcome{"m3": outNotPlaced, "m9": outBlocked}},
		"what is masked stays where it is, and was": {cellIn("m1"), ", placementMask: {topologies: []}", map[string]outcome{"m1": "masked " + outUnchanged, "m3": outNotPlaced}},
		"a cell that is being deleted is left":      {drained, "", map[string]outcome{"m1": outDeleted, "m3": outDeleted}},
		"one that is gone is not":                   {"", "", map[string]outcome{"": outNotPlaced, "m3": outNotPlaced}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newMovesHub(t, c.cell, movedCell)
			for _, member := range []string{"m1", "m3"} {
				h.put(inMember(member, "configmaps/web"), managed("ConfigMap", "data: {color: blue}"))
			}
			_, planned, err := h.planned("-f", manifestFile(t, `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web},
				spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c}]}`+c.mask+`}}`))
			got := map[string]outcome{}
			for _, target := range planned.Objects[0].Targets {
				got[target.Cluster] = target.Outcome
				if target.Held {
					got[target.Cluster] = "masked " + target.Outcome
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v; outcomes (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWhatACellLeftInAMemberThatIsAwayIsAbandoned(t *testing.T) {
	for _, args := range []string{"--yes", "c --yes"} {
		h := newMovesHub(t, cellIn("m1"), movedCell)
		stdout, _, err := run(t, append([]string{"abandon", "fcm/web"}, strings.Fields(args)...)...)
		const want = "FederatedConfigMap shop/web: what is in 1 of its targets is left behind, and stays when the member is back, without Koinon's label\n" +
			"  c: ConfigMap shop/web in member m3 (member \"m3\" is Offline: nobody answers)\n"
		if err != nil || stdout != want {
			t.Errorf("abandon %s: %v; it said:\n%s", args, err, stdout)
		}
		annotations, _ := h.objects[testWeb]["metadata"].(map[string]any)["annotations"].(map[string]any)
		if got := annotations[v1beta1.AbandonAnnotation]; got != "c" {
			t.Errorf("abandon %s: the annotation is %v", args, got)
		}
	}
}

func TestExplainSaysHowItIsInEachPlace(t *testing.T) {
	newMovesHub(t, cellIn("m1"), movedCell)
	stdout, _, err := run(t, "explain", "fcm/web", "-o", "json")
	if err != nil || !strings.Contains(stdout, `"nobody answers there"`) {
		t.Errorf("%v; it said:\n%s", err, stdout)
	}
}

// A target that moves is one target: it is up to date once it has left where it was, too.
func TestMaskNamesACellThatMovesOnce(t *testing.T) {
	arrived := strings.Replace(movedCell, "state: WaitingForRemoval, message: waits", `state: ""`, 1)
	for _, object := range []string{movedCell, arrived} {
		newMovesHub(t, cellIn("m1"), object)
		stdout, stderr, err := run(t, "mask", "status", "fcm/web")
		const want = "FederatedConfigMap shop/web, generation 2: no mask: all targets may change\n  may change, not up to date: c\n"
		if err != nil || stdout != want {
			t.Errorf("%v; it said %s%s, want %s", err, stderr, stdout, want)
		}
	}
}

// That a target leaves where its cell was does not mean that it leaves.
func TestAPlacementIsNotReplacedByOneWithoutACellThatMoves(t *testing.T) {
	h := newFederateHub(t)
	h.put(groupPath+"/namespaces/shop/cells", `{items: [`+cellIn("m1")+`, {metadata: {name: d}, spec: {clusterName: m2, memberNamespace: shop}}]}`)
	h.put(testTypes+"federatedconfigmaps/settings", strings.NewReplacer("name: web", "name: settings", "{name: c}]}}", "{name: c}, {name: d}]}}").Replace(movedCell))
	_, _, err := run(t, "federate", "cm/settings", "--from", "m1", "--cells", "d", "--replace")
	if err == nil || !strings.Contains(err.Error(), "--cells d would delete the object in c: name these too") || len(h.written()) > 0 {
		t.Errorf("%v; wrote %v", err, h.written())
	}
}
