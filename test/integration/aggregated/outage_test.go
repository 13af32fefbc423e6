package aggregated_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/koinon-io/koinon/test/testbed"
)

func TestTheHostStaysHealthyWhileTheServerRestarts(t *testing.T) {
	f := setup(t)
	f.apply(deployment("web"))
	unrelated := f.newNamespace("unrelated")
	f.server.Stop(t)
	f.kubectl("create", "configmap", "-n", f.namespace, "while-stopped")
	f.kubectl("delete", "namespace", unrelated, "--wait=false")
	f.server.Start(t)
	f.awaitServed("federateddeployments")
	f.deleteNamespace(unrelated)
	f.kubectl("get", "-n", f.namespace, "fdeploy", "web")

	f.server.Kill9(t)
	f.server.Start(t)
	f.eventually("the object after kill -9", func(context.Context) error {
		return testbed.RunKubectl(t, f.kubeconfig, "", "get", "-n", f.namespace, "fdeploy", "web", requestTimeout).Err
	})
}

// TestALongOutageHoldsUpNamespacesOnly is the section "While no replica runs" of
// docs/operations-aggregated.md.
func TestALongOutageHoldsUpNamespacesOnly(t *testing.T) {
	f := setup(t)
	unrelated := f.newNamespace("held-up")
	f.apply(deployment("owner"))
	f.ownedConfigMap("owned", "owner")
	f.server.Stop(t)
	started := false
	defer func() { // the other tests need it
		if !started {
			f.server.Start(t)
		}
	}()
	f.eventually("the host to notice", func(context.Context) error {
		for _, condition := range f.apiService("v1beta2.types.kubefed.io").Status.Conditions {
			if condition.Type == apiregistrationv1.Available && condition.Status == apiregistrationv1.ConditionFalse {
				return nil
			}
		}
		return errors.New("the APIService is available")
	})

	f.kubectl("create", "configmap", "-n", f.namespace, "during-the-outage")
	f.kubectl("get", "deployments,pods", "-n", f.namespace)
	refused := testbed.RunKubectl(t, f.kubeconfig, "", "get", "fdeploy", "-n", f.namespace, requestTimeout)
	if refused.Err == nil {
		t.Error("got federated objects from a server that does not run")
	}
	t.Logf("kubectl get fdeploy says: %s", refused.Stderr)

	f.kubectl("delete", "namespace", unrelated, "--wait=false")
	f.eventually("the namespace to say what it waits for", func(ctx context.Context) error {
		namespace, err := f.kube.CoreV1().Namespaces().Get(ctx, unrelated, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == corev1.NamespaceDeletionDiscoveryFailure && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("conditions are %+v", namespace.Status.Conditions)
	})

	f.server.Start(t)
	started = true
	f.deleteNamespace(unrelated)
	f.kubectl("get", "-n", f.namespace, "fdeploy/owner", "configmap/owned")
}
