package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func parsed(t *testing.T, manifest string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		t.Fatalf("%v in %s", err, manifest)
	}
	return object
}

func TestWhatAnObjectNames(t *testing.T) {
	const pod = `{serviceAccountName: runner, imagePullSecrets: [{name: pull}], volumes: [{name: a, secret: {secretName: key}},
		{name: b, projected: {sources: [{configMap: {name: kube-root-ca.crt}}, {configMap: {name: both}}]}}, {name: c, emptyDir: {}}],
		initContainers: [{name: i, env: [{name: A, valueFrom: {secretKeyRef: {name: init, key: a}}}, {name: B, value: c}]}],
		containers: [{name: c, envFrom: [{configMapRef: {name: both, optional: true}}, {configMapRef: {name: maybe, optional: true}}]}]}`
	all := map[string]bool{
		"serviceaccounts/runner": true, "secrets/pull": true, "secrets/key": true, "secrets/init": true, "configmaps/both": true, "configmaps/maybe": false,
	}
	for name, c := range map[string]struct {
		group, kind, template string
		want                  map[string]bool
	}{
		"a Deployment":                 {"apps", "Deployment", `{spec: {template: {spec: ` + pod + `}}}`, all},
		"a CronJob":                    {"batch", "CronJob", `{spec: {jobTemplate: {spec: {template: {spec: ` + pod + `}}}}}`, all},
		"a Pod":                        {"", "Pod", `{spec: ` + pod + `}`, all},
		"a type of the same shape":     {"example.com", "Web", `{spec: {template: {spec: {containers: [{name: a}], serviceAccountName: default}}}}`, map[string]bool{}},
		"something else of that name":  {"example.com", "Web", `{spec: {template: {spec: {serviceAccountName: a}}}}`, map[string]bool{}},
		"what is no Pod template":      {"example.com", "Web", `{spec: {template: text}}`, map[string]bool{}},
		"a ServiceAccount":             {"", "ServiceAccount", `{imagePullSecrets: [{name: pull}]}`, map[string]bool{"secrets/pull": true}},
		"a ConfigMap that looks alike": {"", "ConfigMap", `{imagePullSecrets: [{name: pull}]}`, map[string]bool{}},
	} {
		got := map[string]bool{}
		for r, needed := range referencesOf(schema.GroupKind{Group: c.group, Kind: c.kind}, parsed(t, c.template)) {
			got[r.String()] = needed
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// newFederateHub is a newTypesHub whose member m1 has a StatefulSet with what its Pods name, and which has the type enabled.
func newFederateHub(t *testing.T) *fakeHub {
	t.Helper()
	h := newTypesHub(t)
	h.putType("statefulsets.apps", setsType("Enabled", served))
	h.putType("serviceaccounts", `{metadata: {name: serviceaccounts}, spec: {
		federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedServiceAccount, pluralName: federatedserviceaccounts, scope: Namespaced},
		targetType: {version: v1, kind: ServiceAccount, pluralName: serviceaccounts, scope: Namespaced}}}`)
	h.unserved = []string{"/apis/apps/v1/"}
	sets := groupPath + "/clusters/m1/proxy/apis/apps/v1/namespaces/shop/statefulsets"
	db := `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop, uid: u, annotations: {team: a}}, spec: {replicas: 2, template: {spec: {
		serviceAccountName: runner, containers: [{name: db, envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: nowhere}}]}]}}}, status: {replicas: 2}}`
	h.put(sets+"/db", db)
	h.put(sets, `{items: [`+db+`]}`)
	h.put(inMember("m1", "serviceaccounts/runner"), `{metadata: {name: runner, namespace: shop}, imagePullSecrets: [{name: pull}]}`)
	h.put(inMember("m1", "serviceaccounts"), `{items: [{metadata: {name: default}}, {metadata: {name: runner}, imagePullSecrets: [{name: pull}]}]}`)
	h.put(inMember("m1", "configmaps/settings"), `{metadata: {name: settings, namespace: shop}, data: {a: b}}`)
	h.put(inMember("m1", "configmaps"), `{items: [{metadata: {name: kube-root-ca.crt}}, {metadata: {name: settings}, data: {a: b}}]}`)
	h.put(inMember("m1", "secrets/pull"), `{metadata: {name: pull, namespace: shop}, data: {a: Yg==}}`)
	h.put(inMember("m1", "secrets"), `{items: [{metadata: {name: pull}, data: {a: Yg==}}, {metadata: {name: t}, type: kubernetes.io/service-account-token}]}`)
	h.put(groupPath+"/clusters/m1/proxy/api/v1/namespaces/shop", `{metadata: {name: shop, labels: {a: b}}}`)
	return h
}

func (h *fakeHub) written() (paths []string) {
	for _, w := range h.writes() {
		paths = append(paths, w.verb+" "+strings.TrimPrefix(w.path, "/apis/types.kubefed.io/v1beta2/namespaces/"))
	}
	return paths
}

func TestFederateSaysWhatItMakes(t *testing.T) {
	for file, c := range map[string]struct {
		args   []string
		writes []string
	}{
		"federate":            {[]string{"sts/db", "--from", "m1", "--all"}, []string{"POST shop/federatedstatefulsets"}},
		"federate-dry-run":    {[]string{"sts", "db", "--from", "m1", "--clusters", "m1,m2", "--with-references", "--dry-run", "client"}, nil},
		"federate-yaml":       {[]string{"statefulset/db", "--from", "m1", "--cluster-selector", "zone=a", "-o", "yaml"}, nil},
		"federate-cells-yaml": {[]string{"statefulset/db", "--from", "m1", "--selector", "city=x", "-o", "yaml"}, nil},
		"federate-references": {
			[]string{"sts/db", "--from", "m1", "--all", "--with-references"},
			[]string{"POST shop/federatedconfigmaps", "POST shop/federatedsecrets", "POST shop/federatedserviceaccounts", "POST shop/federatedstatefulsets"},
		},
		"federate-contents": {
			[]string{"namespace", "shop", "--contents", "--from", "m1", "--all", "--skip", "secrets"},
			[]string{"POST shop/federatedconfigmaps", "POST shop/federatedstatefulsets", "POST shop/federatedserviceaccounts"},
		},
	} {
		t.Run(file, func(t *testing.T) {
			h := newFederateHub(t)
			stdout, stderr, err := run(t, append([]string{"federate"}, c.args...)...)
			if err != nil {
				t.Errorf("%v; it said %s", err, stderr)
			}
			golden(t, file, stdout+stderr)
			if diff := cmp.Diff(c.writes, h.written()); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFederateAgainChangesNothing(t *testing.T) {
	h := newFederateHub(t)
	for i, want := range []string{"created\n", "unchanged\n"} {
		stdout, stderr, err := run(t, "federate", "sts/db", "--from", "m1", "--clusters", "m1")
		if err != nil || stdout != "federatedstatefulset.types.kubefed.io/db "+want {
			t.Errorf("run %d: %v; it said %s%s, want %s", i, err, stdout, stderr, want)
		}
	}
	if n := len(h.writes()); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

func TestWhatDiffersIsReplacedOnlyOnDemand(t *testing.T) {
	h := newFederateHub(t)
	h.put(testTypes+"federatedstatefulsets/db", `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedStatefulSet, metadata: {name: db, namespace: shop, resourceVersion: "4"},
		spec: {template: {spec: {replicas: 1}}, placement: {topologies: [{name: m2}]}, overrides: [{topologyName: m2}]}}`)
	h.conflicts = 2
	args := []string{"federate", "sts/db", "--from", "m1", "--clusters", "m1"}
	_, _, err := run(t, args...)
	if err == nil || !strings.Contains(err.Error(), "federatedstatefulset.types.kubefed.io/db: it is there already, with another spec.template and another spec.placement: --replace") {
		t.Errorf("%v", err)
	}
	if n := len(h.writes()); n > 0 {
		t.Errorf("%d writes of what was refused", n)
	}
	stdout, _, err := run(t, append(args, "--replace")...)
	if err != nil || !strings.Contains(stdout, "replaced\n") {
		t.Errorf("%v; it said %s", err, stdout)
	}
	spec := h.objects[testTypes+"federatedstatefulsets/db"]["spec"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}, spec["placement"]); diff != "" {
		t.Errorf("placement (-want +got):\n%s", diff)
	}
	if spec["template"].(map[string]any)["spec"].(map[string]any)["replicas"] != 2.0 || spec["overrides"] == nil {
		t.Errorf("spec is %v", spec)
	}
}

// A FederatedNamespace that leaves a cluster takes the namespace there with it, and what is in it.
func TestAPlacementIsNotReplacedByOneThatDeletesSomething(t *testing.T) {
	const all = `{topologySelector: {}}`
	for name, c := range map[string]struct {
		args, placement, mask, refused string
	}{
		"a namespace": {args: "namespace/shop --clusters m1", placement: all,
			refused: `it is there already, and --clusters m1 would delete the namespace with all that is in it in m2 (configmaps/old): name these too, or say --delete-unplaced`},
		"a namespace, as a dry run":           {args: "namespace/shop --clusters m1 --dry-run client", placement: all, refused: "in m2 (configmaps/old)"},
		"a namespace, on demand":              {args: "namespace/shop --clusters m1 --delete-unplaced", placement: all},
		"a namespace, to more":                {args: "namespace/shop --clusters m1,m2", placement: `{topologies: [{name: m1}]}`},
		"a namespace, to a selector of these": {args: "namespace/shop --cluster-selector zone=a", placement: all},
		"a namespace that goes there no more": {args: "namespace/shop --clusters m1", placement: `{topologies: [{name: m3}]}`},
		"an object":                           {args: "cm/settings --clusters m1", placement: all, refused: "--clusters m1 would delete the object in m2: name these too"},
		"an object, on demand":                {args: "cm/settings --clusters m1 --delete-unplaced", placement: all},
		"an object that a mask keeps there":   {args: "cm/settings --clusters m1", placement: all, mask: "placementMask: {topologies: [{name: m1}]},"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFederateHub(t)
			h.putInCluster("m1", "m2")
			for plural, object := range map[string]string{"federatednamespaces": "shop", "federatedconfigmaps": "settings"} {
				h.put(testTypes+plural+"/"+object, `{metadata: {name: `+object+`, namespace: shop, resourceVersion: "4"}, spec: {template: {a: b}, `+c.mask+` placement: `+c.placement+`},
					status: {targets: [{name: m1, cluster: m1, hash: h}, {name: m2, cluster: m2, hash: h}, {name: m9, cluster: m9, hash: h}]}}`)
			}
			stdout, stderr, err := run(t, append([]string{"federate", "--from", "m1", "--replace"}, strings.Fields(c.args)...)...)
			switch {
			case c.refused == "" && (err != nil || len(h.written()) == 0):
				t.Errorf("%v; it said %s%s", err, stdout, stderr)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v, want %q", err, c.refused)
			case c.refused != "" && len(h.written()) > 0:
				t.Errorf("wrote %v", h.written())
			}
		})
	}
}

// The same in cells, each of which is a namespace of a member.
func TestANamespaceOfCellsIsNotReplacedByOneThatDeletesSomething(t *testing.T) {
	for name, c := range map[string]struct{ args, refused string }{
		"in fewer cells":            {"--cells c1", `--cells c1 would delete the namespace with all that is in it in c2 (configmaps/old): name these too, or say --delete-unplaced`},
		"in fewer cells, on demand": {"--cells c1 --delete-unplaced", ""},
		"in all that have objects":  {"--cells c1,c2", ""},
		"where only an object is":   {"--cells c2,c3", "in c1: name these too"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFederateHub(t)
			h.putInCluster("m1", "m2")
			h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: c1}, spec: {clusterName: m1}}, {metadata: {name: c2}, spec: {clusterName: m2}}, {metadata: {name: c3}, spec: {clusterName: m2}}]}`)
			h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: old, namespace: shop}, spec: {topologyType: "cell:zone"}, status: {targets: [{name: c2, cluster: m2, hash: h}]}}]}`)
			h.put(testTypes+"federatednamespaces/shop", `{metadata: {name: shop, namespace: shop, resourceVersion: "4"}, spec: {topologyType: cell, template: {a: b}, placement: {topologySelector: {}}},
				status: {targets: [{name: c1, cluster: m1, hash: h}, {name: c2, cluster: m2, hash: h}]}}`)
			stdout, stderr, err := run(t, append([]string{"federate", "namespace/shop", "--from", "m1", "--replace"}, strings.Fields(c.args)...)...)
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("%v; it said %s%s", err, stdout, stderr)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v, want %q", err, c.refused)
			case c.refused != "" && len(h.written()) > 0:
				t.Errorf("wrote %v", h.written())
			}
		})
	}
}

func TestFederateHasAnObjectOfTheHostFollowed(t *testing.T) {
	const native = "/api/v1/namespaces/shop/configmaps/settings"
	for name, c := range map[string]struct {
		args, there string
		writes      []string
		mark        string
		refused     string
	}{
		"a new one is marked, and the object labelled then": {"", "", []string{"POST shop/federatedconfigmaps", "PATCH " + native}, `{"uid":"u","ended":true}`, ""},
		"nothing is written by a dry run":                   {"--dry-run client", "", nil, "", ""},
		"one that is a person's is not taken over":          {"", `{}`, nil, "", "another annotation federation.koinon.io/follows: --replace"},
		"unless that is asked for":                          {"--replace", `{}`, []string{"PATCH shop/federatedconfigmaps/settings", "PATCH " + native}, `{"uid":"u","ended":true}`, ""},
		"one that follows it already stays as it is":        {"", `{federation.koinon.io/follows: '{"uid":"u"}'}`, []string{"PATCH " + native}, `{"uid":"u"}`, ""},
		"from a member nothing is followed":                 {"--from m1", "", nil, "", "--follow is for objects in the host"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFederateHub(t)
			h.put(native, `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop, uid: u}, data: {a: b}}`)
			if c.there != "" {
				h.put(testTypes+"federatedconfigmaps/settings", `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: settings, namespace: shop, annotations: `+c.there+`},
					spec: {template: {data: {a: b}}, placement: {topologySelector: {}}}}`)
			}
			stdout, stderr, err := run(t, append([]string{"federate", "cm/settings", "--all", "--follow"}, strings.Fields(c.args)...)...)
			if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%v; it said %s%s, want %q", err, stdout, stderr, c.refused)
			}
			if diff := cmp.Diff(c.writes, h.written()); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if len(c.writes) == 0 {
				return
			}
			metadata := h.objects[testTypes+"federatedconfigmaps/settings"]["metadata"].(map[string]any)
			if annotations, _ := metadata["annotations"].(map[string]any); annotations["federation.koinon.io/follows"] != c.mark {
				t.Errorf("the mark is %v, want %s", annotations, c.mark)
			}
			labels, _ := h.objects[native]["metadata"].(map[string]any)["labels"].(map[string]any)
			if labels["federation.koinon.io/federate"] != "true" {
				t.Errorf("the object has labels %v", labels)
			}
		})
	}
}

func TestFederateMakesTheNamespaceGoThere(t *testing.T) {
	h := newFederateHub(t)
	delete(h.objects, testTypes+"federatednamespaces/shop")
	stdout, stderr, err := run(t, "federate", "cm/settings", "--from", "m1", "--all", "--dry-run", "server")
	if err != nil || !strings.Contains(stderr, `namespace "shop" has no FederatedNamespace`) || !strings.Contains(stderr, "kubectl koinon federate namespaces/shop --all\n") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
	stdout, stderr, err = run(t, "federate", "cm/settings", "--from", "m1", "--all", "--with-namespace")
	want := "federatednamespace.types.kubefed.io/shop created\nfederatedconfigmap.types.kubefed.io/settings created\n"
	if err != nil || stdout != want || strings.Contains(stderr, "FederatedNamespace") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
	spec := h.objects[testTypes+"federatednamespaces/shop"]["spec"]
	if diff := cmp.Diff(map[string]any{"placement": map[string]any{"topologySelector": map[string]any{}}}, spec); diff != "" {
		t.Errorf("FederatedNamespace (-want +got):\n%s", diff)
	}
}

// putInCluster has a federated ConfigMap of the namespace in clusters, and no others of any type.
func (h *fakeHub) putInCluster(clusters ...string) {
	h.Helper()
	for _, plural := range []string{"federatedsecrets", "federatedstatefulsets", "federatedserviceaccounts"} {
		h.put(testTypes+plural, `{items: []}`)
	}
	var targets []string
	for _, cluster := range clusters {
		targets = append(targets, `{name: `+cluster+`, state: NamespaceNotFederated, hash: h}`)
	}
	h.put(testTypes+"federatedconfigmaps", `{items: [
		{metadata: {name: old, namespace: shop}, spec: {placement: {topologySelector: {}}}, status: {targets: [`+strings.Join(targets, ", ")+`]}},
		{metadata: {name: unsent, namespace: shop}, status: {targets: [{name: m3, state: ClusterNotReady}]}},
		{metadata: {name: ofacell, namespace: shop}, spec: {topologyType: cell}, status: {targets: [{name: m3, hash: h}]}}]}`)
}

// TestANewFederatedNamespaceTakesNothingAway: while there is none, objects stay in clusters where a new one would not go.
func TestANewFederatedNamespaceTakesNothingAway(t *testing.T) {
	const would = `namespace "shop" has no FederatedNamespace, and one with --clusters m1 would delete objects in m2 (configmaps/old): "kubectl koinon federate namespaces/shop --clusters m1,m2" makes one that leaves them`
	for name, c := range map[string]struct {
		args    string
		in      []string // clusters that have an object
		prepare func(h *fakeHub)
		refused string
		said    string
		unsaid  string
	}{
		"made with an object":    {args: "cm/settings --from m1 --clusters m1 --with-namespace", in: []string{"m1", "m2"}, refused: would},
		"made with its contents": {args: "namespace shop --contents --from m1 --clusters m1", in: []string{"m2"}, refused: would},
		"made by itself":         {args: "namespace/shop --from m1 --clusters m1", in: []string{"m2"}, refused: would},
		"not made, but printed":  {args: "namespace/shop --from m1 --clusters m1 -o yaml", in: []string{"m2"}, said: "Warning: " + would},
		"of objects that are placed by zones": {
			args: "namespace/shop --from m1 --clusters m1", in: []string{"m2"}, refused: would,
			prepare: func(h *fakeHub) {
				h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: old, namespace: shop}, spec: {topologyType: "cluster:zone"}, status: {targets: [{name: m2, hash: h}]}}]}`)
			},
		},
		"made in a cell, where another has an object": {
			args: "namespace/shop --from m1 --cells c1", in: []string{"m2"},
			refused: `one with --cells c1 would delete objects in c2 (configmaps/old): "kubectl koinon federate namespaces/shop --cells c1,c2" makes one that leaves them`,
			prepare: func(h *fakeHub) {
				h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: c1}, spec: {clusterName: m1}}, {metadata: {name: c2}, spec: {clusterName: m2}}]}`)
				h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: old, namespace: shop}, spec: {topologyType: cell}, status: {targets: [{name: c2, hash: h}]}}]}`)
			},
		},
		"made in the cells that have objects": {
			args: "namespace/shop --from m1 --cells c2", in: []string{"m2"},
			prepare: func(h *fakeHub) {
				h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: c1}, spec: {clusterName: m1}}, {metadata: {name: c2}, spec: {clusterName: m2}}]}`)
				h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: old, namespace: shop}, spec: {topologyType: cell}, status: {targets: [{name: c2, hash: h}]}}]}`)
			},
		},
		"made where all objects are": {args: "cm/settings --from m1 --clusters m1,m2 --with-namespace", in: []string{"m1", "m2"}},
		"made for all clusters":      {args: "cm/settings --from m1 --all --with-namespace", in: []string{"m1", "m2"}},
		"made for those of a label":  {args: "cm/settings --from m1 --cluster-selector zone=a --with-namespace", in: []string{"m1", "m2"}},
		"made for others": {
			args: "cm/settings --from m1 --cluster-selector zone=a --with-namespace", in: []string{"m3"},
			refused: `"kubectl koinon federate namespaces/shop --clusters m1,m2,m3" makes one that leaves them`,
		},
		"made for others than a group": {
			args: "namespace/shop --from m1 --clusters m1", in: []string{"m2"}, refused: would,
			prepare: func(h *fakeHub) {
				h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: old, namespace: shop}, spec: {topologyType: "cluster:zone", placement: {topologies: [{name: a}]}},
					status: {targets: [{name: m2, hash: h}]}}]}`)
			},
		},
		"of a cluster that has left": {args: "cm/settings --from m1 --clusters m1 --with-namespace", in: []string{"m9"}},
		"where objects may not be listed": {
			args: "cm/settings --from m1 --clusters m1 --with-namespace", in: []string{"m1"},
			prepare: func(h *fakeHub) { delete(h.objects, testTypes+"federatedsecrets") },
			refused: `which objects one with --clusters m1 would delete in other clusters is not known: list federatedsecrets of namespace "shop": `,
		},
		"where it is not known whose the namespace is": {
			args: "namespace/shop --from m1 --clusters m1", in: []string{"m2"},
			prepare: func(h *fakeHub) { h.broken = append(h.broken, "/api/v1/namespaces/shop") },
			refused: `which objects one with --clusters m1 would delete in other clusters is not known: read the namespace "shop": you may not look`,
		},
		"advised": {
			args: "cm/settings --from m1 --clusters m1", in: []string{"m2"},
			said: "one with --clusters m1 would delete objects in m2 (configmaps/old), and the command below leaves them\nNext:\n  kubectl koinon federate namespaces/shop --clusters m1,m2\n",
		},
		"advised, and nothing is there": {args: "cm/settings --from m1 --clusters m1", said: "--with-namespace makes it\nNext:\n  kubectl koinon federate namespaces/shop --clusters m1\n"},
		"not advised where objects may not be listed": {
			args: "cm/settings --from m1 --clusters m1", prepare: func(h *fakeHub) { delete(h.objects, testTypes+"federatedsecrets") },
			said: "would delete in other clusters is not known: list federatedsecrets", unsaid: "federate namespaces/shop",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFederateHub(t)
			delete(h.objects, testTypes+"federatednamespaces/shop")
			h.putInCluster(c.in...)
			if c.prepare != nil {
				c.prepare(h)
			}
			stdout, stderr, err := run(t, append([]string{"federate"}, strings.Fields(c.args)...)...)
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("%v", err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v, want %q", err, c.refused)
			case c.refused != "" && len(h.written()) > 0:
				t.Errorf("wrote %v", h.written())
			}
			if !strings.Contains(stderr, c.said) || c.unsaid != "" && strings.Contains(stderr, c.unsaid) {
				t.Errorf("it said %s%s", stdout, stderr)
			}
		})
	}
}

func TestWhereTheFederatedNamespaceDoesNotGoIsSaid(t *testing.T) {
	h := newFederateHub(t)
	const outside = "kubectl edit federatednamespaces.types.kubefed.io shop -n shop\n"
	h.put(testTypes+"federatednamespaces/shop", `{metadata: {name: shop, namespace: shop}, spec: {placement: {topologies: [{name: m1}]}}}`)
	for args, want := range map[string]string{
		"--clusters m1":                     "",
		"--clusters m1,m2":                  `objects of namespace "shop" do not go to m2 before spec.placement of its FederatedNamespace selects them: ` + outside,
		"--all --with-namespace":            `do not go to m2, m3 before`,
		"--cells rz00a":                     "",
		"--clusters nowhere,m2 -o yaml":     `do not go to m2 before`,
		"--cluster-selector zone in (b)":    `do not go to m3 before`,
		"--cluster-selector zone notin (b)": `do not go to m2 before`,
	} {
		flag, value, _ := strings.Cut(args, " ")
		line := []string{"federate", "cm/settings", "--from", "m1", "--dry-run", "client", flag}
		if flag == "--cluster-selector" {
			line = append(line, value)
		} else {
			line = append(line, strings.Fields(value)...)
		}
		_, stderr, err := run(t, line...)
		if err != nil || !strings.Contains(stderr, want) || want == "" && strings.Contains(stderr, "do not go") {
			t.Errorf("%s: %v; it said %s, want %q", args, err, stderr, want)
		}
	}
}

// TestWhatIsSkippedIsNotFederatedAsAReference: --skip holds for what Pods name, too.
func TestWhatIsSkippedIsNotFederatedAsAReference(t *testing.T) {
	h := newFederateHub(t)
	_, stderr, err := run(t, "federate", "namespace", "shop", "--contents", "--from", "m1", "--all", "--skip", "secrets", "--with-references")
	if err != nil || !strings.Contains(stderr, "secrets/pull is named by serviceaccounts/runner and not federated: --skip leaves it out\n") {
		t.Errorf("%v; it said %s", err, stderr)
	}
	if got := h.written(); slices.Contains(got, "POST shop/federatedsecrets") || !slices.Contains(got, "POST shop/federatedserviceaccounts") {
		t.Errorf("wrote %v", got)
	}
}

// TestWhatIsMadeIsNoFailure where it is not known whether what it names is federated.
func TestWhatIsMadeIsNoFailure(t *testing.T) {
	h := newFederateHub(t)
	h.broken = []string{testTypes + "federatedserviceaccounts/runner"}
	stdout, stderr, err := run(t, "federate", "sts/db", "--from", "m1", "--all")
	want := "serviceaccounts/runner is named by statefulsets.apps/db, and it is not known whether it is federated: you may not look\n"
	if err != nil || !strings.Contains(stderr, want) || !strings.Contains(stdout, "federatedstatefulset.types.kubefed.io/db created\n") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
	if !strings.Contains(stderr, "Next:\n") || strings.Contains(stderr, "federate serviceaccounts/runner") {
		t.Errorf("it said %s", stderr)
	}
}

// putWidgets has two types of one name enabled, and one of a name that the core group has too.
func (h *fakeHub) putWidgets() {
	h.Helper()
	for group, what := range map[string][2]string{"a.example": {"Widget", "widgets"}, "b.example": {"Widget", "widgets"}, "shop.example": {"ConfigMap", "configmaps"}} {
		kind, plural := what[0], what[1]
		h.putType(plural+"."+group, `{metadata: {name: `+plural+`.`+group+`, uid: u}, spec: {propagation: Enabled,
			federatedType: {group: types.`+group+`, version: v1beta1, kind: Federated`+kind+`, pluralName: federated`+plural+`, scope: Namespaced},
			targetType: {group: `+group+`, version: v1, kind: `+kind+`, pluralName: `+plural+`, scope: Namespaced}}}`)
	}
}

// TestANameOfSeveralTypesIsAsked: none of them is taken without a word.
func TestANameOfSeveralTypesIsAsked(t *testing.T) {
	const several = `more than one type: say which of widgets.a.example, widgets.b.example`
	for _, c := range []struct{ args, want, writes string }{
		{"disable widgets", several, ""},
		{"disable Widget", several, ""},
		{"enable widgets", several, ""},
		{"federate widget/one --all --from m1", several, ""},
		{"federate widget/one --all --from m1 --enable-type", several, ""},
		{"disable widgets.b.example", "", testSystem + "federatedtypeconfigs/widgets.b.example"},
		{"disable widget.b.example", "", testSystem + "federatedtypeconfigs/widgets.b.example"},
		{"disable configmap.shop.example", "", testSystem + "federatedtypeconfigs/configmaps.shop.example"},
		{"disable configmap", "", testSystem + "federatedtypeconfigs/configmaps"},
	} {
		h := newFederateHub(t)
		h.putWidgets()
		h.put(testSystem+"federatedtypeconfigs/configmaps", `{metadata: {name: configmaps}, spec: {}}`)
		_, _, err := run(t, strings.Fields(c.args)...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
		got := ""
		for _, w := range h.writes() {
			got += w.path
		}
		if got != c.writes {
			t.Errorf("%s: wrote %s, want %s", c.args, got, c.writes)
		}
	}
}

// TestSkipLeavesOutAllTypesOfAName that it does not say the group of.
func TestSkipLeavesOutAllTypesOfAName(t *testing.T) {
	h := newFederateHub(t)
	h.putWidgets()
	for _, group := range []string{"a.example", "b.example"} {
		h.put(groupPath+"/clusters/m1/proxy/apis/"+group+"/v1/namespaces/shop/widgets", `{items: [{metadata: {name: one}}]}`)
	}
	for word, want := range map[string]int{"widgets": 0, "widgets.b.example": 1} {
		stdout, stderr, err := run(t, "federate", "namespace", "shop", "--contents", "--from", "m1", "--all", "--skip", word, "--dry-run", "client")
		if n := strings.Count(stdout, "federatedwidget."); err != nil || n != want {
			t.Errorf("--skip %s: %v; %d widgets, want %d; it said %s%s", word, err, n, want, stdout, stderr)
		}
	}
}

func TestFederateEnablesATypeFirst(t *testing.T) {
	const pods = `{metadata: {name: one, namespace: shop}, spec: {nodeName: n1, containers: [{name: a}]}}`
	for _, dry := range []bool{true, false} {
		h := newFederateHub(t)
		h.put(inMember("m1", "pods/one"), pods)
		args := []string{"federate", "pod/one", "--from", "m1", "--all"}
		if _, _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), `pods: it is no type that is enabled: "kubectl koinon enable pods" or --enable-type`) {
			t.Errorf("without --enable-type: %v", err)
		}
		args = append(args, "--enable-type")
		if dry {
			args = append(args, "--dry-run", "server")
		}
		stdout, stderr, err := run(t, args...)
		if err != nil || !strings.Contains(stdout, "federatedpod.types.kubefed.io/one created") || !strings.Contains(stdout, "federatedtypeconfig.core.kubefed.io/pods") {
			t.Errorf("%v; it said %s%s", err, stdout, stderr)
		}
		if got := len(h.writes()); dry && got > 0 || !dry && got != 2 {
			t.Errorf("dry run %v: %d writes", dry, got)
		}
	}
}

func TestWhatIsNamedAndOfNoEnabledTypeIsSaid(t *testing.T) {
	h := newFederateHub(t)
	h.mu.Lock()
	list := h.objects[testSystem+"federatedtypeconfigs"]
	list["items"] = slices.DeleteFunc(list["items"].([]any), func(item any) bool {
		return item.(map[string]any)["metadata"].(map[string]any)["name"] == "serviceaccounts"
	})
	h.mu.Unlock()
	_, stderr, err := run(t, "federate", "sts/db", "--from", "m1", "--all", "--with-references")
	want := "kubectl koinon federate serviceaccounts/runner -n shop --from m1 --enable-type --all\n"
	if err != nil || !strings.Contains(stderr, "serviceaccounts/runner is named by statefulsets.apps/db and not federated; its type is not enabled\n") || !strings.Contains(stderr, want) {
		t.Errorf("%v; it said %s", err, stderr)
	}
	stdout, stderr, err := run(t, "federate", "sts/db", "--from", "m1", "--all", "--with-references", "--enable-type", "--replace")
	if err != nil || !strings.Contains(stdout, "federatedtypeconfig.core.kubefed.io/serviceaccounts created\n") || !strings.Contains(stdout, "federatedserviceaccount.types.kubefed.io/runner created\n") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
}

func TestFederateFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yaml")
	write := func(manifests string) {
		if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := newFederateHub(t)
	write(`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web}, spec: {template: {spec: {containers: [{name: a, envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: key}}]}]}}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}}
`)
	stdout, stderr, err := run(t, "federate", "-f", file, "--all", "--with-references")
	want := "federatedconfigmap.types.kubefed.io/settings created\nfederatedstatefulset.types.kubefed.io/web created\n"
	if err != nil || stdout != want || !strings.Contains(stderr, "secrets/key is named by statefulsets.apps/web and not federated, nor in what -f names") {
		t.Errorf("%v; it said %s%s", err, stdout, stderr)
	}
	if slices.ContainsFunc(h.asked, func(a asked) bool { return strings.HasPrefix(a.path, "/api/v1/namespaces/shop/") }) {
		t.Error("the host was asked for objects")
	}
	for manifests, want := range map[string]string{
		"{}":                                     "there is no object in what -f names",
		"{apiVersion: v1, kind: ConfigMap}":      "metadata.name: it must be set",
		"{kind: ConfigMap, metadata: {name: a}}": "apiVersion and kind must be set",
		"{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: a}}":                         `FederatedConfigMap "a" is federated already`,
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: x}}":                                          `the host has no namespace "x"`,
		"{apiVersion: v1, kind: Nonsense, metadata: {name: a}}":                                                         `serves a type "nonsense"`,
		"{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap}]}":                                      "document 1: metadata.name: it must be set",
		"{apiVersion: v1, kind: Secret, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: a}}": `secrets "a" is in`,
	} {
		write(manifests)
		if _, _, err := run(t, "federate", "-f", file, "--all"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", manifests, err, want)
		}
	}
}

func TestWhatFederateCannotDoIsASentence(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"sts/db --from m1", "one of --all, --clusters, --cluster-selector, --cells and --selector is needed"},
		{"sts/db --all --clusters m1", "one of --all, --clusters"},
		{"--all", "an object is needed"},
		{"sts --all", `"sts" is no object: it must be TYPE/NAME, or TYPE NAME`},
		{"sts/a/b --all", `"sts/a/b" is no object`},
		{"sts/db --all -f x", "not both"},
		{"--all -f x --from m1", "--from and -f exclude each other"},
		{"sts/db --cluster-selector a=b=c", `--cluster-selector is "a=b=c"`},
		{"sts/db --cells a,,b", "--clusters or --cells has an empty name"},
		{"sts/a sts/b --all --contents", "--contents is for one namespace"},
		{"sts/db --all --contents --from m1", `--contents is for a namespace, and "sts/db" is a StatefulSet`},
		{"sts/db --cells a --with-namespace", "--with-namespace is for clusters"},
		{"sts/db --all --skip cm", "--skip is for --contents alone"},
		{"namespace/shop --all --contents --from m1 --skip nonsense", `--skip: no member`},
		{"sts/db --all --dry-run all", "it must be none or client or server"},
		{"sts/db --all -o json", `--output is "json": it must be yaml`},
		{"sts/db --all --from m9", `--from is "m9": there is no such cluster; there are m1, m2, m3, bank`},
		{"sts/db --all --from a.b", `--from is "a.b" is no name of a member`},
		{"sts/db --all", "the host does not serve statefulsets.apps: --from CLUSTER reads it from a member, -f from a file"},
		{"cm/none --all", `there is no configmap "none" in namespace "shop" of the host: --from CLUSTER`},
		{"sts/none --all --from m1", `there is no statefulset "none" in namespace "shop" of member "m1"`},
		{"configmap/settings --all --from m3", `read configmaps "settings" of member "m3": cluster "m3" does not answer`},
		{"deploy/db --all --from m3", `ask member "m3" what it serves: cluster "m3" does not answer`},
		{"nonsense/db --all", `serves a type "nonsense"`},
		{"cm/theirs --all --from m1", `configmaps "theirs": it is an object of another federation, "there"`},
		{"cm/ours --all --from m1", `configmaps "ours": it was made from the federated object "bank/ours" already`},
	} {
		h := newFederateHub(t)
		h.put(inMember("m1", "configmaps/theirs"), `{metadata: {name: theirs, labels: {kubefed.io/managed: "true"},
			annotations: {federation.koinon.io/federation: there, federation.koinon.io/federated-object: shop/theirs}}}`)
		h.put(inMember("m1", "configmaps/ours"), `{metadata: {name: ours, labels: {kubefed.io/managed: "true"},
			annotations: {federation.koinon.io/federation: here, federation.koinon.io/federated-object: bank/ours}}}`)
		if _, _, err := run(t, append([]string{"federate"}, strings.Fields(c.args)...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
		if got := h.written(); len(got) > 0 {
			t.Errorf("%s: wrote %v", c.args, got)
		}
	}
}

func TestOnlyTheMemberThatHasTheObjectIsAskedForIt(t *testing.T) {
	h := newFederateHub(t)
	for _, word := range []string{"statefulset/db", "sts/db"} {
		if _, _, err := run(t, "federate", word, "--from", "m1", "--all", "-o", "yaml"); err != nil {
			t.Fatal(err)
		}
	}
	if h.sentTo("m2")+h.sentTo("m3") > 0 {
		t.Error("other members were asked")
	}
	for _, a := range h.asked {
		if a.verb != http.MethodGet {
			t.Errorf("sent %v", a)
		}
	}
}

// What a cell appears as is no member, and is not offered as one.
func TestFederateNamesMembersAlone(t *testing.T) {
	h := newFederateHub(t)
	h.put(testSystem+"kubefedclusters", `{items: [{metadata: {name: m1}}, {metadata: {name: c.shop, labels: {federation.koinon.io/topology: cell}}}]}`)
	_, _, err := run(t, "federate", "cm/settings", "--all", "--from", "m9")
	if want := `--from is "m9": there is no such cluster; there are m1`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
