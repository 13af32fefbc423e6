package aggregated_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/koinon-io/koinon/test/testbed"
)

var deployments = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federateddeployments"}

func TestManifestsAreAcceptedByTheHost(t *testing.T) {
	f := setup(t)
	f.eventually("pods that the namespace's Pod Security lets in", func(ctx context.Context) error {
		pods, err := f.kube.CoreV1().Pods(system).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=koinon"})
		if err == nil && len(pods.Items) != 2 {
			err = fmt.Errorf("there are %d pods", len(pods.Items))
		}
		return err
	})
	f.eventually("the rules that the host fills in", func(ctx context.Context) error {
		role, err := f.kube.RbacV1().ClusterRoles().Get(ctx, "koinon:admission-params", metav1.GetOptions{})
		if err == nil && len(role.Rules) == 0 {
			err = errors.New("there are none")
		}
		return err
	})
	applyDirectory(t, f.kubeconfig) // an upgrade
}

// "koinon install-manifests" prints what the directory is made of.
func TestPrintedManifestsAreTheDirectory(t *testing.T) {
	f := setup(t)
	koinon, err := testbed.Binary("koinon")
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := exec.CommandContext(t.Context(), koinon, "install-manifests").Output()
	if err != nil {
		t.Fatal(err)
	}
	diff := testbed.RunKubectl(t, f.kubeconfig, string(manifests), "diff", "--server-side", "--field-manager=kubectl", "-f", "-", requestTimeout)
	if diff.Err != nil || diff.Stdout+diff.Stderr != "" {
		t.Errorf("kubectl diff: %v\n%s%s", diff.Err, diff.Stdout, diff.Stderr)
	}
}

func TestKubectlThroughTheHost(t *testing.T) {
	f := setup(t)
	contains := func(output string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(output, part) {
				t.Errorf("got no %q in:\n%s", part, output)
			}
		}
	}
	contains(f.apply(deployment("web")), "created")
	contains(f.apply(strings.Replace(deployment("web"), "replicas: 1", "replicas: 2", 1)), "configured")
	contains(f.apply(deployment("other"), "--server-side"), "serverside-applied")
	contains(f.kubectl("get", "-n", f.namespace, "fdeploy"), "TOPOLOGY", "TARGETS", "web", "other")
	contains(f.kubectl("get", "-n", f.namespace, "federateddeployments.v1beta1.types.kubefed.io", "web", "-o", "yaml"), "clusters:", "name: nowhere", "replicas: 2")
	contains(f.kubectl("get", "-n", f.namespace, "federated", "-o", "name"), "federateddeployment.types.kubefed.io/web")
	contains(f.kubectl("describe", "-n", f.namespace, "fdeploy", "web"), "nowhere", "Replicas:  2")
	f.explains("fdeploy.spec.template.spec.replicas", "FIELD: replicas <integer>")
	contains(f.kubectl("patch", "-n", f.namespace, "fdeploy", "web", "--type=merge", "-p", `{"metadata":{"labels":{"tier":"front"}}}`), "patched")
	contains(f.kubectl("get", "-n", f.namespace, "fdeploy", "-l", "tier=front", "-o", "name"), "web")
	f.kubectl("wait", "-n", f.namespace, "fdeploy/web", "--for=jsonpath={.status.targets[0].state}=TargetNotFound", "--timeout=60s")
	f.eventually("describe shows an Event, which the account of the server may write", func(context.Context) error {
		if got := f.kubectl("describe", "-n", f.namespace, "fdeploy", "web"); !strings.Contains(got, "koinon-controllers  nowhere: ") {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	f.kubectl("delete", "-n", f.namespace, "fdeploy", "other", "--wait=false")
	f.kubectl("wait", "-n", f.namespace, "fdeploy/other", "--for=delete", "--timeout=60s")
	contains(f.kubectl("delete", "-n", f.namespace, "fdeploy", "--all", "--timeout=60s"), "web")
	if left := f.kubectl("get", "-n", f.namespace, "fdeploy", "-o", "name"); left != "" {
		t.Errorf("delete --all left %q", left)
	}
	typo := testbed.RunKubectl(t, f.kubeconfig, strings.Replace(deployment("typo"), "replicas:", "replica:", 1), "apply", "-n", f.namespace, "-f", "-", requestTimeout)
	if typo.Err == nil {
		t.Error("a typo in a template was accepted")
	}
	contains(typo.Stderr, "replica")
}

// explains waits for kubectl explain. The host looks for new schemas now and then; until it
// has, it asks for one by its old name, and does not follow the redirection that it gets.
func (f *fixture) explains(field, want string) {
	f.Helper()
	f.eventually("kubectl explain "+field, func(context.Context) error {
		got := testbed.RunKubectl(f.T, f.kubeconfig, "", "explain", field, requestTimeout)
		if got.Err != nil {
			return fmt.Errorf("%w: %s", got.Err, got.Stderr)
		}
		if !strings.Contains(got.Stdout, want) {
			return fmt.Errorf("got no %q in:\n%s", want, got.Stdout)
		}
		return nil
	})
}

func TestDeleteCollectionAndWatchThroughTheHost(t *testing.T) {
	f := setup(t)
	client := f.dynamic.Resource(deployments).Namespace(f.namespace)
	events, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	f.apply(deployment("one") + "---" + deployment("two"))
	if err := client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	for pending := map[string]int{"one": 2, "two": 2}; pending["one"] > 0 || pending["two"] > 0; {
		event, open := <-events.ResultChan()
		if !open {
			t.Fatalf("the watch ended before everything was seen: %v", pending)
		}
		if event.Type == watch.Added || event.Type == watch.Deleted {
			pending[event.Object.(*unstructured.Unstructured).GetName()]--
		}
	}
}

func TestRBACOfTheHostDecides(t *testing.T) {
	f := setup(t)
	f.kubectl("create", "-n", f.namespace, "role", "reader", "--verb=get", "--resource=federateddeployments.types.kubefed.io")
	f.kubectl("create", "-n", f.namespace, "rolebinding", "reader", "--role=reader", "--user=rita")
	for _, role := range []string{"view", "edit", "admin"} {
		f.kubectl("create", "-n", f.namespace, "rolebinding", role, "--clusterrole="+role, "--user=user-of-"+role)
	}
	f.apply(deployment("web"))
	cell := `{"apiVersion":"federation.koinon.io/v1alpha1","kind":"Cell","metadata":{"name":"c"},"spec":{"clusterName":"m1","memberNamespace":"kube-system"}}`
	secrets := "federatedsecrets.types.kubefed.io"
	tests := map[string]struct {
		user, stdin string
		args        []string
		allowed     bool
	}{
		"a Role with get lets get":             {"rita", "", []string{"get", "fdeploy", "web"}, true},
		"a Role with get does not let list":    {"rita", "", []string{"get", "fdeploy"}, false},
		"a Role with get does not let create":  {"rita", deployment("new"), []string{"create", "-f", "-"}, false},
		"a Role with get does not let delete":  {"rita", "", []string{"delete", "fdeploy", "web"}, false},
		"nobody may nothing":                   {"norbert", "", []string{"get", "fdeploy", "web"}, false},
		"view lets list":                       {"user-of-view", "", []string{"get", "fdeploy"}, true},
		"view does not show federated Secrets": {"user-of-view", "", []string{"get", secrets}, false},
		"view does not let create":             {"user-of-view", deployment("new"), []string{"create", "-f", "-"}, false},
		"edit lets create":                     {"user-of-edit", deployment("edited"), []string{"create", "-f", "-"}, true},
		"edit shows federated Secrets":         {"user-of-edit", "", []string{"get", secrets}, true},
		"edit does not give rights in members": {"user-of-edit", "", []string{"get", "federatedclusterroles"}, false},
		"admin does not make cells":            {"user-of-admin", cell, []string{"create", "-f", "-"}, false},
		"admin sees cells":                     {"user-of-admin", "", []string{"get", "cells"}, true},
	}
	// The host aggregates ClusterRoles in a controller.
	f.eventually("aggregated ClusterRoles", func(context.Context) error {
		return testbed.RunKubectl(t, f.kubeconfig, "", "auth", "can-i", "create", "fdeploy", "-n", f.namespace, "--as=user-of-edit", requestTimeout).Err
	})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-n", f.namespace, "--as=" + test.user, requestTimeout}, test.args...)
			result := testbed.RunKubectl(t, f.kubeconfig, test.stdin, args...)
			if got := result.Err == nil; got != test.allowed {
				t.Errorf("allowed: got %v, want %v\n%s", got, test.allowed, result.Stderr)
			}
			if !test.allowed && !strings.Contains(result.Stderr, "Forbidden") && !strings.Contains(result.Stderr, "forbidden") {
				t.Errorf("it was not refused by RBAC:\n%s", result.Stderr)
			}
		})
	}
}

func TestDeletingANamespaceOfTheHostDeletesWhatIsInIt(t *testing.T) {
	f := setup(t)
	doomed := f.newNamespace("doomed")
	testbed.KubectlStdin(t, f.kubeconfig, deployment("web"), "apply", "-n", doomed, "-f", "-", requestTimeout)
	f.deleteNamespace(doomed)
	list, err := f.dynamic.Resource(deployments).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(list.Items, func(one unstructured.Unstructured) bool { return one.GetNamespace() == doomed }) {
		t.Error("an object outlived its namespace")
	}
	refused := testbed.RunKubectl(t, f.kubeconfig, deployment("late"), "create", "-n", doomed, "-f", "-", requestTimeout)
	if refused.Err == nil || !strings.Contains(refused.Stderr, "not found") {
		t.Errorf("create in a namespace that is gone: got %v, %s; want a refusal", refused.Err, refused.Stderr)
	}
}

// deleteNamespace deletes a namespace and waits until it is gone.
func (f *fixture) deleteNamespace(name string) {
	f.Helper()
	f.kubectl("delete", "namespace", name, "--wait=false")
	took := f.eventually("the end of the namespace "+name, func(ctx context.Context) error {
		namespace, err := f.kube.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("it is there: %+v", namespace.Status))
	})
	f.Logf("the namespace %s was gone after %s", name, took)
}

func TestGarbageCollectionFollowsOwnersBothWays(t *testing.T) {
	f := setup(t)
	owner, err := f.kube.CoreV1().ConfigMaps(f.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.apply(deployment("web"))
	f.own("web", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID})
	f.ownedConfigMap("owned", "web")
	f.kubectl("delete", "configmap", "-n", f.namespace, "owner")
	f.eventually("the chain to be collected", func(ctx context.Context) error {
		_, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Get(ctx, "web", metav1.GetOptions{})
		_, ownedErr := f.kube.CoreV1().ConfigMaps(f.namespace).Get(ctx, "owned", metav1.GetOptions{})
		if apierrors.IsNotFound(err) && apierrors.IsNotFound(ownedErr) {
			return nil
		}
		return fmt.Errorf("federated object: %v, owned ConfigMap: %v", err, ownedErr)
	})
}

// ownedConfigMap makes a ConfigMap that a FederatedDeployment owns.
func (f *fixture) ownedConfigMap(name, owner string) {
	f.Helper()
	object, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Get(f.Context(), owner, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	_, err = f.kube.CoreV1().ConfigMaps(f.namespace).Create(f.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: name, OwnerReferences: []metav1.OwnerReference{{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Name: owner, UID: object.GetUID()}},
	}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
}

// own makes an owner of a FederatedDeployment.
func (f *fixture) own(name string, owner metav1.OwnerReference) {
	f.Helper()
	patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q}]}}`, owner.APIVersion, owner.Kind, owner.Name, owner.UID)
	if _, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Patch(f.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}

func TestANewKindIsServedThroughTheHostAtOnce(t *testing.T) {
	f := setup(t)
	config := `
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: limitranges, namespace: kube-federation-system}
spec:
  targetType: {version: v1, kind: LimitRange, pluralName: limitranges, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedLimitRange, pluralName: federatedlimitranges, scope: Namespaced}
  propagation: Enabled
`
	testbed.KubectlStdin(t, f.kubeconfig, config, "apply", "-f", "-", requestTimeout)
	t.Cleanup(func() {
		configs := f.dynamic.Resource(schema.GroupVersionResource{Group: "core.kubefed.io", Version: "v1beta1", Resource: "federatedtypeconfigs"})
		_ = configs.Namespace(system).Delete(context.WithoutCancel(t.Context()), "limitranges", metav1.DeleteOptions{})
	})
	t.Logf("the host discovered the kind after %s", f.awaitServed("federatedlimitranges"))
	if got := f.kubectl("get", "federatedlimitranges", "-n", f.namespace, "-o", "name"); got != "" {
		t.Errorf("got %q, want an empty list", got)
	}
	annotation := f.apiService("v1beta2.types.kubefed.io").Annotations["federation.koinon.io/kinds"]
	if annotation == "" {
		t.Error("the APIService has no annotation that makes the host look again")
	}
}

// apiService is the host's registration of a group version.
func (f *fixture) apiService(name string) *apiregistrationv1.APIService {
	f.Helper()
	service, err := f.aggregator.ApiregistrationV1().APIServices().Get(f.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return service
}

func TestRegistrationIsRepaired(t *testing.T) {
	f := setup(t)
	const name = "v1beta1.core.kubefed.io"
	before := f.apiService(name)
	services := f.aggregator.ApiregistrationV1().APIServices()
	repaired := func(ctx context.Context) error {
		now, err := services.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if string(now.Spec.CABundle) != string(before.Spec.CABundle) || now.Spec.GroupPriorityMinimum != before.Spec.GroupPriorityMinimum {
			return fmt.Errorf("it is not as before: %+v", now.Spec)
		}
		for _, condition := range now.Status.Conditions {
			if condition.Type == apiregistrationv1.Available && condition.Status == apiregistrationv1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it is not available: %+v", now.Status)
	}

	if err := services.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("a deleted APIService was back after %s", f.eventually("the deleted APIService", repaired))

	f.kubectl("patch", "apiservice", name, "--type=merge", "-p", `{"metadata":{"labels":{"mine":"yes"}},"spec":{"caBundle":"bm9uc2Vuc2U=","groupPriorityMinimum":7}}`)
	t.Logf("an edited APIService was repaired after %s", f.eventually("the edited APIService", repaired))
	if got := f.apiService(name).Labels["mine"]; got != "yes" {
		t.Errorf("the label of somebody else: got %q, want it kept", got)
	}
}
