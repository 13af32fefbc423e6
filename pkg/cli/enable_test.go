package cli

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// newTypesHub is a fakeHub whose members serve types of apps: m1 StatefulSets as v1 and v1beta1, m2 as v1beta1 alone, and bank not at
// all; m3 does not answer. What is created is there afterwards, and FederatedTypeConfigs are served.
func newTypesHub(t *testing.T) *fakeHub {
	t.Helper()
	h := newFakeHub(t)
	h.down = []string{"m3"}
	const verbs = `verbs: [create, delete, get, list, patch, update, watch]`
	core := `{kind: APIResourceList, groupVersion: v1, resources: [
		{name: configmaps, singularName: configmap, kind: ConfigMap, namespaced: true, shortNames: [cm], ` + verbs + `},
		{name: events, singularName: event, kind: Event, namespaced: true, ` + verbs + `},
		{name: serviceaccounts, singularName: serviceaccount, kind: ServiceAccount, namespaced: true, shortNames: [sa], ` + verbs + `},
		{name: bindings, kind: Binding, namespaced: true, verbs: [create]},
		{name: pods, singularName: pod, kind: Pod, namespaced: true, ` + verbs + `}, {name: pods/status, kind: Pod, namespaced: true, verbs: [get]}]}`
	sets := func(version string) string {
		return `{kind: APIResourceList, groupVersion: apps/` + version + `, resources: [
		{name: statefulsets, singularName: statefulset, kind: StatefulSet, namespaced: true, shortNames: [sts], ` + verbs + `},
		{name: statefulsets/scale, kind: Scale, namespaced: true, verbs: [get]}]}`
	}
	more := func(group string) string {
		return `{kind: APIResourceList, groupVersion: ` + group + `/v1, resources: [{name: widgets, kind: Widget, namespaced: true, ` + verbs + `}]}`
	}
	m1, m2 := groupPath+"/clusters/m1/proxy", groupPath+"/clusters/m2/proxy"
	for _, m := range []string{m1, m2} {
		h.put(m+"/api", `{kind: APIVersions, versions: [v1]}`)
		h.put(m+"/api/v1", core)
		h.put(m+"/apis/apps/v1beta1", sets("v1beta1"))
	}
	h.put(m1+"/apis", `{kind: APIGroupList, groups: [
		{name: apps, versions: [{groupVersion: apps/v1, version: v1}, {groupVersion: apps/v1beta1, version: v1beta1}]},
		{name: a.example, versions: [{groupVersion: a.example/v1, version: v1}]},
		{name: b.example, versions: [{groupVersion: b.example/v1, version: v1}]},
		{name: shop.example, versions: [{groupVersion: shop.example/v1, version: v1}]}]}`)
	h.put(m1+"/apis/apps/v1", sets("v1"))
	h.put(m1+"/apis/a.example/v1", more("a.example"))
	h.put(m1+"/apis/b.example/v1", more("b.example"))
	h.put(m1+"/apis/shop.example/v1", `{kind: APIResourceList, groupVersion: shop.example/v1, resources: [{name: configmaps, kind: ConfigMap, namespaced: true, `+verbs+`}]}`)
	h.put(groupPath+"/clusters/bank/proxy/api", `{kind: APIVersions, versions: []}`)
	h.put(groupPath+"/clusters/bank/proxy/apis", `{kind: APIGroupList, groups: []}`)
	h.put(m2+"/apis", `{kind: APIGroupList, groups: [{name: apps, versions: [{groupVersion: apps/v1beta1, version: v1beta1}]}]}`)
	h.created = func(path string, object map[string]any) {
		if strings.Contains(path, "/federatedtypeconfigs/") {
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Served", "status": "True"}}}
		}
		h.objects[path] = object
	}
	return h
}

// putType has a FederatedTypeConfig, in the list and by itself.
func (h *fakeHub) putType(name, manifest string) {
	h.put(testSystem+"federatedtypeconfigs/"+name, manifest)
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.objects[testSystem+"federatedtypeconfigs"]
	list["items"] = append(list["items"].([]any), h.objects[testSystem+"federatedtypeconfigs/"+name])
}

func setsType(propagation, status string) string {
	return `{metadata: {name: statefulsets.apps, namespace: kube-federation-system, uid: u1, generation: 2}, spec: {propagation: ` + propagation + `,
		federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedStatefulSet, pluralName: federatedstatefulsets, scope: Namespaced},
		targetType: {group: apps, version: v1, kind: StatefulSet, pluralName: statefulsets, scope: Namespaced}}, status: ` + status + `}`
}

const served = `{conditions: [{type: Served, status: "True", observedGeneration: 9}]}`

func TestEnableFindsTheTypeInMembers(t *testing.T) {
	h := newTypesHub(t)
	stdout, stderr, err := run(t, "enable", "sts", "--version", "v1", "--status-collection", "Enabled", "--propagating-annotations", "a.example/*")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "enable", stderr+stdout)
	want := map[string]any{
		"targetType": map[string]any{"group": "apps", "version": "v1", "kind": "StatefulSet", "pluralName": "statefulsets", "scope": "Namespaced"},
		"federatedType": map[string]any{
			"group": "types.kubefed.io", "version": "v1beta1", "kind": "FederatedStatefulSet", "pluralName": "federatedstatefulsets", "scope": "Namespaced",
		},
		"propagation": "Enabled", "statusCollection": "Enabled", "propagatingAnnotations": []any{"a.example/*"},
	}
	if diff := cmp.Diff(want, h.objects[testSystem+"federatedtypeconfigs/statefulsets.apps"]["spec"]); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
}

func TestEnableChoosesTheVersionThatMostMembersServe(t *testing.T) {
	h := newTypesHub(t)
	stdout, _, err := run(t, "enable", "StatefulSet.apps", "-o", "yaml")
	if err != nil || !strings.Contains(stdout, "version: v1beta1\n") || len(h.writes()) > 0 {
		t.Errorf("%v; it said %s, and wrote %v", err, stdout, h.writes())
	}
}

func TestEnableOfATypeThatThereIs(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		args   []string
		want   string
		writes int
	}{
		"enabled already":           {setsType("Enabled", served), nil, "is enabled already\n", 0},
		"disabled is turned on":     {setsType("Disabled", served), nil, "enabled\n", 1},
		"a flag changes it":         {setsType("Enabled", served), []string{"--propagating-annotations", "a/*"}, "changed\n", 1},
		"another version":           {setsType("Enabled", served), []string{"--version", "v1beta1"}, "changed\n", 1},
		"a dry run changes nothing": {setsType("Disabled", served), []string{"--dry-run", "server"}, "enabled (server dry run)\n", 0},
		"printed and not changed":   {setsType("Disabled", served), []string{"-o", "yaml"}, "propagation: Enabled", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTypesHub(t)
			h.putType("statefulsets.apps", c.before)
			stdout, stderr, err := run(t, append([]string{"enable", "sts"}, c.args...)...)
			if err != nil || !strings.Contains(stdout, c.want) {
				t.Errorf("%v; it said %s%s, want %q", err, stdout, stderr, c.want)
			}
			if got := len(h.writes()); got != c.writes {
				t.Errorf("%d writes, want %d: %v", got, c.writes, h.writes())
			}
		})
	}
}

func TestATypeThatMembersNoLongerServeCanBeEnabledAgain(t *testing.T) {
	h := newTypesHub(t)
	h.putType("gadgets.example.com", `{metadata: {name: gadgets.example.com}, spec: {propagation: Disabled,
		federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedGadget, pluralName: federatedgadgets, scope: Namespaced},
		targetType: {group: example.com, version: v1, kind: Gadget, pluralName: gadgets, scope: Namespaced}}, status: `+served+`}`)
	stdout, stderr, err := run(t, "enable", "gadgets.example.com")
	if err != nil || !strings.Contains(stdout, "enabled\n") || !strings.Contains(stderr, "no member that could be asked serves") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
}

func TestEnableSaysIfATypeIsNotServedInTime(t *testing.T) {
	h := newTypesHub(t)
	h.putType("statefulsets.apps", setsType("Enabled", `{conditions: [{type: Served, status: "False", message: the name is taken}]}`))
	_, stderr, err := run(t, "enable", "sts", "--timeout", "1ms")
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitPartial || !strings.Contains(stderr, "federatedstatefulsets is not served: the name is taken") {
		t.Errorf("%v; it said %s", err, stderr)
	}
}

func TestWhatEnableCannotDoIsASentence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "type.yaml")
	if err := os.WriteFile(file, []byte(`{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: x, namespace: other}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "a type is needed"},
		{[]string{"sts", "-f", file}, "not both"},
		{[]string{"-f", file, "--version", "v1"}, "with -f the file says all"},
		{[]string{"-f", file}, `metadata.namespace is "other": a FederatedTypeConfig outside of namespace "kube-federation-system" is not used`},
		{[]string{"sts", "cm", "--version", "v1"}, "--version is for one TYPE"},
		{[]string{"sts", "--status-collection", "on"}, `--status-collection is "on": it must be Enabled or Disabled`},
		{[]string{"sts", "--dry-run", "client"}, `--dry-run is "client": it must be none or server`},
		{[]string{"sts", "-o", "json"}, `--output is "json": it must be yaml`},
		{[]string{"sts", "--timeout", "0s"}, "--timeout is 0s"},
		{[]string{"statefulst"}, `no member that could be asked serves a type "statefulst"; not asked: m3 (cluster "m3" does not answer); near it: statefulsets.apps`},
		{[]string{"widgets"}, `"widgets" is more than one type: say which of widgets.a.example, widgets.b.example`},
		{[]string{"bindings"}, "bindings cannot be federated: member m1 has no delete, get, list, update, watch for it"},
		{[]string{"sts", "--version", "v7"}, `no member that could be asked serves statefulsets.apps as "v7": it is served as v1, v1beta1`},
		{[]string{"configmaps.shop.example"}, "FederatedConfigMap is the federated kind of configmaps already"},
	} {
		h := newTypesHub(t)
		if _, _, err := run(t, append([]string{"enable"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
		if writes := h.writes(); len(writes) > 0 {
			t.Errorf("%v: wrote %v", c.args, writes)
		}
	}
}

func TestEnableTakesWhatAFileSays(t *testing.T) {
	h := newTypesHub(t)
	file := filepath.Join(t.TempDir(), "type.yaml")
	manifest := `{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: gadgets.example.com},
		spec: {targetType: {version: v1, kind: Gadget, scope: Cluster}, retainFields: [{path: /spec/ca}]}}`
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := run(t, "enable", "-f", file)
	if err != nil || stdout != "federatedtypeconfig.core.kubefed.io/gadgets.example.com created\n" || !strings.Contains(stderr, "no member that could be asked serves") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
	if got := h.objects[testSystem+"federatedtypeconfigs/gadgets.example.com"]["spec"].(map[string]any)["retainFields"]; !cmp.Equal(got, []any{map[string]any{"path": "/spec/ca"}}) {
		t.Errorf("retainFields are %v", got)
	}
}

func TestDisableSaysWhatThereIs(t *testing.T) {
	const objects = `{items: [{metadata: {name: db, namespace: shop}}, {metadata: {name: queue, namespace: shop}}]}`
	sets := "/apis/types.kubefed.io/v1beta2/federatedstatefulsets"
	for name, c := range map[string]struct {
		propagation string
		objects     string // empty: they cannot be listed
		args        []string
		want        string
		fails       string
		writes      []string
	}{
		"propagation is turned off": {"Enabled", objects, nil, `federatedtypeconfig.core.kubefed.io/statefulsets.apps disabled
  there are 2 objects (shop/db, shop/queue): what members have stays, and what is deleted here is deleted there
`, "", []string{"PATCH"}},
		"off already": {"Disabled", `{items: []}`, nil, "federatedtypeconfig.core.kubefed.io/statefulsets.apps is disabled already\n", "", nil},
		"a dry run":   {"Enabled", `{items: []}`, []string{"--dry-run", "server"}, "federatedtypeconfig.core.kubefed.io/statefulsets.apps disabled (server dry run)\n", "", nil},
		"deletion is refused while there are objects": {"Enabled", objects, []string{"--delete"}, "", `there are 2 objects (shop/db, shop/queue) of federatedstatefulsets.types.kubefed.io: ` +
			`delete them first with "kubectl delete federatedstatefulsets.types.kubefed.io --all --all-namespaces"`, nil},
		"deletion is refused where it is not known": {"Enabled", "", []string{"--delete"}, "", "it is not known whether there are federatedstatefulsets.types.kubefed.io", nil},
		"objects are kept": {"Enabled", objects, []string{"--delete", "--keep-objects"}, `federatedtypeconfig.core.kubefed.io/statefulsets.apps deleted
  2 objects (shop/db, shop/queue): left in the store and in members, and there again with "kubectl koinon enable statefulsets.apps"
`, "", []string{"DELETE"}},
		"nothing is there": {"Disabled", `{items: []}`, []string{"--delete"}, "federatedtypeconfig.core.kubefed.io/statefulsets.apps deleted\n", "", []string{"DELETE"}},
		"a dry run of a deletion": {
			"Disabled", `{items: []}`, []string{"--delete", "--dry-run", "server"},
			"federatedtypeconfig.core.kubefed.io/statefulsets.apps deleted (server dry run)\n", "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTypesHub(t)
			h.putType("statefulsets.apps", setsType(c.propagation, served))
			if c.objects != "" {
				h.put(sets, c.objects)
			}
			stdout, _, err := run(t, append([]string{"disable", "sts"}, c.args...)...)
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%v, want %q", err, c.fails)
			}
			if diff := cmp.Diff(c.want, stdout); diff != "" {
				t.Errorf("it said (-want +got):\n%s", diff)
			}
			var verbs []string
			for _, w := range h.writes() {
				verbs = append(verbs, w.verb)
			}
			if diff := cmp.Diff(c.writes, verbs); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDisableOfWhatIsNotEnabled(t *testing.T) {
	h := newTypesHub(t)
	stdout, _, err := run(t, "disable", "sts", "--delete")
	if err != nil || stdout != "statefulsets.apps has no FederatedTypeConfig: there is nothing to disable\n" || len(h.writes()) > 0 {
		t.Errorf("%v; it said %s", err, stdout)
	}
	for _, c := range []struct{ args, want string }{
		{"nonsense", `there is no federated type "nonsense"; there are`},
		{"", "a type is needed"},
		{"sts --keep-objects", "--keep-objects is for --delete alone"},
		{"sts --dry-run client", "it must be none or server"},
	} {
		if _, _, err := run(t, append([]string{"disable"}, strings.Fields(c.args)...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestAFederatedTypeConfigThatStaysIsNotWaitedForForever(t *testing.T) {
	h := newTypesHub(t)
	h.putType("statefulsets.apps", strings.Replace(setsType("Enabled", served), "uid: u1", "uid: u1, finalizers: [core.kubefed.io/federated-type-config]", 1))
	h.put("/apis/types.kubefed.io/v1beta2/federatedstatefulsets", `{items: []}`)
	_, stderr, err := run(t, "disable", "sts", "--delete", "--timeout", "1ms")
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitPartial || !strings.Contains(stderr, "its finalizers core.kubefed.io/federated-type-config have not been taken off") {
		t.Errorf("%v; it said %s", err, stderr)
	}
}

func TestWhichTypeAWordMeans(t *testing.T) {
	resources := func(names ...string) (m memberTypes) {
		for _, name := range names {
			resource, group, _ := strings.Cut(name, ".")
			r := schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
			m.types = append(m.types, apiResourceOf(r))
		}
		return m
	}
	members := []memberTypes{resources("pods", "pods.metrics.k8s.io", "nodes"), resources("deployments.apps")}
	for word, want := range map[string]string{
		"pods": "pods", "pods.metrics.k8s.io": "pods.metrics.k8s.io", "deployment": "deployments.apps", "Deployments.apps": "deployments.apps",
		"deploymens": `no member serves a type "deploymens"; near it: deployments.apps`, "zzz": `no member serves a type "zzz"`,
	} {
		found, err := findType(members, word)
		got := found.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	if _, err := findType(nil, "pods"); err == nil || !strings.Contains(err.Error(), "there is no member that could serve") {
		t.Errorf("without members: %v", err)
	}
}

func TestMembersAreAskedOnceEach(t *testing.T) {
	h := newTypesHub(t)
	if _, _, err := run(t, "enable", "sts", "-o", "yaml"); err != nil {
		t.Fatal(err)
	}
	if n := h.sentTo("m3"); n > 3 {
		t.Errorf("%d requests to a member that does not answer", n)
	}
	for _, a := range h.asked {
		if a.verb != http.MethodGet {
			t.Errorf("sent %v", a)
		}
	}
}

func apiResourceOf(r schema.GroupVersionResource) metav1.APIResource {
	kind := strings.TrimSuffix(r.Resource, "s")
	return metav1.APIResource{Name: r.Resource, Group: r.Group, Version: r.Version, Kind: strings.ToUpper(kind[:1]) + kind[1:], SingularName: kind}
}

// Commands that are printed mean the KubeFedClusters of the namespace that the command was told.
func TestPrintedCommandsSayTheNamespaceOfKubeFedClusters(t *testing.T) {
	h := newTypesHub(t)
	const elsewhere = "/apis/core.kubefed.io/v1beta1/namespaces/fed/"
	for path, object := range maps.Clone(h.objects) {
		if rest, ok := strings.CutPrefix(path, testSystem); ok {
			h.objects[elsewhere+rest] = object
		}
	}
	_, stderr, err := run(t, "enable", "statefulsets", "--kubefed-namespace", "fed", "--wait=false")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kubectl koinon federate statefulsets.apps/NAME --all --kubefed-namespace fed\n", "kubectl koinon doctor --kubefed-namespace fed\n"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("it said %s, want %s", stderr, want)
		}
	}
	c := newConnection()
	c.overrides.CurrentContext = "far"
	if got := c.givenIn("kube-federation-system"); got != " --context far" {
		t.Errorf("the flags in the default namespace are %q", got)
	}
	if got := c.givenIn("fed"); got != " --context far --kubefed-namespace fed" {
		t.Errorf("the flags in another namespace are %q", got)
	}
}
