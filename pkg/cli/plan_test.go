package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manifestFile is a file with a manifest.
func manifestFile(t *testing.T, manifest string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// managed is an object of ours in a member.
func managed(kind, rest string) string {
	return `{apiVersion: v1, kind: ` + kind + `, metadata: {name: web, namespace: shop, uid: u, resourceVersion: "7", labels: {kubefed.io/managed: "true"},
		annotations: {federation.koinon.io/federated-object: shop/web, federation.koinon.io/federation: here}}, ` + rest + `}`
}

const placedInAll = `
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: web}
spec:
  template: {data: {color: green}}
  placement: {topologies: [{name: m1}, {name: m2}, {name: m3}]}
`

// planned runs plan -o json, and returns outcomes by target, with the error.
func (h *fakeHub) planned(args ...string) (map[string]outcome, *plan, error) {
	h.Helper()
	stdout, stderr, err := run(h.T, append([]string{"plan", "-o", "json"}, args...)...)
	var result plan
	if decoding := json.Unmarshal([]byte(stdout), &result); decoding != nil {
		h.Fatalf("%v; it said %s %s %v", decoding, stdout, stderr, err)
	}
	outcomes := map[string]outcome{}
	for _, object := range result.Objects {
		for _, t := range object.Targets {
			outcomes[t.Name] = t.Outcome
			if t.Held {
				outcomes[t.Name] = "masked " + t.Outcome
			}
		}
	}
	return outcomes, &result, err
}

func TestPlanSaysWhatBecomesOfEachTarget(t *testing.T) {
	blue := managed("ConfigMap", `data: {color: blue}`)
	green := managed("ConfigMap", `data: {color: green}`)
	for name, c := range map[string]struct {
		prepare  func(h *fakeHub)
		manifest string
		want     map[string]outcome
		code     int
	}{
		"what is there changes, and what is not is created": {
			func(h *fakeHub) { h.put(inMember("m1", "configmaps/web"), blue) },
			placedInAll, map[string]outcome{"m1": outUpdated, "m2": outCreated, "m3": outCreated}, exitChanges,
		},
		"nothing changes where all is as it should be": {
			func(h *fakeHub) {
				for _, m := range []string{"m1", "m2", "m3"} {
					h.put(inMember(m, "configmaps/web"), green)
				}
			},
			placedInAll, map[string]outcome{"m1": outUnchanged, "m2": outUnchanged, "m3": outUnchanged}, 0,
		},
		"a member that is down makes it partial": {
			func(h *fakeHub) { h.down = []string{"m2"} },
			placedInAll, map[string]outcome{"m1": outCreated, "m2": outUnreachable, "m3": outCreated}, exitPartial,
		},
		"so does one that the caller may not ask": {
			func(h *fakeHub) { h.closed = []string{"m3"} },
			placedInAll, map[string]outcome{"m1": outCreated, "m2": outCreated, "m3": outForbidden}, exitPartial,
		},
		"an object of another federation is in the way": {
			func(h *fakeHub) {
				h.put(inMember("m1", "configmaps/web"), strings.ReplaceAll(blue, "federation: here", "federation: elsewhere"))
				h.put(inMember("m2", "configmaps/web"), green)
				h.put(inMember("m3", "configmaps/web"), green)
			},
			placedInAll, map[string]outcome{"m1": outBlocked, "m2": outUnchanged, "m3": outUnchanged}, 0,
		},
		"a mask holds back, and what is no longer placed goes": {
			func(h *fakeHub) {
				h.put(testTypes+"federatedconfigmaps/web", `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 1},
					spec: {template: {data: {color: blue}}, placement: {topologies: [{name: m1}, {name: m2}, {name: m3}]}},
					status: {targets: [{name: m1, hash: x, cluster: m1, namespace: shop}, {name: m2, hash: x, cluster: m2, namespace: shop}, {name: m3, hash: x, cluster: m3, namespace: shop}]}}`)
				for _, m := range []string{"m1", "m2", "m3"} {
					h.put(inMember(m, "configmaps/web"), blue)
				}
			},
			`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: web}
spec:
  template: {data: {color: green}}
  placement: {topologies: [{name: m1}, {name: m2}]}
  placementMask: {topologies: [{name: m1}, {name: m3}]}
`, map[string]outcome{"m1": outUpdated, "m2": "masked " + outUpdated, "m3": outDeleted}, exitChanges,
		},
		"the older version keeps the mask that it cannot say": {
			func(h *fakeHub) {
				stored := `metadata: {name: web, namespace: shop}, spec: {template: {data: {color: blue}}, placement: `
				h.put(testTypes+"federatedconfigmaps/web", `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, `+stored+`{topologies: [{name: m1}]}, placementMask: {topologies: []}}}`)
				h.put(strings.ReplaceAll(testTypes, "v1beta2", "v1beta1")+"federatedconfigmaps/web", `{apiVersion: types.kubefed.io/v1beta1, kind: FederatedConfigMap, `+stored+`{clusters: [{name: m1}]}}}`)
				h.put(inMember("m1", "configmaps/web"), blue)
			},
			`
apiVersion: types.kubefed.io/v1beta1
kind: FederatedConfigMap
metadata: {name: web}
spec:
  template: {data: {color: green}}
  placement: {clusters: [{name: m1}]}
`, map[string]outcome{"m1": "masked " + outUpdated}, 0,
		},
		"names of nobody, and of another tenant, are left alone": {
			func(*fakeHub) {},
			strings.Replace(placedInAll, "{name: m2}, {name: m3}", "{name: bank}, {name: nowhere}", 1),
			map[string]outcome{"m1": outCreated, "bank": outNotPlaced, "nowhere": outNotPlaced}, exitChanges,
		},
		"where the namespace does not go, nothing goes, and what is there leaves": {
			func(h *fakeHub) {
				h.put(testTypes+"federatednamespaces/shop", `{metadata: {name: shop, namespace: shop}, spec: {placement: {topologies: [{name: m1}]}}}`)
				h.put(testTypes+"federatedconfigmaps/web", `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop},
					spec: {}, status: {targets: [{name: m2, hash: x, cluster: m2, namespace: shop}]}}`)
				h.put(inMember("m2", "configmaps/web"), blue)
			},
			placedInAll, map[string]outcome{"m1": outCreated, "m2": outDeleted, "m3": outNotPlaced}, exitChanges,
		},
		"nothing new goes anywhere while the namespace is not federated": {
			func(h *fakeHub) { delete(h.objects, testTypes+"federatednamespaces/shop") },
			placedInAll, map[string]outcome{"m1": outNotPlaced, "m2": outNotPlaced, "m3": outNotPlaced}, 0,
		},
		"a namespace that is applied with an object counts for it": {
			func(h *fakeHub) { delete(h.objects, testTypes+"federatednamespaces/shop") },
			placedInAll + `---
apiVersion: types.kubefed.io/v1beta2
kind: FederatedNamespace
metadata: {name: shop}
spec: {placement: {topologies: [{name: m1}]}}
`, map[string]outcome{"m1": outCreated, "m2": outNotPlaced, "m3": outNotPlaced}, exitChanges,
		},
		"an override that cannot be applied is refused for its target": {
			func(*fakeHub) {},
			placedInAll + `  overrides: [{topologyName: m2, topologyOverrides: [{path: /data/size/inner, value: 1}]}]` + "\n",
			map[string]outcome{"m1": outCreated, "m2": outRefused, "m3": outCreated}, exitPartial,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			c.prepare(h)
			outcomes, result, err := h.planned("-f", manifestFile(t, c.manifest))
			if diff := cmp.Diff(c.want, outcomes); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s\n%+v", diff, result)
			}
			if got := ExitCode(err); got != c.code {
				t.Errorf("exit code %d, want %d: %v", got, c.code, err)
			}
			if writes := h.writes(); len(writes) > 0 {
				t.Errorf("it wrote: %v", writes)
			}
		})
	}
}

func TestPlanAsksEachMemberTwice(t *testing.T) {
	h := newFakeHub(t)
	if _, result, _ := h.planned("-f", manifestFile(t, placedInAll)); result.Requests != int64(len(h.asked)) {
		t.Errorf("%d requests are reported, and %d were sent", result.Requests, len(h.asked))
	}
	for _, m := range []string{"m1", "m2", "m3"} {
		if got := h.sentTo(m); got != 2 {
			t.Errorf("%d requests went to %s, want 2", got, m)
		}
	}
}

func TestPlanWritesIntoCellsWhereTheyAre(t *testing.T) {
	h := newFakeHub(t)
	h.put(groupPath+"/namespaces/shop/cells", `{items: [
		{metadata: {name: rz00a}, spec: {clusterName: m1, memberNamespace: shop}, status: {conditions: [{type: Ready, status: "True"}]}},
		{metadata: {name: rz01a}, spec: {clusterName: m2, memberNamespace: shop}}]}`)
	h.put(groupPath+"/membernamespaces/shop", `{metadata: {name: shop}, spec: {owners: [{kind: Cell, namespace: bank, name: x, members: [m1, m2]}]}}`)
	h.put(inMember("m1", "configmaps/web"), managed("ConfigMap", "data: {color: green}"))
	outcomes, _, err := h.planned("-f", manifestFile(t, strings.Replace(strings.Replace(placedInAll, "spec:", "spec:\n  topologyType: cell", 1),
		"{name: m1}, {name: m2}, {name: m3}", "{name: rz00a}, {name: rz01a}, {name: rz02a}", 1)))
	// A cell that is ready was found to have its namespace; of another one the book is asked.
	if diff := cmp.Diff(map[string]outcome{"rz00a": outUnchanged, "rz01a": outBlocked, "rz02a": outNotPlaced}, outcomes); diff != "" {
		t.Errorf("%v; outcomes (-want +got):\n%s", err, diff)
	}
}

// That a cell is gone, or that it is made anew in a member that is not joined, is no order to delete what is there.
func TestPlanLeavesWhatIsInACellThatIsGone(t *testing.T) {
	const stored = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web, namespace: shop, generation: 1},
		spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologySelector: {}}},
		status: {targets: [{name: gone, hash: x, cluster: m1, namespace: shop-gone}, {name: moved, hash: x, cluster: m1, namespace: shop-moved}]}}`
	for placement, want := range map[string]outcome{`{topologySelector: {}}`: outNotPlaced, `{topologies: [{name: moved}]}`: outDeleted} {
		h := newFakeHub(t)
		h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: moved}, spec: {clusterName: m9, memberNamespace: shop-moved}}]}`)
		h.put(testTypes+"federatedconfigmaps/web", stored)
		for _, cell := range []string{"gone", "moved"} {
			h.put(strings.Replace(inMember("m1", "configmaps/web"), "/namespaces/shop/", "/namespaces/shop-"+cell+"/", 1), managed("ConfigMap", "data: {color: blue}"))
		}
		outcomes, _, err := h.planned("-f", manifestFile(t, `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web},
			spec: {topologyType: cell, template: {data: {color: green}}, placement: `+placement+`}}`))
		if diff := cmp.Diff(map[string]outcome{"gone": want, "moved": outBlocked}, outcomes); diff != "" {
			t.Errorf("%s: %v; outcomes (-want +got):\n%s", placement, err, diff)
		}
	}
}

func TestPlanShowsTargetsWithTheSameDiffTogether(t *testing.T) {
	h := newFakeHub(t)
	for _, m := range []string{"m1", "m2"} {
		h.put(inMember(m, "configmaps/web"), managed("ConfigMap", `data: {color: blue}, metadata2: `+`x`))
	}
	h.down = []string{"m3"}
	stdout, _, err := run(t, "plan", "-f", manifestFile(t, placedInAll), "--color", "always")
	if ExitCode(err) != exitPartial || err.Error() != "" {
		t.Errorf("it ended with %v", err)
	}
	for _, want := range []string{
		"FederatedConfigMap shop/web: 2 changed, 1 not asked", "m1 and m2: change\x1b[0m\n\x1b[36m@@ ", "\x1b[31m-  color: blue\x1b[0m\n\x1b[32m+  color: green\x1b[0m\n",
		`m3: could not be asked: cluster "m3" does not answer`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	for _, noise := range []string{"resourceVersion", "managedFields", "uid:"} {
		if strings.Contains(stdout, noise) {
			t.Errorf("%s is shown:\n%s", noise, stdout)
		}
	}
}

func TestPlanNeverShowsValuesOfSecrets(t *testing.T) {
	h := newFakeHub(t)
	h.put(inMember("m1", "secrets/web"), managed("Secret", `data: {password: b2xk, same: c2FtZQ==, gone: Z29uZQ==}`))
	stdout, stderr, _ := run(t, "plan", "-f", manifestFile(t, `
apiVersion: types.kubefed.io/v1beta2
kind: FederatedSecret
metadata: {name: web}
spec:
  template: {data: {same: c2FtZQ==}, stringData: {password: new, more: more}}
  placement: {topologies: [{name: m1}, {name: m2}]}
`))
	for _, secret := range []string{"b2xk", "c2FtZQ", "Z29uZQ", "bmV3", "bW9yZQ", " new", " more\n"} {
		if strings.Contains(stdout+stderr, secret) {
			t.Errorf("%q is shown:\n%s%s", secret, stdout, stderr)
		}
	}
	for _, want := range []string{"-  gone: '***'", "-  password: '*** (before)'", "+  password: '*** (after)'", "   same: '***'", "+  more: '***'"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
}

func TestPlanReadsFoldersAndStreams(t *testing.T) {
	newFakeHub(t)
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	named := func(name string) string { return strings.Replace(placedInAll, "name: web", "name: "+name, 1) }
	write("a.yaml", named("a")+"---\n# nothing\n---\n"+named("b"))
	write("inner/c.yml", named("c"))
	write("d.json", `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap", "metadata": {"name": "d"}, "spec": {}}]}`)
	write("README.md", "no manifest")
	for _, c := range []struct {
		args []string
		want []string
	}{{nil, []string{"a", "b", "d"}}, {[]string{"-R"}, []string{"a", "b", "d", "c"}}} {
		documents, err := readDocuments(nil, []string{folder}, len(c.args) > 0)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range documents {
			names = append(names, d.GetName())
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%v: %v, want %v", c.args, names, c.want)
		}
	}
	documents, err := readDocuments(strings.NewReader(named("in")), []string{"-"}, false)
	if err != nil || len(documents) != 1 || documents[0].GetName() != "in" {
		t.Errorf("of the standard input: %v, %v", documents, err)
	}
}

func TestWhatPlanCannotDoIsASentence(t *testing.T) {
	for name, c := range map[string]struct {
		args     []string
		manifest string
		want     string
	}{
		"no file":                   {nil, "", "what is to be applied is needed: kubectl koinon plan -f FILE"},
		"a colour that is none":     {[]string{"--color", "red"}, placedInAll, `--color is "red": it must be auto, always or never`},
		"force without server-side": {[]string{"--force-conflicts"}, placedInAll, "--force-conflicts is for --server-side alone"},
		"an unknown flag":           {[]string{"--nonsense"}, placedInAll, "unknown flag: --nonsense"},
		"a kind that is not served": {nil, "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}}", `v1 ConfigMap "web" is no federated object`},
		"no object":                 {nil, "{global: {interval: 15s}}", "document 1: it is no object: apiVersion and kind must be set"},
		"another version":           {nil, strings.Replace(placedInAll, "v1beta2", "v1", 1), `apiVersion is "types.kubefed.io/v1": FederatedConfigMap is served as`},
		"another namespace":         {[]string{"-n", "shop"}, strings.Replace(placedInAll, "name: web", "name: web, namespace: bank", 1), `metadata.namespace is "bank", and --namespace "shop": they must be the same`},
		"no name":                   {nil, strings.Replace(placedInAll, "name: web", "generateName: web", 1), "metadata.name: it must be set"},
	} {
		t.Run(name, func(t *testing.T) {
			newFakeHub(t)
			args := append([]string{"plan"}, c.args...)
			if c.manifest != "" {
				args = append(args, "-f", manifestFile(t, c.manifest))
			}
			_, stderr, err := run(t, args...)
			var exit *exitError
			if !errors.As(err, &exit) || ExitCode(err) != exitFailed {
				t.Fatalf("it ended with %v", err)
			}
			if said := stderr + err.Error(); !strings.Contains(said, c.want) {
				t.Errorf("it said %q, want %q", said, c.want)
			}
		})
	}
}

func TestManyTargetsOfAGroupAreCounted(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"m1"}, "m1"},
		{[]string{"m1", "m2"}, "m1 and m2"},
		{[]string{"m1", "m2", "m3"}, "m1, m2 and m3"},
		{[]string{"m1", "m2", "m3", "m4"}, "m1, m2 and 2 more"},
	} {
		if got := (&group{names: c.names}).named(); got != c.want {
			t.Errorf("%v: %q, want %q", c.names, got, c.want)
		}
	}
}

// TestAFileWithoutItsOptionIsNoChange: 1 would mean that something would change.
func TestAFileWithoutItsOptionIsNoChange(t *testing.T) {
	newFakeHub(t)
	_, _, err := run(t, "plan", "web.yaml")
	if want := `"web.yaml" is no option: what is to be applied is named with -f, as in kubectl koinon plan -f web.yaml`; err == nil || err.Error() != want || ExitCode(err) != exitFailed {
		t.Errorf("got %v with the exit code %d, want %s", err, ExitCode(err), want)
	}
}
