package aggregated_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/test/testbed"
)

var (
	typeConfigs      = schema.GroupVersionResource{Group: "core.kubefed.io", Version: "v1beta1", Resource: "federatedtypeconfigs"}
	endpointSlices   = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federatedendpointslices"}
	endpointSliceFTC = `
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: endpointslices.discovery.k8s.io, namespace: kube-federation-system}
spec:
  targetType: {group: discovery.k8s.io, version: v1, kind: EndpointSlice, pluralName: endpointslices, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedEndpointSlice, pluralName: federatedendpointslices, scope: Namespaced}
  propagation: Enabled
`
)

// ownerOf gives a user every right to our kinds in a namespace.
func (f *fixture) ownerOf(namespace, user string) {
	f.Helper()
	testbed.KubectlStdin(f, f.kubeconfig, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: owner}
rules:
- {apiGroups: [types.kubefed.io], resources: ["*"], verbs: ["*"]}
`, "apply", "-n", namespace, "-f", "-", requestTimeout)
	f.kubectl("create", "rolebinding", "owner", "-n", namespace, "--role=owner", "--user="+user)
}

// sees says which objects a user gets in a namespace.
func (f *fixture) sees(user, namespace, resource string) string {
	f.Helper()
	return strings.TrimSpace(f.kubectl("get", resource, "-n", namespace, "-o", "name", "--as="+user))
}

// serveEndpointSlices makes the kind served, and unserve takes it away.
func (f *fixture) serveEndpointSlices() (unserve func()) {
	f.Helper()
	testbed.KubectlStdin(f, f.kubeconfig, endpointSliceFTC, "apply", "-f", "-", requestTimeout)
	f.eventually("the kind to be served", func(ctx context.Context) error {
		_, err := f.dynamic.Resource(endpointSlices).List(ctx, metav1.ListOptions{})
		return errors.Join(err, f.discovered(ctx, "v1beta2", "federatedendpointslices"))
	})
	remove := func(ctx context.Context) {
		_ = f.dynamic.Resource(typeConfigs).Namespace(system).Delete(ctx, "endpointslices.discovery.k8s.io", metav1.DeleteOptions{})
	}
	f.Cleanup(func() { remove(context.WithoutCancel(f.Context())) })
	return func() {
		f.Helper()
		remove(f.Context())
		f.eventually("the kind to be gone", func(ctx context.Context) error {
			_, err := f.dynamic.Resource(endpointSlices).List(ctx, metav1.ListOptions{})
			if err == nil || f.discovered(ctx, "v1beta2", "federatedendpointslices") == nil {
				return errors.New("it is served")
			}
			return nil
		})
	}
}

func TestWhatIsNotServedGoesWithItsNamespaceInTheHost(t *testing.T) {
	f := setup(t)
	left := f.newNamespace("left-behind")
	unserve := f.serveEndpointSlices()
	for name, finalizers := range map[string]string{"plain": "", "held": "example.com/held"} {
		testbed.KubectlStdin(t, f.kubeconfig, fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedEndpointSlice, metadata: {name: %s, finalizers: [%s]},
			spec: {template: {addressType: IPv4, endpoints: []}}}`, name, finalizers), "create", "-n", left, "-f", "-", requestTimeout)
	}
	unserve()
	f.deleteNamespace(left)
	f.kubectl("create", "namespace", left)
	f.ownerOf(left, "olga")
	f.serveEndpointSlices()

	f.eventually("the one without finalizers to be gone", func(ctx context.Context) error {
		_, err := f.dynamic.Resource(endpointSlices).Namespace(left).Get(ctx, "plain", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("get: %w", err)
		}
		return nil
	})
	if got := f.sees("olga", left, "federatedendpointslices"); got != "" {
		t.Errorf("the next namespace's user sees %s", got)
	}
	if got := f.kubectl("get", "federatedendpointslices", "held", "-n", left, "-o", "jsonpath={.metadata.deletionTimestamp}"); got == "" {
		t.Error("an object with a finalizer was not deleted with its namespace")
	}
	f.kubectl("patch", "federatedendpointslices", "held", "-n", left, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
}

// TestObjectsOfANamespaceThatWentUnseenAreTheAdministrators is the section "Objects of a
// namespace that is gone" of docs/operations-aggregated.md.
func TestObjectsOfANamespaceThatWentUnseenAreTheAdministrators(t *testing.T) {
	f := setup(t)
	unseen := f.newNamespace("unseen")
	for _, name := range []string{"handed-over", "deleted"} {
		testbed.KubectlStdin(t, f.kubeconfig, deployment(name), "apply", "-n", unseen, "-f", "-", requestTimeout)
	}
	f.server.Stop(t)
	started := false
	defer func() { // the other tests need it
		if !started {
			f.server.Start(t)
		}
	}()
	f.kubectl("delete", "apiservice", "-l", "app.kubernetes.io/managed-by=koinon")
	f.deleteNamespace(unseen)
	f.kubectl("create", "namespace", unseen)
	f.ownerOf(unseen, "ute")
	f.server.Start(t)
	started = true
	f.awaitServed("federateddeployments")

	if got := f.sees("ute", unseen, "federateddeployments"); got != "" {
		t.Errorf("the next namespace's user sees %s", got)
	}
	const both = "federateddeployment.types.kubefed.io/deleted\nfederateddeployment.types.kubefed.io/handed-over"
	if got := strings.TrimSpace(f.kubectl("get", "federateddeployments", "-n", unseen, "-o", "name")); got != both {
		t.Errorf("the administrator sees %s, want both", got)
	}
	f.eventually("the status to say why nothing changes", func(context.Context) error {
		got := f.kubectl("get", "federateddeployments", "handed-over", "-n", unseen, "-o", "jsonpath={.status.conditions}")
		if !strings.Contains(got, "the object belongs to an earlier namespace") {
			return fmt.Errorf("conditions are %s", got)
		}
		return nil
	})
	f.kubectl("delete", "federateddeployments", "-n", unseen, "deleted")
	f.kubectl("annotate", "federateddeployments", "-n", unseen, "handed-over", "federation.koinon.io/namespace-uid-")
	if got, want := f.sees("ute", unseen, "federateddeployments"), "federateddeployment.types.kubefed.io/handed-over"; got != want {
		t.Errorf("the next namespace's user sees %q, want %s", got, want)
	}
}
