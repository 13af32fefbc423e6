package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fakeTypes = "/apis/types.kubefed.io/v1beta2/"

// newFakeOverview has members, cells and objects of every kind of trouble.
func newFakeOverview(t *testing.T) *fakeFleet {
	t.Helper()
	f := newFakeFleet(t)
	f.put(testSystem+"kubefedclusters", `{items: [
		{metadata: {name: m1}, status: {kubernetesVersion: v1.36.3, conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]}},
		{metadata: {name: m2}, status: {conditions: [
			{type: Ready, status: "False", lastTransitionTime: "2026-01-02T00:00:00Z", message: it is not well},
			{type: Offline, status: "True", lastTransitionTime: "2026-01-02T00:00:00Z", message: nobody answers}]}},
		{metadata: {name: m3}, status: {conditions: [{type: ConfigMalformed, status: "True", message: there is no Secret}]}},
		{metadata: {name: m4}},
		{metadata: {name: rz00a.shop, labels: {federation.koinon.io/topology: cell}}}]}`)
	f.put(testSystem+"federatedtypeconfigs", `{items: [`+
		fakeType("ConfigMap", "configmaps", "Enabled")+`, `+fakeType("Secret", "secrets", "Enabled")+`, `+fakeType("Job", "jobs", "Disabled")+`]}`)
	f.put(groupPath+"/cells", `{items: [
		{metadata: {name: rz00a, namespace: shop}, spec: {clusterName: m1}, status: {conditions: [{type: Ready, status: "True"}]}},
		{metadata: {name: rz01a, namespace: shop}, spec: {clusterName: m2}, status: {conditions: [{type: Ready, status: "False", reason: MemberNotReady, message: member m2 is not ready}]}},
		{metadata: {name: rz02a, namespace: shop}, spec: {clusterName: m1}, status: {conditions: [{type: Ready, status: "True"}, {type: Moving, status: "True", reason: ObjectsMoving, message: it waits for web}]}},
		{metadata: {name: rz03a, namespace: shop}, spec: {clusterName: m1}, status: {conditions: [{type: Ready, status: "True"}, {type: Moving, status: "True", reason: ObjectsUnknown, message: a type is not known}]}}]}`)
	f.put("/apis/edge.koinon.io/v1alpha1/edgeunits", `{items: [{metadata: {name: e1, namespace: shop}, spec: {clusterName: m1}}]}`)
	f.put(fakeTypes+"federatedconfigmaps", `{items: [
		{metadata: {name: good, namespace: shop, generation: 1}, status: {observedGeneration: 1, conditions: [{type: Propagation, status: "True"}, {type: Healthy, status: "True"}], targets: [
			{name: m1, generation: 1, health: Healthy}]}},
		{metadata: {name: failed, namespace: shop, generation: 2}, status: {observedGeneration: 2, conditions: [
			{type: Propagation, status: "False", reason: CheckClusters}, {type: Healthy, status: "False", reason: TargetsProgressing}], targets: [
			{name: m1, generation: 2}, {name: m2, state: Pending, generation: 1}, {name: m3, state: CreationFailed, message: "denied by a webhook\nwith more"}]}},
		{metadata: {name: held, namespace: shop, generation: 3}, status: {observedGeneration: 3, conditions: [{type: Propagation, status: "True"}, {type: Healthy, status: "True"}], targets: [
			{name: m1, generation: 3}, {name: m2, state: Masked, generation: 2}]}},
		{metadata: {name: new, namespace: shop, generation: 2}, status: {observedGeneration: 1, conditions: [{type: Propagation, status: "True"}], targets: [{name: m1, generation: 1}]}},
		{metadata: {name: sick, namespace: bank, generation: 1}, status: {observedGeneration: 1, conditions: [
			{type: Propagation, status: "True"}, {type: Healthy, status: "False", reason: TargetsDegraded}], targets: [
			{name: m1, generation: 1, health: Degraded, healthMessage: it crashes}]}},
		{metadata: {name: nowhere, namespace: shop, generation: 1}, status: {observedGeneration: 1, conditions: [
			{type: Propagation, status: "False", reason: ComputePlacementFailed, message: the selector is wrong}]}}]}`)
	f.refuse(fakeTypes+"federatedsecrets", http.StatusForbidden, `federatedsecrets is forbidden: User "jane" cannot list`)
	return f
}

func fakeType(kind, plural, propagation string) string {
	return fmt.Sprintf(`{metadata: {name: %s}, spec: {propagation: %s,
		federatedType: {group: types.kubefed.io, version: v1beta1, kind: Federated%s, pluralName: federated%s, scope: Namespaced},
		targetType: {version: v1, kind: %s, pluralName: %s, scope: Namespaced}}}`, plural, propagation, kind, plural, kind, plural)
}

func TestStatusShowsTheWorstFirst(t *testing.T) {
	for name, c := range map[string]struct {
		args  string
		given func(*fakeFleet)
	}{
		"trouble": {"status", func(*fakeFleet) {}},
		"json":    {"status -o json", func(*fakeFleet) {}},
		"well": {"status", func(f *fakeFleet) {
			f.put(testSystem+"kubefedclusters", `{items: [{metadata: {name: m1}, status: {conditions: [{type: Ready, status: "True"}]}}]}`)
			f.put(testSystem+"federatedtypeconfigs", `{items: []}`)
			f.put(groupPath+"/cells", `{items: []}`)
			f.put("/apis/edge.koinon.io/v1alpha1/edgeunits", `{items: []}`)
		}},
		"well as far as it is seen": {"status", func(f *fakeFleet) {
			f.put(testSystem+"kubefedclusters", `{items: [{metadata: {name: m1}, status: {conditions: [{type: Ready, status: "True"}]}}]}`)
			f.put(testSystem+"federatedtypeconfigs", `{items: [`+fakeType("Secret", "secrets", "Enabled")+`]}`)
			f.put(groupPath+"/cells", `{items: []}`)
			f.put("/apis/edge.koinon.io/v1alpha1/edgeunits", `{items: []}`)
		}},
		"forbidden": {"status", func(f *fakeFleet) {
			for _, path := range []string{
				testSystem + "kubefedclusters", testSystem + "federatedtypeconfigs", groupPath + "/cells", "/apis/edge.koinon.io/v1alpha1/edgeunits",
			} {
				f.refuse(path, http.StatusForbidden, "you may not list that")
			}
		}},
		"one namespace": {"status -n bank", func(f *fakeFleet) {
			f.put("/api/v1/namespaces/bank", `{metadata: {name: bank}}`)
			f.put(groupPath+"/namespaces/bank/cells", `{items: []}`)
			f.put("/apis/edge.koinon.io/v1alpha1/namespaces/bank/edgeunits", `{items: []}`)
			f.put("/apis/types.kubefed.io/v1beta2/namespaces/bank/federatedconfigmaps", `{items: []}`)
			f.put("/apis/types.kubefed.io/v1beta2/namespaces/bank/federatedsecrets", `{items: []}`)
		}},
		"no Koinon": {"status", func(f *fakeFleet) { f.refuse(testSystem+"federatedtypeconfigs", http.StatusNotFound, "no") }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeOverview(t)
			c.given(f)
			golden(t, "status/"+strings.ReplaceAll(name, " ", "-"), f.said(strings.Fields(c.args)...))
			if f.wasAsked("federatedjobs") {
				t.Error("objects of a type that is disabled were listed")
			}
		})
	}
}

func TestStatusReadsAllPagesAndShowsTheWorst(t *testing.T) {
	f := newFakeOverview(t)
	f.handle(fakeTypes+"federatedconfigmaps", func(w http.ResponseWriter, r *http.Request) {
		begin, next := 0, "more"
		if r.URL.Query().Get("continue") == "more" {
			begin, next = 8, ""
		}
		var items []string
		for i := begin; i < begin+8; i++ {
			items = append(items, fmt.Sprintf(`{"metadata":{"name":"web%02d","namespace":"shop","generation":1}}`, i))
		}
		_, _ = fmt.Fprintf(w, `{"metadata":{"continue":%q},"items":[%s]}`, next, strings.Join(items, ","))
	})
	for all, want := range map[string][2]int{"": {overviewShown, 16 - overviewShown}, "--all": {16, 0}} {
		args := []string{"status", "-o", "json"}
		if all != "" {
			args = append(args, all)
		}
		stdout, _, err := run(t, args...)
		var got overview
		if jsonErr := json.Unmarshal([]byte(stdout), &got); jsonErr != nil || ExitCode(err) != exitChanges {
			t.Fatalf("%v, %v: %s", err, jsonErr, stdout)
		}
		if diff := cmp.Diff(want, [2]int{len(got.Unwell), got.UnwellLeftOut}); diff != "" || got.Types[0].Objects != 16 {
			t.Errorf("%s: (-want +got):\n%s", all, diff)
		}
	}
	if !f.wasAsked("limit=500") {
		t.Error("all was asked for at once")
	}
}
