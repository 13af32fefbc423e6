package propagation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/testbed"
)

// zoned writes a ConfigMap that is placed, masked and overridden by zones of cells.
func (f *fixture) zoned(size int, placement, mask string) {
	f.Helper()
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: web, namespace: %s}
spec:
  topologyType: cell:zone
  template: {data: {size: "%d"}}
  placement: %s
%s
  overrides:
  - {topologyName: a, topologyOverrides: [{op: add, path: /data/zone, value: zone-a}]}
  - {topologyName: b, topologyOverrides: [{op: add, path: /data/zone, value: zone-b}]}`, f.namespace, size, placement, mask))
}

// zoneCells are the cells of the test, with their members.
var zoneCells = map[string]string{"z1": "m1", "z2": "m2", "z3": "m1", "z4": "m2"}

// has compares the data of the ConfigMap in cells, given as cell and data in turn.
func (f *fixture) has(cellData ...string) {
	f.Helper()
	for i := 0; i < len(cellData); i += 2 {
		there := f.object(zoneCells[cellData[i]], configMaps, f.in(cellData[i]), "web")
		if got := field(there, "data"); got != cellData[i+1] {
			f.Errorf("cell %s has %s, want %s", cellData[i], got, cellData[i+1])
		}
	}
}

func (f *fixture) uid(cell string) string {
	f.Helper()
	return string(f.object(zoneCells[cell], configMaps, f.in(cell), "web").GetUID())
}

// A zone is the cells that carry its label: what is placed, masked and overridden by zones follows the labels,
// and a cell that changes its zone keeps its object.
func TestObjectsGoByZonesOfCells(t *testing.T) {
	f := start(t)
	for cell, zone := range map[string]string{"z1": "zone: a", "z2": "zone: a", "z3": "zone: b", "z4": ""} {
		f.apply(fmt.Sprintf(`{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: %s, namespace: %s, labels: {%s}}, spec: {clusterName: %s}}`,
			cell, f.namespace, zone, zoneCells[cell]))
	}
	label := func(cell, zone string) {
		t.Helper()
		testbed.Kubectl(t, f.kubeconfig, "label", "cell", cell, "-n", f.namespace, "--overwrite", zone)
	}
	const byNames, masked = "{topologies: [{name: a}, {name: b}]}", string(v1beta2.TargetMasked)

	f.zoned(1, byNames, "")
	f.states("federatedconfigmaps", "web", "z1", "", "z2", "", "z3", "")
	f.has("z1", `{"size":"1","zone":"zone-a"}`, "z2", `{"size":"1","zone":"zone-a"}`, "z3", `{"size":"1","zone":"zone-b"}`)
	f.absent("m2", configMaps, f.in("z4"), "web")
	stock := testbed.Kubectl(t, f.kubeconfig, "get", "federatedconfigmaps.v1beta1.types.kubefed.io", "web", "-n", f.namespace,
		"-o", "jsonpath={.spec.placement}{.status.clusters}")
	for _, part := range []string{`"clusterSelector"`, `{"key":"zone","operator":"In","values":["a","b"]}`, `{"name":"z1.` + f.namespace + `"}`} {
		if !strings.Contains(stock, part) {
			t.Errorf("a client of v1beta1 sees %s, without %s", stock, part)
		}
	}

	// The mask goes by zones, and by the one that a cell is in now.
	f.zoned(2, byNames, "  placementMask: {topologies: [{name: a}]}")
	f.states("federatedconfigmaps", "web", "z1", "", "z2", "", "z3", masked)
	f.has("z1", `{"size":"2","zone":"zone-a"}`, "z3", `{"size":"1","zone":"zone-b"}`)
	uid := f.uid("z2")
	label("z2", "zone=b")
	f.states("federatedconfigmaps", "web", "z1", "", "z2", masked, "z3", masked)
	f.has("z2", `{"size":"2","zone":"zone-a"}`)
	f.zoned(2, byNames, "")
	f.states("federatedconfigmaps", "web", "z1", "", "z2", "", "z3", "")
	f.has("z2", `{"size":"2","zone":"zone-b"}`)
	if got := f.uid("z2"); got != uid {
		t.Error("the object was made anew since its cell changed the zone")
	}

	// A zone that is left, and one that nothing is in until a cell comes.
	f.zoned(2, "{topologies: [{name: b}, {name: x}]}", "")
	f.states("federatedconfigmaps", "web", "z2", "", "z3", "", "zone=x", string(v1beta2.TargetNotFound))
	f.absent("m1", configMaps, f.in("z1"), "web")
	label("z4", "zone=x")
	f.states("federatedconfigmaps", "web", "z2", "", "z3", "", "z4", "")
	f.has("z4", `{"size":"2"}`)

	// A selector picks among those that carry the label.
	label("z3", "zone-")
	f.zoned(3, "{topologySelector: {}}", "")
	f.states("federatedconfigmaps", "web", "z1", "", "z2", "", "z4", "")
	f.absent("m1", configMaps, f.in("z3"), "web")
	f.delete("federatedconfigmaps", "web")
	f.gone("federatedconfigmaps", "web")

	f.wholeRegions()
}

// wholeRegions places by regions of whole clusters, where the FederatedNamespace goes by another label.
func (f *fixture) wholeRegions() {
	f.Helper()
	testbed.Kubectl(f.T, f.kubeconfig, "label", "kubefedcluster", "m1", "-n", system, "--overwrite", "region=eu", "idc=x")
	testbed.Kubectl(f.T, f.kubeconfig, "label", "kubefedcluster", "m2", "-n", system, "--overwrite", "region=eu", "idc=y")
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: web, namespace: %s}
spec: {topologyType: "cluster:region", template: {data: {size: "1"}}, placement: {topologies: [{name: eu}]}}`, f.namespace))
	f.states("federatedconfigmaps", "web", "m1", "", "m2", "")
	testbed.Kubectl(f.T, f.kubeconfig, "label", "kubefedcluster", "m2", "-n", system, "--overwrite", "region=us")
	f.states("federatedconfigmaps", "web", "m1", "")
	f.absent("m2", configMaps, f.namespace, "web")
	if got := field(f.object("m1", configMaps, f.namespace, "web"), "data"); got != `{"size":"1"}` {
		f.Errorf("m1 has %s", got)
	}
	f.delete("federatedconfigmaps", "web")
	f.gone("federatedconfigmaps", "web")
}
