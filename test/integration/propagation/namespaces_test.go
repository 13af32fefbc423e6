package propagation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestFederatedNamespace(t *testing.T) {
	f := start(t)
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.label(f.namespace, "team", "shop")
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {name: %[1]s, namespace: %[1]s}, spec: {template: {metadata: {labels: {team: shop}}}, placement: {topologies: [{name: m1}]}}}`, f.namespace))
	f.states("federatednamespaces", f.namespace, "m1", "")
	f.absent("m2", namespaces, "", f.namespace)
	if got := f.object("m1", namespaces, "", f.namespace).GetLabels()["team"]; got != "shop" {
		t.Errorf("got label %q on the namespace", got)
	}
	f.delete("federatednamespaces", f.namespace)
	f.gone("federatednamespaces", f.namespace)
	f.absent("m1", namespaces, "", f.namespace)

	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {name: other, namespace: %s}, spec: {placement: {topologies: [{name: m1}]}}}`, f.namespace))
	f.eventually("a namespace of another name is refused", func() error {
		object, err := f.federated("federatednamespaces").Get(t.Context(), "other", metav1.GetOptions{})
		if err == nil && (object.Status == nil || object.Status.Conditions[0].Reason != "ComputePlacementFailed") {
			err = fmt.Errorf("got status %s", asJSON(object.Status))
		}
		return err
	})
}

// TestDeletionOfTheHostNamespace runs the controllers in the binary: the namespace
// controller is there too.
func TestDeletionOfTheHostNamespace(t *testing.T) {
	f := connect(t, testbed.StartKoinon(t, testbed.KoinonOptions{}))
	f.prepare()
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.deleteNamespace()
	f.absent("m1", configMaps, f.namespace, "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
}

// TestAKindThatIsBackRemovesWhatWasDeletedWithItsNamespace deletes a namespace while a kind
// is not served: its copies in the members are removed when the kind is back, whoever has the
// name of the namespace by then.
func TestAKindThatIsBackRemovesWhatWasDeletedWithItsNamespace(t *testing.T) {
	f := connect(t, testbed.StartKoinon(t, testbed.KoinonOptions{}))
	f.namespace = "comes-back"
	f.prepare()
	f.orphanNamespace() // else it takes with it what is in the namespaces of members
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	kinds := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system)
	kind, err := kinds.Get(t.Context(), "configmaps", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := kinds.Delete(t.Context(), "configmaps", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.gone("federatedconfigmaps", "cm") // with its kind
	f.deleteNamespace()
	f.apply(fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {federation.koinon.io/tenant: another}}}`, f.namespace))
	if f.object("m1", configMaps, f.namespace, "cm") == nil || f.object("m2", configMaps, f.namespace, "cm") == nil {
		t.Fatal("the members lost it while nobody could know that it is deleted")
	}

	again := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: kind.Name, Namespace: kind.Namespace}, Spec: kind.Spec}
	if _, err := kinds.Create(t.Context(), again, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federatedconfigmaps").List(t.Context(), metav1.ListOptions{})
		return err
	})
	f.gone("federatedconfigmaps", "cm")
	f.absent("m1", configMaps, f.namespace, "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
}

// deleteNamespace deletes the test's namespace and waits until it is gone.
func (f *fixture) deleteNamespace() {
	f.Helper()
	if err := f.kube.CoreV1().Namespaces().Delete(f.Context(), f.namespace, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
	f.eventually("the namespace is gone", func() error {
		namespace, err := f.kube.CoreV1().Namespaces().Get(f.Context(), f.namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got %s, error %v", asJSON(namespace.Status), err)
	})
}

func TestOneOfTwoLeads(t *testing.T) {
	f := start(t)
	f.stop()
	type runner struct {
		cancel context.CancelFunc
		ended  chan error
	}
	lead := func(identity string) runner {
		manager, err := federation.New(federation.Config{
			RESTConfig: f.config, LeaderElection: true, Identity: identity,
			LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 200 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := runner{cancel, make(chan error, 1)}
		go func() { r.ended <- manager.Run(ctx) }() // ends with ctx
		return r
	}
	leads := func(identity string) {
		t.Helper()
		f.eventually(identity+" leads", func() error {
			lease, err := f.kube.CoordinationV1().Leases(system).Get(t.Context(), "koinon-controllers", metav1.GetOptions{})
			if err == nil && (lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != identity) {
				err = fmt.Errorf("got lease %s", asJSON(lease.Spec))
			}
			return err
		})
	}
	first := lead("first")
	leads("first")
	second := lead("second")
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	leads("first")
	first.cancel()
	if err := <-first.ended; err != nil {
		t.Errorf("the first ended: %v", err)
	}
	leads("second")
	f.configMap("cm", "two", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	second.cancel()
	if err := <-second.ended; err != nil {
		t.Errorf("the second ended: %v", err)
	}
}
