package propagation_test

import (
	"fmt"
	"testing"
)

func (f *fixture) deployment(replicas int, placement, rest string) {
	f.Helper()
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedDeployment
metadata: {name: web, namespace: %s}
spec:
  topologyType: cell
  template:
    metadata: {labels: {app: web}}
    spec:
      replicas: %d
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: "nginx:1"}]}
  placement: %s
%s`, f.namespace, replicas, placement, rest))
}

func TestLifecycle(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1", "rz00b", "m1", "rz01a", "m2")
	overrides := `  overrides: [{topologyName: rz00b, topologyOverrides: [{path: /spec/replicas, value: 5}]}]`
	f.deployment(2, `{topologySelector: {}}`, overrides)
	object := f.states("federateddeployments", "web", "rz00a", "", "rz00b", "", "rz01a", "")
	if c := object.Status.Conditions[0]; c.Status != "True" || c.Message != "3 of 3 targets are up to date" {
		t.Errorf("got condition %s", asJSON(c))
	}
	check := func(member, cell, replicas string) {
		t.Helper()
		if got := field(f.object(member, deployments, f.in(cell), "web"), "spec", "replicas"); got != replicas {
			t.Errorf("%s runs %s replicas, want %s", cell, got, replicas)
		}
	}
	check("m1", "rz00a", "2")
	check("m1", "rz00b", "5")
	check("m2", "rz01a", "2")

	f.deployment(3, `{topologies: [{name: rz00a}, {name: rz00b}]}`, overrides)
	f.states("federateddeployments", "web", "rz00a", "", "rz00b", "")
	check("m1", "rz00a", "3")
	check("m1", "rz00b", "5")
	f.absent("m2", deployments, f.in("rz01a"), "web")

	f.delete("federateddeployments", "web")
	f.gone("federateddeployments", "web")
	f.absent("m1", deployments, f.in("rz00a"), "web")
	f.absent("m1", deployments, f.in("rz00b"), "web")
}
