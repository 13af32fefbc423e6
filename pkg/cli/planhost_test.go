package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newFolderHub serves kinds that are not federated, too.
func newFolderHub(t *testing.T) *fakeHub {
	t.Helper()
	h := newFakeHub(t)
	h.put("/api/v1", `{resources: [{name: namespaces, kind: Namespace}, {name: namespaces/status, kind: Namespace}, {name: secrets, kind: Secret, namespaced: true}]}`)
	h.put("/apis/federation.koinon.io/v1alpha1", `{resources: [{name: cells, kind: Cell, namespaced: true}]}`)
	h.put("/apis/scheduling.kubefed.io/v1alpha1", `{resources: [{name: replicaschedulingpreferences, kind: ReplicaSchedulingPreference, namespaced: true}]}`)
	h.put("/apis/core.kubefed.io/v1beta1", `{resources: [{name: kubefedclusters, kind: KubeFedCluster, namespaced: true}, {name: federatedtypeconfigs, kind: FederatedTypeConfig, namespaced: true}]}`)
	h.put(groupPath+"/namespaces/shop/cells", `{items: [`+cellIn("m3")+`]}`)
	h.put(groupPath+"/namespaces/shop/cells/c", strings.Replace(cellC, "m1", "m3", 1))
	return h
}

const (
	cellC     = `{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: c}, spec: {clusterName: m1, memberNamespace: shop}}`
	webInCell = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: web},
	spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c}, {name: d}]}}}`
)

// hosts is what becomes of objects of the host, by kind and name.
func (p *plan) hosts() map[string]outcome {
	all := map[string]outcome{}
	for _, o := range p.Host {
		all[o.Kind+" "+o.Name] = o.Outcome
	}
	return all
}

// A cell that the files move, or make, is planned for the objects in it, whatever file comes first.
func TestAPlanGoesByCellsOfTheSameFiles(t *testing.T) {
	h := newFolderHub(t)
	h.put(testTypes+"federatedconfigmaps/web", strings.NewReplacer("cluster: m1", "cluster: m3", "former:", "ignored:").Replace(movedCell))
	h.put(inMember("m3", "configmaps/web"), managed("ConfigMap", "data: {color: blue}"))
	cellD := strings.NewReplacer("name: c", "name: d", "m1", "m2", "Namespace: shop", "Namespace: shop-d").Replace(cellC)
	_, planned, err := h.planned("-f", manifestFile(t, webInCell+"\n---\n"+cellC+"\n---\n"+cellD))
	got := map[string]outcome{}
	for _, target := range planned.Objects[0].Targets {
		got[target.Name+" in "+target.Cluster] = target.Outcome
	}
	if diff := cmp.Diff(map[string]outcome{"c in m1": outCreated, "c in m3": outDeleted, "d in m2": outCreated}, got); diff != "" {
		t.Errorf("%v; outcomes (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(map[string]outcome{"Cell c": outUpdated, "Cell d": outCreated}, planned.hosts()); diff != "" || ExitCode(err) != exitChanges {
		t.Errorf("%v; of the host (-want +got):\n%s", err, diff)
	}
}

func TestAPlanSaysWhatItDidWithObjectsThatAreNotFederated(t *testing.T) {
	newFolderHub(t)
	stdout, _, err := run(t, "plan", "-f", manifestFile(t, cellC+`
---
{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {password: hidden}}
---
{apiVersion: scheduling.kubefed.io/v1alpha1, kind: ReplicaSchedulingPreference, metadata: {name: web}, spec: {totalReplicas: 3}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}
`))
	const want = `Namespace shop changes
  where federated objects go that are not in these files may depend on it, and is not planned
Cell shop/c changes
  it moves from member "m3" to member "m1", with federated objects that are not in these files, and are not planned
Secret shop/login is created, in the host alone
ReplicaSchedulingPreference shop/web is created
  how it divides replicas is not planned
`
	if diff := cmp.Diff(want, stdout); diff != "" || ExitCode(err) != exitChanges {
		t.Errorf("%v with the exit code %d; it said (-want +got):\n%s", err, ExitCode(err), diff)
	}
}

func TestAPlanOfWhatIsThereAlreadyChangesNothing(t *testing.T) {
	newFolderHub(t)
	stdout, _, err := run(t, "plan", "-f", manifestFile(t, strings.Replace(cellC, "m1", "m3", 1)))
	if want := "Cell shop/c does not change\n"; err != nil || stdout != want {
		t.Errorf("%v; it said %s, want %s", err, stdout, want)
	}
}

// Nobody can check an object before there is its namespace, and what it goes by.
func TestAPlanTakesANamespaceOfTheSameFilesForMade(t *testing.T) {
	h := newFolderHub(t)
	h.absent = []string{"new"}
	h.put(groupPath+"/namespaces/new/cells", `{items: []}`)
	in := func(manifest string) string { return strings.Replace(manifest, "name: ", "namespace: new, name: ", 1) }
	namespace := "---\n{apiVersion: v1, kind: Namespace, metadata: {name: new}}\n---\n" +
		`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {namespace: new, name: new}, spec: {placement: {topologySelector: {}}}}`
	_, planned, err := h.planned("-f", manifestFile(t, in(webInCell)+"\n---\n"+in(cellC)+"\n"+namespace))
	data, encoding := json.Marshal(planned.Objects)
	if encoding != nil {
		t.Fatal(encoding)
	}
	for _, want := range []string{`"name":"c","cluster":"m1","object":"shop/web","outcome":"Created"`, `"unchecked":"its namespace is made first"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%v; %s is missing in %s", err, want, data)
		}
	}
	if len(planned.Errors) > 0 || ExitCode(err) != exitChanges {
		t.Errorf("%v with the exit code %d; errors %v", err, ExitCode(err), planned.Errors)
	}
	elsewhere := strings.Replace(in(webInCell), "spec: ", "status: {targets: [{name: gone, cluster: m2, hash: h}]}, spec: ", 1)
	_, planned, err = h.planned("-f", manifestFile(t, elsewhere+"\n---\n"+in(cellC)+"\n"+namespace))
	if data, encoding := json.Marshal(planned.Objects); encoding != nil || strings.Contains(string(data), `"name":"gone"`) {
		t.Errorf("%v; of a copy from elsewhere, what it says of its targets there is planned: %s", err, data)
	}
	_, planned, err = h.planned("-f", manifestFile(t, strings.Replace(in(webInCell), "topologyType: cell", "topologyType: nonsense", 1)+"\n"+namespace))
	if len(planned.Errors) != 1 || !strings.Contains(planned.Errors[0], "spec.topologyType") || ExitCode(err) != exitFailed {
		t.Errorf("%v; what nobody could take is %v", err, planned.Errors)
	}
}

// A type that the files enable is not served yet, and a cluster that they join does not answer yet.
func TestAPlanTakesTypesAndClustersOfTheSameFiles(t *testing.T) {
	h := newFolderHub(t)
	h.unserved = []string{"/apis/types.kubefed.io/v1beta2/namespaces/shop/federatedservices"}
	_, planned, err := h.planned("-f", manifestFile(t, `
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: m4, namespace: kube-federation-system}
---
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: services, namespace: kube-federation-system}
spec:
  propagation: Enabled
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedService, pluralName: federatedservices, scope: Namespaced}
  targetType: {version: v1, kind: Service, pluralName: services, scope: Namespaced}
---
apiVersion: types.kubefed.io/v1beta2
kind: FederatedService
metadata: {name: web}
spec: {template: {spec: {ports: [{port: 80}]}}, placement: {topologies: [{name: m1}, {name: m4}]}}
`))
	if len(planned.Errors) > 0 || len(planned.Objects) != 1 || ExitCode(err) != exitPartial {
		t.Fatalf("%v with the exit code %d; errors %v", err, ExitCode(err), planned.Errors)
	}
	got := map[string]string{}
	for _, target := range planned.Objects[0].Targets {
		got[target.Name] = string(target.Outcome) + " " + target.Message
	}
	want := map[string]string{"m1": "Created ", "m4": `Unreachable cluster "m4" is not joined yet`}
	if diff := cmp.Diff(want, got); diff != "" || planned.Objects[0].Unchecked != "its type is enabled first" {
		t.Errorf("%q (-want +got):\n%s", planned.Objects[0].Unchecked, diff)
	}
}
