package propagation_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/testbed"
)

// collectRaw switches RawResourceStatusCollection, and off again when the test ends.
func (f *fixture) collectRaw(mode string) {
	f.Helper()
	patch := fmt.Sprintf(`{"spec": {"featureGates": [{"name": "RawResourceStatusCollection", "configuration": %q}]}}`, mode)
	testbed.Kubectl(f.T, f.kubeconfig, "patch", "kubefedconfig", "kubefed", "-n", system, "--type=merge", "-p", patch)
}

// healthy waits until an object's condition Healthy has a status, and a message with the given part.
func (f *fixture) healthy(plural, name, status, message string) (object *v1beta2.FederatedObject) {
	f.Helper()
	f.eventually(fmt.Sprintf("%s %s has Healthy=%s", plural, name, status), func() (err error) {
		if object, err = f.federated(plural).Get(f.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		if object.Status != nil && object.Status.ObservedGeneration == object.Generation {
			for _, c := range object.Status.Conditions {
				if c.Type == v1beta2.ConditionHealthy && string(c.Status) == status && strings.Contains(c.Message, message) {
					return nil
				}
			}
		}
		return fmt.Errorf("got status %s", asJSON(object.Status))
	})
	return object
}

// TestHealthOfDeployments has the members' own controllers write what is told: there are no nodes in
// them, so that a pod is never ready.
func TestHealthOfDeployments(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1", "rz01a", "m2")
	f.deployment(0, `{topologies: [{name: rz00a}, {name: rz01a}]}`, "  overrides: [{topologyName: rz01a, topologyOverrides: [{path: /spec/replicas, value: 2}]}]")
	object := f.healthy("federateddeployments", "web", "False", "1 of 2 targets are healthy; rz01a: Progressing")
	f.eventually("the numbers are added up", func() error {
		object = f.states("federateddeployments", "web", "rz00a", "", "rz01a", "")
		if got, want := asJSON(object.Status.Workload), `{"desiredReplicas":2,"replicas":2,"updatedReplicas":2,"readyReplicas":0,"availableReplicas":0}`; got != want {
			return fmt.Errorf("got %s, want %s", got, want)
		}
		return nil
	})
	if target := f.target(object, "rz01a"); target.Health != v1beta2.HealthProgressing || target.HealthMessage == "" || target.Replicas != 2 || target.RemoteStatus != nil {
		t.Errorf("got target %s", asJSON(target))
	}
	testbed.Kubectl(t, f.kubeconfig, "wait", "federateddeployment/web", "-n", f.namespace, "--for=condition=Propagation", "--timeout=60s")
	if got := testbed.RunKubectl(t, f.kubeconfig, "", "wait", "federateddeployment/web", "-n", f.namespace, "--for=condition=Healthy", "--timeout=1s"); got.Err == nil {
		t.Errorf("kubectl did not wait for pods that are not ready: %s", got.Stdout)
	}
	if got := strings.Fields(testbed.Kubectl(t, f.kubeconfig, "get", "federateddeployment/web", "-n", f.namespace, "--no-headers")); len(got) < 5 || got[4] != "0/2" {
		t.Errorf("kubectl get: got %v, want READY 0/2", got)
	}

	f.deployment(0, `{topologies: [{name: rz00a}, {name: rz01a}]}`, "")
	// The status speaks of the former generation for a moment: kubectl must not fall for it.
	testbed.Kubectl(t, f.kubeconfig, "wait", "federateddeployment/web", "-n", f.namespace, "--for=condition=Healthy", "--timeout=60s")
	f.healthy("federateddeployments", "web", "True", "2 of 2 targets are healthy")
}

// TestHealthByARule lets an expression of the type judge what stands in for a controller of the member
// writes.
func TestHealthByARule(t *testing.T) {
	f := start(t)
	testbed.KubectlStdin(t, members["m1"].Get(t).Kubeconfig(), `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.health.example.com}
spec:
  group: health.example.com
  scope: Namespaced
  names: {plural: databases, kind: Database}
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, "apply", "-f", "-")
	const ftc = `
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: databases.health.example.com, namespace: ` + system + `}
spec:
  targetType: {group: health.example.com, version: v1, kind: Database, pluralName: databases, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedDatabase, pluralName: federateddatabases, scope: Namespaced}
  propagation: Enabled
  health: {healthy: %s, degraded: self.status.phase == 'Lost', message: self.status.why}`
	refused := testbed.RunKubectl(t, f.kubeconfig, fmt.Sprintf(ftc, "self.status."), "apply", "-f", "-")
	if want := "spec.health.healthy: Invalid value"; refused.Err == nil || !strings.Contains(refused.Stderr, want) {
		t.Errorf("got %v: %s, want %q in it", refused.Err, refused.Stderr, want)
	}
	f.apply(fmt.Sprintf(ftc, "self.status.phase == 'Up'"))
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federateddatabases").List(t.Context(), metav1.ListOptions{})
		return err
	})
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedDatabase, metadata: {name: db, namespace: %s}, spec: {template: {spec: {size: 1}}, placement: {topologies: [{name: m1}]}}}`, f.namespace))
	f.states("federateddatabases", "db", "m1", "")
	phase := func(phase string) {
		t.Helper()
		patch := fmt.Sprintf(`{"status": {"phase": %q, "why": "the disk of %s", "data": %q}}`, phase, phase, strings.Repeat("x", 2000))
		if _, err := f.member("m1").Resource(schema.GroupVersionResource{Group: "health.example.com", Version: "v1", Resource: "databases"}).Namespace(f.namespace).
			Patch(t.Context(), "db", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	f.healthy("federateddatabases", "db", "False", "m1: Progressing")
	phase("Lost")
	object := f.healthy("federateddatabases", "db", "False", "m1: Degraded")
	if target := f.target(object, "m1"); target.HealthMessage != "the disk of Lost" || len(asJSON(target)) > 250 {
		t.Errorf("got target %s", asJSON(target))
	}
	phase("Up")
	f.healthy("federateddatabases", "db", "True", "1 of 1 targets are healthy")
	f.delete("federateddatabases", "db")
	f.gone("federateddatabases", "db")
}
