package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// explainedWeb is an object with a target of every kind.
const explainedWeb = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 4},
	spec: {
		template: {data: {color: blue}},
		placement: {topologySelector: {matchLabels: {zone: a}}},
		placementMask: {topologies: [{name: m1}]},
		overrides: [
			{topologyName: m1, topologyOverrides: [{path: /data/color, value: red}]},
			{topologySelector: {matchLabels: {zone: b}}, topologyOverrides: [{path: /data/size, op: add, value: "1"}]},
			{topologySelector: {matchLabels: {zone: a}}, topologyOverrides: [{path: /data/size, op: add, value: "2"}, {path: /data/more, op: add, value: "3"}]}]},
	status: {observedGeneration: 4, conditions: [{type: Propagation, status: "True"}], targets: [
		{name: m1, hash: x, version: "gen:1", cluster: m1, namespace: shop, generation: 4, remoteStatus: {replicas: 2, readyReplicas: 1, conditions: [{type: Available, status: "True"}]}},
		{name: m2, hash: x, version: "gen:1", cluster: m2, namespace: shop, generation: 3, state: Masked}]}}`

func TestExplainSaysWhyATargetIsAsItIs(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		want   string
	}{
		"one that is up to date, with its overrides in order": {"m1", `FederatedConfigMap shop/web, generation 4, in topology cluster
Propagation: True

m1 (shop/web of m1): up to date
├─ placed     yes  spec.placement: topologySelector wants zone=a, which it has
├─ tenant     yes  neither the namespace nor the target has labels of a tenant
├─ namespace  yes  namespace "shop" goes there
├─ may change yes  spec.placementMask: topologies names it
├─ owner      yes  namespace "shop" of member "m1" belongs to namespace shop of the host
├─ member     yes  member "m1" is ready (Kubernetes v1.36.3)
├─ override   spec.overrides[0], by name: /data/color
├─ override   spec.overrides[2], by selector zone=a: /data/size, /data/more
├─ state      OK; it runs generation 4
└─ there      1 of 2 replicas ready, Available=True
`},
		"one that the mask holds back": {"m2", `FederatedConfigMap shop/web, generation 4, in topology cluster
Propagation: True

m2 (shop/web of m2): masked: it runs generation 3, and generation 4 waits
├─ placed     yes  spec.placement: topologySelector wants zone=a, which it has
├─ tenant     yes  neither the namespace nor the target has labels of a tenant
├─ namespace  yes  namespace "shop" goes there
├─ may change no   spec.placementMask: topologies does not name it
├─ owner      no   namespace "shop" of member "m2" belongs to cell bank/x
├─ member     yes  member "m2" is ready (Kubernetes )
├─ override   spec.overrides[2], by selector zone=a: /data/size, /data/more
└─ state      Masked; it runs generation 3
`},
		"one that is not selected": {"m3", `FederatedConfigMap shop/web, generation 4, in topology cluster
Propagation: True

m3 (shop/web of m3): not a target: spec.placement: topologySelector wants zone=a, and it has zone=b
├─ placed     no   spec.placement: topologySelector wants zone=a, and it has zone=b
├─ tenant     yes  neither the namespace nor the target has labels of a tenant
├─ may change no   spec.placementMask: topologies does not name it
├─ owner      yes  namespace "shop" of member "m3" is nobody's that is known here
└─ member     no   member "m3" is Offline: nobody answers
`},
		"one of another tenant": {"bank", `FederatedConfigMap shop/web, generation 4, in topology cluster
Propagation: True

bank (shop/web of bank): not a target: cluster "bank" has the label federation.koinon.io/tenant=bank, and namespace "shop" has none: both must be the same
├─ placed     no   spec.placement: topologySelector "zone=a" picks only what the namespace may use
├─ tenant     no   cluster "bank" has the label federation.koinon.io/tenant=bank, and namespace "shop" has none: both must be the same
├─ may change no   spec.placementMask: topologies does not name it
├─ owner      yes  namespace "shop" of member "bank" is nobody's that is known here
└─ member     no   member "bank" was not checked yet
`},
		"one that is not there": {"m9", `FederatedConfigMap shop/web, generation 4, in topology cluster
Propagation: True

m9: there is no cluster "m9"; there are bank, m1, m2, m3
├─ placed     no   spec.placement: topologySelector "zone=a" picks only what there is
└─ may change no   spec.placementMask: topologies does not name it
`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(testTypes+"federatedconfigmaps/web", explainedWeb)
			h.put(groupPath+"/membernamespaces/shop", `{metadata: {name: shop}, spec: {owners: [{kind: Namespace, namespace: shop, members: [m1]}, {kind: Cell, namespace: bank, name: x, members: [m2]}]}}`)
			stdout, stderr, err := run(t, "explain", "fcm/web", c.target)
			if err != nil {
				t.Fatalf("%v; it said %s", err, stderr)
			}
			if diff := cmp.Diff(c.want, stdout); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(h.asked) > 10 {
				t.Errorf("it took %d requests: %v", len(h.asked), h.asked)
			}
		})
	}
}

// movedWeb is in cell c, whose place was in m1, and in cell d, which nobody has written to.
const movedWeb = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 4},
	spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c}, {name: d}]}},
	status: {observedGeneration: 4, targets: [TARGET, {name: d, cluster: m2, namespace: shop-d, state: CreationFailed, message: denied}]}}`

func TestExplainSaysOfEachPlaceOfATargetWhatRunsThere(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		want   []string
	}{
		"the controllers have not looked since it moved": {`{name: c, hash: x, version: "gen:1", cluster: m1, namespace: shop-c, generation: 3}`,
			[]string{"state      OK; it runs generation 3", "state      Pending", "state      CreationFailed, denied"}},
		"the new place cannot be written to": {`{name: c, cluster: m2, namespace: shop-c, state: CreationFailed, message: full,
				former: [{hash: x, version: "gen:1", cluster: m1, namespace: shop-c, generation: 3, state: WaitingForRemoval, message: stays}]}`,
			[]string{"state      CreationFailed, full", "state      WaitingForRemoval, stays; it runs generation 3", "state      CreationFailed, denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(groupPath+"/namespaces/shop/cells", `{items: [
				{metadata: {name: c}, spec: {clusterName: m2, memberNamespace: shop-c}}, {metadata: {name: d}, spec: {clusterName: m2, memberNamespace: shop-d}}]}`)
			h.put(testTypes+"federatedconfigmaps/web", strings.Replace(movedWeb, "TARGET", c.target, 1))
			stdout, stderr, err := run(t, "explain", "fcm/web")
			if err != nil {
				t.Fatalf("%v; it said %s", err, stderr)
			}
			var states []string
			for line := range strings.Lines(stdout) {
				if at := strings.Index(line, "state  "); at >= 0 {
					states = append(states, strings.TrimSpace(line[at:]))
				}
			}
			if diff := cmp.Diff(c.want, states); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMaskWaitsForThePlaceThatACellMovedTo(t *testing.T) {
	h := newFakeHub(t)
	h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: c}, spec: {clusterName: m2, memberNamespace: shop-c}}]}`)
	h.put(testTypes+"federatedconfigmaps/web", `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 4},
		spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c}]}},
		status: {observedGeneration: 4, targets: [{name: c, hash: x, version: "gen:1", cluster: m1, namespace: shop-c, generation: 4}]}}`)
	stdout, stderr, err := run(t, "mask", "status", "fcm/web")
	if err != nil || !strings.Contains(stdout, "may change, not up to date: c") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
}

func TestExplainSaysHowAnObjectIsInATarget(t *testing.T) {
	for name, c := range map[string]struct{ health, want string }{
		"well":              {"health: Healthy, replicas: 2, ready: 2", "healthy    yes  Healthy, 2 of 2 replicas ready"},
		"on its way":        {"health: Progressing, replicas: 4", "healthy    no   Progressing, 0 of 4 replicas ready"},
		"failed":            {"health: Degraded, healthMessage: it does not start", "healthy    no   Degraded: it does not start"},
		"nothing was told":  {"health: ''", ""},
		"waits as it is to": {"health: Suspended", "healthy    yes  Suspended"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(testTypes+"federatedconfigmaps/web", strings.Replace(explainedWeb, "generation: 4, remoteStatus", "generation: 4, "+c.health+", remoteStatus", 1))
			stdout, stderr, err := run(t, "explain", "fcm/web", "m1")
			if err != nil {
				t.Fatalf("%v; it said %s", err, stderr)
			}
			got := ""
			for line := range strings.Lines(stdout) {
				if at := strings.Index(line, "healthy  "); at >= 0 {
					got = strings.TrimSpace(line[at:])
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExplainOfWhatIsBeingDeletedSaysWhatHoldsIt(t *testing.T) {
	for orphan, want := range map[string]string{
		"":                          "m2 (shop/web of m2): the federated object is being deleted: there is a finalizer\n",
		`kubefed.io/orphan: "true"`: "m2 (shop/web of m2): the federated object is being deleted, and leaves what is there: the annotation kubefed.io/orphan=true says so: there is a finalizer\n",
	} {
		h := newFakeHub(t)
		object := strings.Replace(explainedWeb, "name: web,", `name: web, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {`+orphan+`},`, 1)
		h.put(testTypes+"federatedconfigmaps/web", strings.Replace(object, "state: Masked", "state: WaitingForRemoval, message: there is a finalizer", 1))
		if stdout, _, err := run(t, "explain", "fcm/web"); err != nil || !strings.Contains(stdout, want) {
			t.Errorf("%v: %s, want %q", err, stdout, want)
		}
	}
}

func TestExplainIsForProgramsToo(t *testing.T) {
	h := newFakeHub(t)
	h.put(testTypes+"federatedconfigmaps/web", explainedWeb)
	stdout, stderr, err := run(t, "explain", "federatedconfigmap/web", "-o", "json")
	if err != nil {
		t.Fatalf("%v; it said %s", err, stderr)
	}
	var got explanation
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, target := range got.Targets {
		names = append(names, target.Name+": "+target.Verdict)
	}
	if diff := cmp.Diff([]string{"m1: up to date", "m2: masked: it runs generation 3, and generation 4 waits"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestATypeIsMeantByAnyOfItsNames(t *testing.T) {
	for _, word := range []string{"federatedconfigmap", "FederatedConfigMaps", "federatedconfigmaps.types.kubefed.io", "configmap", "configmaps", "fcm", "cm"} {
		h := newFakeHub(t)
		h.put(testTypes+"federatedconfigmaps/web", explainedWeb)
		if _, _, err := run(t, "explain", word+"/web"); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// None of several types is taken without a word, by any of their names.
func TestATypeNameThatMeansSeveralIsRefused(t *testing.T) {
	for word, want := range map[string]string{
		"widgets":                             `"widgets" is more than one type: say which of widgets.a.example, widgets.b.example`,
		"Widget":                              `"widget" is more than one type: say which of widgets.a.example, widgets.b.example`,
		"federatedwidget":                     `"federatedwidget" is more than one type: say which of federatedwidgets.types.a.example, federatedwidgets.types.b.example`,
		"wg":                                  `"wg" is more than one type: say which of federatedwidgets.types.a.example, federatedwidgets.types.b.example`,
		"widgets.b.example":                   `there is no FederatedWidget "web"`,
		"federatedwidgets.types.b.example":    `there is no FederatedWidget "web"`,
		"configmaps":                          `there is no FederatedConfigMap "web"`, // the full name of the core group's
		"configmaps.shop.example":             `there is no FederatedConfigMap "web"`,
		"federatedconfigmap.types.kubefed.io": `there is no FederatedConfigMap "web"`,
	} {
		h := newFakeHub(t)
		h.putWidgets()
		for _, group := range []string{"types.a.example", "types.b.example"} {
			h.put("/apis/"+group+"/v1beta2", `{resources: [{name: federatedwidgets, shortNames: [wg]}]}`)
		}
		if _, _, err := run(t, "explain", word+"/web"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", word, err, want)
		}
	}
}

func TestWhatExplainCannotDoIsASentence(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "one object is needed"},
		{[]string{"web"}, `"web" is no object: it must be TYPE/NAME`},
		{[]string{"widget/web"}, `there is no federated type "widget"; there are federatedconfigmaps, federatedsecrets, federatednamespaces`},
		{[]string{"fcm/none"}, `there is no FederatedConfigMap "none" in namespace "shop"`},
		{[]string{"fcm/web", "-o", "wide"}, `--output is "wide": it must be text, json or yaml`},
	} {
		newFakeHub(t)
		if _, _, err := run(t, append([]string{"explain"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
