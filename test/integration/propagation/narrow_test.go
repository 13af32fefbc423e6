package propagation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/testbed"
)

// selectsAll places an object in all clusters without naming one.
const selectsAll = `  placement: {topologySelector: {}}`

const notFederated = string(v1beta2.TargetNamespaceNotFederated)

func TestAnObjectGoesOnlyWhereItsNamespaceGoes(t *testing.T) {
	f := start(t)
	f.federateNamespace(`topologies: [{name: m1}]`)
	f.configMap("selects", "one", selectsAll)
	f.configMap("names", "one", everywhere)
	f.states("federatedconfigmaps", "selects", "m1", "")
	named := f.states("federatedconfigmaps", "names", "m1", "", "m2", notFederated)
	if got, want := f.target(named, "m2").Message, fmt.Sprintf(`the FederatedNamespace of namespace %q is not placed in cluster "m2"`, f.namespace); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	f.absent("m2", configMaps, f.namespace, "selects")
	f.absent("m2", configMaps, f.namespace, "names")

	f.federateNamespace(`topologySelector: {}`)
	f.states("federatedconfigmaps", "selects", "m1", "", "m2", "")
	f.states("federatedconfigmaps", "names", "m1", "", "m2", "")

	f.configMap("stays", "one", selectsAll, `  placementMask: {topologies: [{name: m1}]}`)
	f.states("federatedconfigmaps", "stays", "m1", "", "m2", string(v1beta2.TargetMasked))
	before := f.object("m1", configMaps, f.namespace, "selects").GetResourceVersion()
	const narrower = `{"spec":{"placement":{"topologySelector":null,"topologies":[{"name":"m1"}]}}}`
	f.warned(fmt.Sprintf(`Warning: spec.placement: by it namespace %q is deleted with all that is in it in 1 cluster: m2 (2 federated objects)`, f.namespace), "patch", "--type=merge", "-p", narrower)
	f.warned(fmt.Sprintf(`Warning: with it namespace %q is deleted with all that is in it in 2 clusters: m1 (3 federated objects), m2 (2 federated objects)`, f.namespace), "delete")
	f.federateNamespace(`topologies: [{name: m1}]`)
	f.states("federatedconfigmaps", "selects", "m1", "")
	f.states("federatedconfigmaps", "names", "m1", "", "m2", notFederated)
	f.states("federatednamespaces", f.namespace, "m1", "")
	f.absent("m2", namespaces, "", f.namespace)
	if after := f.object("m1", configMaps, f.namespace, "selects").GetResourceVersion(); after != before {
		t.Errorf("the object in m1 was written to when it left m2")
	}
}

// warned has kubectl write the FederatedNamespace, on trial, until it is warned. What is counted is some milliseconds old.
func (f *fixture) warned(want, verb string, args ...string) {
	f.Helper()
	f.eventually(verb+" warns", func() error {
		args := append([]string{verb, "federatednamespaces", f.namespace, "-n", f.namespace, "--dry-run=server"}, args...)
		result := testbed.RunKubectl(f.T, f.kubeconfig, "", args...)
		if result.Err != nil || !strings.Contains(result.Stderr, want) {
			return fmt.Errorf("got %v, %s, want %s", result.Err, result.Stderr, want)
		}
		return nil
	})
}

// KubeFed deletes everything where a FederatedNamespace is missing, or is not listed.
func TestNothingIsDeletedWhereTheFederatedNamespaceIsMissing(t *testing.T) {
	f := start(t)
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	versions := func() string {
		return f.object("m1", configMaps, f.namespace, "cm").GetResourceVersion() + " " + f.object("m2", configMaps, f.namespace, "cm").GetResourceVersion()
	}
	before := versions()
	refused := func(what string) {
		t.Helper()
		f.states("federatedconfigmaps", "cm", "m1", notFederated, "m2", notFederated)
		f.eventually("the status says: "+what, func() error {
			object, err := f.federated("federatedconfigmaps").Get(t.Context(), "cm", metav1.GetOptions{})
			if err != nil {
				return err
			}
			condition := object.Status.Conditions[0]
			if condition.Reason != v1beta2.ReasonNamespaceNotFederated || !strings.Contains(condition.Message, what) {
				err = fmt.Errorf("got condition %s", asJSON(condition))
			}
			return err
		})
	}

	f.orphanNamespace()
	f.delete("federatednamespaces", f.namespace)
	f.gone("federatednamespaces", f.namespace)
	create := fmt.Sprintf("create a FederatedNamespace %[1]q in namespace %[1]q", f.namespace)
	refused(create)
	f.configMap("cm", "two", everywhere) // which is not sent
	f.configMap("new", "one", selectsAll)
	refused(create)
	f.states("federatedconfigmaps", "new")

	f.stop()
	f.run()
	f.configMap("late", "one", everywhere) // the controllers have looked at all once they have at this
	f.states("federatedconfigmaps", "late", "m1", notFederated, "m2", notFederated)
	f.propagateNamespaces(v1beta1.Disabled)
	t.Cleanup(func() { f.propagateNamespaces(v1beta1.Enabled) })
	refused(`enable the FederatedTypeConfig "namespaces"`)
	if after := versions(); after != before {
		t.Errorf("members have versions %s, want them as they were, %s", after, before)
	}
	for _, member := range []string{"m1", "m2"} {
		f.absent(member, configMaps, f.namespace, "new")
		f.absent(member, configMaps, f.namespace, "late")
	}

	f.propagateNamespaces(v1beta1.Enabled)
	f.federateNamespace(`topologySelector: {}`)
	for _, name := range []string{"cm", "new", "late"} {
		f.states("federatedconfigmaps", name, "m1", "", "m2", "")
	}
	if got := f.value("m2", "cm"); got != `"two"` {
		t.Errorf("got %s, want what was written meanwhile", got)
	}

	f.propagateNamespaces(v1beta1.Disabled)
	refused(`enable the FederatedTypeConfig "namespaces"`)
	f.federateNamespace(`topologies: [{name: m1}]`) // which takes nothing out of m2 while its type is off
	f.configMap("last", "one", everywhere)
	f.states("federatedconfigmaps", "last", "m1", notFederated, "m2", notFederated)
	refused(`enable the FederatedTypeConfig "namespaces"`)
	if got := f.value("m2", "cm"); got != `"two"` {
		t.Errorf("got %s, want what was there when the type was disabled", got)
	}
}

// A selector picks no cluster that was unjoined, and that is no order to delete there what it had picked: the namespace least of all.
func TestNothingIsDeletedInAClusterThatIsGone(t *testing.T) {
	f := start(t)
	f.configMap("cm", "one", selectsAll)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.states("federatednamespaces", f.namespace, "m1", "", "m2", "")
	before := f.object("m2", namespaces, "", f.namespace)
	if err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(t.Context(), "m2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.configMap("cm", "two", selectsAll)
	f.states("federatedconfigmaps", "cm", "m1", "")
	f.states("federatednamespaces", f.namespace, "m1", "")
	if got := f.value("m2", "cm"); got != `"one"` {
		t.Errorf("m2 has %s, want what it had", got)
	}
	if after := f.object("m2", namespaces, "", f.namespace); after.GetUID() != before.GetUID() || after.GetDeletionTimestamp() != nil {
		t.Errorf("the namespace in m2 was %s, and is %s", asJSON(before), asJSON(after))
	}
	f.join("m2", members["m2"].Get(t))
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	if got := f.value("m2", "cm"); got != `"two"` {
		t.Errorf("m2 has %s when it is back", got)
	}
}

func TestInScopeNamespacedOnlyTheSystemNamespaceIsFederated(t *testing.T) {
	f := connect(t, testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--components=apiserver"}}))
	f.namespace = "scope-namespaced"
	f.run()
	f.prepare()
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	for name := range members {
		f.allowSystemNamespace(name)
	}

	if err := f.koinon.KubeFedCoreV1beta1().KubeFedConfigs(system).Delete(t.Context(), v1beta1.KubeFedConfigName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.apply(`{apiVersion: core.kubefed.io/v1beta1, kind: KubeFedConfig, metadata: {name: kubefed, namespace: ` + system + `}, spec: {scope: Namespaced, clusterHealthCheck: {period: 1s, timeout: 1s, failureThreshold: 2}}}`)
	for kind, want := range map[string]v1beta1.ControllerStatus{
		"clusterroles.rbac.authorization.k8s.io": v1beta1.ControllerNotRunning, "namespaces": v1beta1.ControllerNotRunning, "configmaps": v1beta1.ControllerRunning,
	} {
		f.eventually(fmt.Sprintf("the type %s is %s", kind, want), func() error {
			ftc, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Get(t.Context(), kind, metav1.GetOptions{})
			if err == nil && ftc.Status.PropagationController != want {
				err = fmt.Errorf("got %s", asJSON(ftc.Status))
			}
			return err
		})
	}
	f.limit("m1")
	other := *f
	f.configMap("cm", "two", everywhere)
	f.namespace = system
	f.configMap("cm", "one", everywhere) // no FederatedNamespace is needed
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.federateNamespace(`topologies: [{name: m1}]`) // but one narrows
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", notFederated)
	f.absent("m2", configMaps, system, "cm")
	if got := other.value("m1", "cm"); got != `"one"` {
		t.Errorf("an object of another namespace was updated to %s", got)
	}
	if object, err := other.federated("federatedconfigmaps").Get(t.Context(), "cm", metav1.GetOptions{}); err != nil || object.Status.ObservedGeneration == object.Generation {
		t.Errorf("an object of another namespace has status %s, error %v, want that of before", asJSON(object.Status), err)
	}
}

// limit has a member be written to with an account that has rights in the system namespace, and in no other.
func (f *fixture) limit(member string) {
	f.Helper()
	cluster := members[member].Get(f.T)
	testbed.KubectlStdin(f.T, cluster.Kubeconfig(), `
{apiVersion: v1, kind: Namespace, metadata: {name: kube-federation-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: limited, namespace: kube-federation-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: limited, namespace: kube-federation-system}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, update, patch, delete]}
- {apiGroups: [""], resources: [namespaces], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: limited, namespace: kube-federation-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: limited}
subjects: [{kind: ServiceAccount, name: limited, namespace: kube-federation-system}]`, "apply", "-f", "-")
	config := cluster.RESTConfig(f.T)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		f.Fatal(err)
	}
	request, err := client.CoreV1().ServiceAccounts(system).CreateToken(f.Context(), "limited", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.boundSecret(member, cluster.Server(), map[string]string{v1beta1.TokenKey: request.Status.Token, v1beta1.CAKey: string(config.CAData)})
	f.eventually("the member is reached with that account", func() error {
		joined, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(f.Context(), member, metav1.GetOptions{})
		if err == nil && joined.Status.JoinNamespace != system {
			err = fmt.Errorf("got %s", asJSON(joined.Status))
		}
		return err
	})
}

// orphanNamespace has the namespaces in members stay when the FederatedNamespace goes.
func (f *fixture) orphanNamespace() {
	f.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, v1beta1.OrphanAnnotation)
	if _, err := f.federated("federatednamespaces").Patch(f.Context(), f.namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}

// propagateNamespaces enables or disables the type of FederatedNamespaces.
func (f *fixture) propagateNamespaces(mode v1beta1.Mode) {
	f.Helper()
	patch := fmt.Sprintf(`{"spec":{"propagation":%q}}`, mode)
	ftcs := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system)
	if _, err := ftcs.Patch(context.WithoutCancel(f.Context()), "namespaces", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}

// allowSystemNamespace allows objects in the system namespace of a member.
func (f *fixture) allowSystemNamespace(member string) {
	f.Helper()
	patch := fmt.Sprintf(`{"spec":{"allowedSystemNamespaces":[%q]}}`, system)
	clusters := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system)
	if _, err := clusters.Patch(f.Context(), member, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}
