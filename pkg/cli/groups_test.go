package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// zonedWeb is placed by zones, of which nothing is in x.
const zonedWeb = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 4, resourceVersion: "9"},
	spec: {topologyType: "cluster:zone", template: {data: {color: blue}}, placement: {topologies: [{name: a}, {name: x}]}, placementMask: {topologies: [{name: b}]},
		overrides: [{topologyName: a, topologyOverrides: [{path: /data/color, value: red}]}, {topologyName: b, topologyOverrides: [{path: /data/color, value: green}]}]},
	status: {observedGeneration: 5, targets: [
		{name: m1, hash: old, version: "gen:1", cluster: m1, namespace: shop, generation: 3, state: Masked},
		{name: m3, hash: old, version: "gen:1", cluster: m3, namespace: shop, generation: 4},
		{name: "zone=x", state: TargetNotFound}]}}`

func TestExplainOfAGroupIsThatOfWhatIsInIt(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		want   []string
	}{
		"a group": {"a", []string{
			"m1 (shop/web of m1): masked: it runs generation 3, and generation 4 waits\n",
			"m2 (shop/web of m2): masked: the first write waits, of generation 4\n",
			`placed     yes  spec.placement: topologies names "a", and it has the label zone=a`,
			`may change no   spec.placementMask: topologies does not name "a", and it has the label zone=a`,
			"override   spec.overrides[0], by label zone=a: /data/color\n",
		}},
		"one that is not placed any more": {"m3", []string{
			"m3 (shop/web of m3): the target is no longer placed: the object is removed there\n",
			`placed     no   spec.placement: topologies does not name "b", and it has the label zone=b`,
		}},
		"a group that nothing is in": {"zone=x", []string{
			"zone=x: there is no cluster with the label zone=x that the object may use; there are zone=a, zone=b\n"}},
		"the same by its name alone": {"x", []string{
			"zone=x: there is no cluster with the label zone=x that the object may use; there are zone=a, zone=b\n"}},
		"a group with its label": {"zone=a", []string{"m1 (shop/web of m1): masked", "m2 (shop/web of m2): masked"}},
		"a name of nothing": {"y", []string{
			"y: there is no cluster \"y\", and none with the label zone=y; there are zone=a, zone=b\n"}},
		"a group of nothing that is not placed": {"zone=y", []string{
			"zone=y: there is no cluster with the label zone=y; there are zone=a, zone=b\n"}},
		"all": {"", []string{"m1 (shop/web of m1): masked", "m2 (shop/web of m2): masked", "zone=x: there is no cluster"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(testTypes+"federatedconfigmaps/web", zonedWeb)
			args := []string{"explain", "fcm/web"}
			if c.target != "" {
				args = append(args, c.target)
			}
			stdout, stderr, err := run(t, args...)
			if err != nil {
				t.Fatalf("%v; it said %s", err, stderr)
			}
			for _, part := range c.want {
				if !strings.Contains(stdout, part) {
					t.Errorf("%q is missing in:\n%s", part, stdout)
				}
			}
		})
	}
}

func TestAMaskNamesGroups(t *testing.T) {
	h := newFakeHub(t)
	h.put(testTypes+"federatedconfigmaps/web", strings.Replace(zonedWeb, "placementMask: {topologies: [{name: b}]},", "", 1))
	stdout, stderr, err := run(t, "mask", "set", "fcm/web", "--targets", "a")
	const want = `FederatedConfigMap shop/web, generation 5: the mask lets change a (changed)
  may change, not up to date: m1, m2
`
	if err != nil || !strings.HasPrefix(stdout, want) || strings.Contains(stderr, "Warning") {
		t.Errorf("%v; it said %s%s, want %s", err, stderr, stdout, want)
	}
	if _, stderr, _ = run(t, "mask", "set", "fcm/web", "--targets", "m1"); !strings.Contains(stderr, "FederatedConfigMap shop/web has no target m1") {
		t.Errorf("a name of a target is no name of a group, and it said %q", stderr)
	}
}

func TestAPlanGoesByGroups(t *testing.T) {
	h := newFakeHub(t)
	h.put(inMember("m1", "configmaps/web"), managed("ConfigMap", "data: {color: green}"))
	outcomes, _, err := h.planned("-f", manifestFile(t, strings.Replace(strings.Replace(placedInAll, "spec:", "spec:\n  topologyType: cluster:zone", 1),
		"{name: m1}, {name: m2}, {name: m3}", "{name: a}, {name: x}", 1)))
	if diff := cmp.Diff(map[string]outcome{"m1": outUnchanged, "m2": outCreated, "zone=x": outNotPlaced}, outcomes); diff != "" {
		t.Errorf("%v; outcomes (-want +got):\n%s", err, diff)
	}
}
