package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const gray = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 4, resourceVersion: "9", labels: {app: shop}},
	spec: {template: {data: {color: blue}}, placement: {topologies: [{name: m1}, {name: m2}, {name: m3}]}MASK},
	status: {observedGeneration: 5, targets: [
		{name: m1, hash: old, version: "gen:1", cluster: m1, namespace: shop, generation: 4},
		{name: m2, hash: old, version: "gen:1", cluster: m2, namespace: shop, generation: 3}]}}`

func withMask(mask string) string {
	if mask != "" {
		mask = ", placementMask: " + mask
	}
	return strings.Replace(gray, "MASK", mask, 1)
}

func TestMaskSaysWhatItLetsThroughAndWhatWaits(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		args   []string
		want   string
		after  any // spec.placementMask
	}{
		"set names who may change": {"", []string{"set", "fcm/web", "--targets", "m1"},
			`FederatedConfigMap shop/web, generation 5: the mask lets change m1 (changed)
  may change, up to date: m1
  WAITING   RUNS   WAITS   WHAT
  m2        3      5       update
  m3        -      5       create
`, map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}},
		"set replaces": {"{topologies: [{name: m2}]}", []string{"set", "fcm/web", "--selector", "zone=b"},
			`FederatedConfigMap shop/web, generation 5: the mask lets those change that have the labels zone=b (changed)
  may change, not up to date: m3
  WAITING   RUNS   WAITS   WHAT
  m1        4      5       update
  m2        3      5       update
`, map[string]any{"topologySelector": map[string]any{"matchLabels": map[string]any{"zone": "b"}}}},
		"none freezes": {"", []string{"set", "fcm/web", "--none"},
			`FederatedConfigMap shop/web, generation 5: the mask lets nobody change (changed)
  WAITING   RUNS   WAITS   WHAT
  m1        4      5       update
  m2        3      5       update
  m3        -      5       create
`, map[string]any{"topologies": []any{}}},
		"add names further ones, each once": {"{topologies: [{name: m1}]}", []string{"add", "fcm/web", "--targets", "m1,m2"},
			`FederatedConfigMap shop/web, generation 5: the mask lets change m1, m2 (changed)
  may change, up to date: m1, m2
  WAITING   RUNS   WAITS   WHAT
  m3        -      5       create
`, map[string]any{"topologies": []any{map[string]any{"name": "m1"}, map[string]any{"name": "m2"}}}},
		"clear takes it away": {"{topologies: []}", []string{"clear", "-l", "app=shop", "fcm"},
			`FederatedConfigMap shop/web, generation 5: no mask: all targets may change (changed)
  may change, up to date: m1, m2
  may change, not up to date: m3
`, nil},
		"a dry run stores nothing": {"", []string{"set", "fcm/web", "--none", "--dry-run"},
			`FederatedConfigMap shop/web, generation 5: the mask lets nobody change (dry run)
  WAITING   RUNS   WAITS   WHAT
  m1        4      5       update
  m2        3      5       update
  m3        -      5       create
`, nil},
		"status writes nothing": {"{topologies: [{name: m3}]}", []string{"status", "fcm/web"},
			`FederatedConfigMap shop/web, generation 4: the mask lets change m3
  may change, not up to date: m3
  WAITING   RUNS   WAITS   WHAT
  m1        4      4       update
  m2        3      4       update
`, map[string]any{"topologies": []any{map[string]any{"name": "m3"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(testTypes+"federatedconfigmaps/web", withMask(c.before))
			h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: web, namespace: shop}}]}`)
			stdout, stderr, err := run(t, append([]string{"mask"}, c.args...)...)
			if err != nil {
				t.Fatalf("%v; it said %s", err, stderr)
			}
			if diff := cmp.Diff(c.want, stdout); diff != "" {
				t.Errorf("it said (-want +got):\n%s", diff)
			}
			stored := h.objects[testTypes+"federatedconfigmaps/web"]["spec"].(map[string]any)["placementMask"]
			if diff := cmp.Diff(c.after, stored); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

// A folder has other objects, too.
func TestMaskPassesOverWhatIsNotFederated(t *testing.T) {
	h := newFakeHub(t)
	h.put(testTypes+"federatedconfigmaps/web", withMask(""))
	const cell = "{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: c}}\n"
	stdout, stderr, err := run(t, "mask", "status", "-f", manifestFile(t, cell+"---\n"+placedInAll))
	if err != nil || !strings.HasPrefix(stdout, "FederatedConfigMap shop/web") || !strings.Contains(stderr, `document 1: federation.koinon.io/v1alpha1 Cell "c" is no federated object, and has no mask`) {
		t.Errorf("%v; it said %s%s", err, stderr, stdout)
	}
	if _, _, err := run(t, "mask", "status", "-f", manifestFile(t, cell)); err == nil || err.Error() != "there is no federated object in what -f names" {
		t.Errorf("of a file without any: %v", err)
	}
}

func TestMaskIsSetOnWhatSomebodyElseHasJustWritten(t *testing.T) {
	h := newFakeHub(t)
	h.put(testTypes+"federatedconfigmaps/web", withMask(""))
	h.conflicts = 2
	if _, _, err := run(t, "mask", "set", "fcm/web", "--none"); err != nil {
		t.Fatal(err)
	}
	if h.objects[testTypes+"federatedconfigmaps/web"]["spec"].(map[string]any)["placementMask"] == nil {
		t.Error("no mask is stored")
	}
}

func TestWaitingEndsOnceAllowedTargetsAreUpToDate(t *testing.T) {
	h := newFakeHub(t)
	h.put(testTypes+"federatedconfigmaps/web", withMask(""))
	if _, stderr, err := run(t, "mask", "set", "fcm/web", "--targets", "m1", "--wait"); err != nil || stderr != "" {
		t.Errorf("%v; it said %s", err, stderr)
	}
	_, stderr, err := run(t, "mask", "set", "fcm/web", "--targets", "m3", "--wait", "--timeout", "1ms")
	if err == nil || !strings.Contains(err.Error(), "up to date") {
		t.Errorf("%v; it said %s", err, stderr)
	}
}

func TestWhatMaskCannotDoIsASentence(t *testing.T) {
	for _, c := range []struct {
		before string
		args   []string
		want   string
	}{
		{"", []string{"set", "fcm/web"}, "one of --targets, --selector and --none is needed"},
		{"", []string{"set", "fcm/web", "--none", "--targets", "m1"}, "one of --targets, --selector and --none is needed"},
		{"", []string{"set", "fcm/web", "--selector", "a=b=c"}, `--selector is "a=b=c"`},
		{"", []string{"add", "fcm/web"}, "--targets is needed"},
		{"", []string{"add", "fcm/web", "--targets", "m1"}, "there is no mask, so that all targets may change already"},
		{"{topologySelector: {}}", []string{"add", "fcm/web", "--targets", "m1"}, "no name can be added"},
		{"", []string{"clear"}, "objects are needed"},
		{"", []string{"clear", "fcm"}, `"fcm" is no object`},
		{"", []string{"clear", "fcm/web", "-l", "a=b"}, "-l is for one TYPE without a name"},
		{"", []string{"clear", "fcm/web", "-f", "x"}, "not both"},
		{"", []string{"clear", "fcm/web", "--wait", "--dry-run"}, "exclude each other"},
		{"", []string{"clear", "fcm/none"}, "FederatedConfigMap shop/none: none not found"},
	} {
		h := newFakeHub(t)
		h.put(testTypes+"federatedconfigmaps/web", withMask(c.before))
		if _, _, err := run(t, append([]string{"mask"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

// TestANameThatIsNoTargetIsNotWaitedFor: a wait for it would end at once, as if all were done.
func TestANameThatIsNoTargetIsNotWaitedFor(t *testing.T) {
	const problem = "--targets: FederatedConfigMap shop/web has no target m9"
	for name, c := range map[string]struct {
		before  string
		args    []string
		warned  bool
		refused bool
	}{
		"set with --wait":    {"", []string{"set", "fcm/web", "--targets", "m1,m9", "--wait"}, false, true},
		"add with --wait":    {"{topologies: [{name: m1}]}", []string{"add", "fcm/web", "--targets", "m9", "--wait"}, false, true},
		"set":                {"", []string{"set", "fcm/web", "--targets", "m9"}, true, false},
		"a dry run":          {"", []string{"set", "fcm/web", "--targets", "m9", "--dry-run"}, true, false},
		"a name that is one": {"", []string{"set", "fcm/web", "--targets", "m1", "--wait"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(testTypes+"federatedconfigmaps/web", withMask(c.before))
			_, stderr, err := run(t, append([]string{"mask"}, c.args...)...)
			if c.refused != (err != nil) || err != nil && err.Error() != problem {
				t.Errorf("got %v", err)
			}
			if warned := strings.Contains(stderr, "Warning: "+problem+"\n"); warned != c.warned {
				t.Errorf("it said %q", stderr)
			}
		})
	}
}
