package propagation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/test/testbed"
)

// preference makes the ReplicaSchedulingPreference of the Deployment web.
func (f *fixture) preference(spec string) {
	f.Helper()
	f.apply(fmt.Sprintf(`
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: web, namespace: %s}
spec: {targetKind: FederatedDeployment, %s}`, f.namespace, spec))
}

// replicas waits until the Deployment web has so many replicas in cells, given as member, cell and number.
func (f *fixture) replicas(memberCellReplicas ...any) {
	f.Helper()
	for i := 0; i < len(memberCellReplicas); i += 3 {
		member, cell, want := memberCellReplicas[i].(string), memberCellReplicas[i+1].(string), fmt.Sprint(memberCellReplicas[i+2])
		f.eventually(fmt.Sprintf("%s has %s replicas", cell, want), func() error {
			object, err := f.member(member).Resource(deployments).Namespace(f.in(cell)).Get(f.Context(), "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got := field(object, "spec", "replicas"); got != want {
				return fmt.Errorf("got %s; spec of the federated object: %s", got, f.spec())
			}
			return nil
		})
	}
}

// spec is the placement and the overrides of the FederatedDeployment web.
func (f *fixture) spec() string {
	object, err := f.federated("federateddeployments").Get(f.Context(), "web", metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return asJSON([]any{object.Spec.Placement, object.Spec.Overrides, object.Annotations[schedulingv1alpha1.ReplicaSchedulingAnnotation]})
}

// scheduled waits for the condition of the preference.
func (f *fixture) scheduled(status metav1.ConditionStatus, message string) {
	f.Helper()
	f.eventually(fmt.Sprintf("the preference says %s, %q", status, message), func() error {
		preference, err := f.koinon.KubeFedSchedulingV1alpha1().ReplicaSchedulingPreferences(f.namespace).Get(f.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(preference.Status.Conditions, schedulingv1alpha1.ConditionScheduled)
		if c == nil || c.Status != status || c.ObservedGeneration != preference.Generation || !strings.Contains(c.Message, message) {
			return fmt.Errorf("got %s", asJSON(preference.Status))
		}
		return nil
	})
}

// TestReplicasAreDividedAndTakenBack has kubefed#1066, deletion, and kubefed#1087, a changed preference.
func TestReplicasAreDividedAndTakenBack(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1", "rz01a", "m2")
	f.deployment(1, `{topologies: [{name: rz00a}]}`, `
  overrides:
  - {topologyName: rz00a, topologyOverrides: [{path: /metadata/labels, value: {mine: "yes"}}]}
  - {topologyName: rz01a, topologyOverrides: [{path: /spec/replicas, value: 7}]}`)
	f.states("federateddeployments", "web", "rz00a", "")

	f.preference(`totalReplicas: 9, clusters: {rz00a: {weight: 1}, rz01a: {weight: 2}}`)
	f.replicas("m1", "rz00a", 3, "m2", "rz01a", 6)
	f.scheduled(metav1.ConditionTrue, "placed 9 of 9 replicas")
	f.preference(`totalReplicas: 9, rebalance: true, clusters: {rz00a: {weight: 2}, rz01a: {weight: 1, maxReplicas: 2}}`)
	f.replicas("m1", "rz00a", 7, "m2", "rz01a", 2)
	f.scheduled(metav1.ConditionTrue, "placed 9 of 9 replicas")

	err := f.koinon.KubeFedSchedulingV1alpha1().ReplicaSchedulingPreferences(f.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.replicas("m1", "rz00a", 1, "m2", "rz01a", 7)
	want := `[{"topologies":[{"name":"rz00a"},{"name":"rz01a"}]},` +
		`[{"topologyName":"rz00a","topologyOverrides":[{"path":"/metadata/labels","value":{"mine":"yes"}}]},` +
		`{"topologyName":"rz01a","topologyOverrides":[{"path":"/spec/replicas","value":7}]}],""]`
	if got := f.spec(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := field(f.object("m1", deployments, f.in("rz00a"), "web"), "metadata", "labels", "mine"); got != `"yes"` {
		t.Errorf("the label of an override is %s", got)
	}
}

func TestReplicasOfAMemberThatIsOfflineAreElsewhere(t *testing.T) {
	f := start(t)
	f.apply(`
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedConfig
metadata: {name: kubefed, namespace: ` + system + `}
spec:
  clusterHealthCheck: {period: 1s, timeout: 1s, failureThreshold: 2}
  controllerDuration: {unavailableDelay: 1s, availableDelay: 1s}`)
	f.cells("rz00a", "m1", "rz01a", "m2")
	f.deployment(1, `{topologies: []}`, "")
	f.preference(`totalReplicas: 10, rebalance: true`)
	f.replicas("m1", "rz00a", 5, "m2", "rz01a", 5)

	m2 := members["m2"].Get(t)
	m2.Kill(t, testbed.APIServer)
	up := false
	defer func() {
		if !up {
			m2.Start(t)
		}
	}()
	f.condition("m2", v1beta1.ClusterOffline, corev1.ConditionTrue, "does not answer")
	f.replicas("m1", "rz00a", 10)
	f.scheduled(metav1.ConditionTrue, "without rz01a")
	m2.Start(t)
	up = true
	f.replicas("m1", "rz00a", 5, "m2", "rz01a", 5)
	f.scheduled(metav1.ConditionTrue, "placed 10 of 10 replicas")
}

// TestPodsWithoutANodeRunElsewhere: what finds no node for a minute runs in the other cell, and waits.
func TestPodsWithoutANodeRunElsewhere(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1", "rz01a", "m2")
	f.deployment(5, `{topologies: [{name: rz00a}, {name: rz01a}]}`, "")
	f.states("federateddeployments", "web", "rz00a", "", "rz01a", "")
	for i := range 3 {
		f.unschedulable("m1", f.in("rz00a"), fmt.Sprintf("web-%d", i))
	}
	f.preference(`totalReplicas: 10, rebalance: true`)
	f.replicas("m2", "rz01a", 8, "m1", "rz00a", 5)
	f.preference(`totalReplicas: 10, rebalance: true, clusters: {rz00a: {weight: 1}, rz01a: {weight: 1, maxReplicas: 6}}`)
	f.replicas("m2", "rz01a", 6, "m1", "rz00a", 5)
	f.scheduled(metav1.ConditionFalse, "placed 8 of 10 replicas; the rest has no capacity")
}

// unschedulable makes a pod of web for which the scheduler found no node two minutes ago.
func (f *fixture) unschedulable(member, namespace, name string) {
	f.Helper()
	account := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "default"}}}
	_, err := f.member(member).Resource(corev1.SchemeGroupVersion.WithResource("serviceaccounts")).Namespace(namespace).Create(f.Context(), account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		f.Fatal(err)
	}
	pods := f.member(member).Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace)
	pod, err := pods.Create(f.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"app": "web"}},
		"spec": map[string]any{
			"automountServiceAccountToken": false,
			"containers":                   []any{map[string]any{"name": "web", "image": "nginx:1"}},
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	pod.Object["status"] = map[string]any{"phase": "Pending", "conditions": []any{map[string]any{
		"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": time.Now().Add(-2 * time.Minute).UTC().Format(time.RFC3339),
	}}}
	if _, err := pods.UpdateStatus(f.Context(), pod, metav1.UpdateOptions{}); err != nil {
		f.Fatal(err)
	}
}
