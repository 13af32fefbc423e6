package federation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/test/simulation"
)

// patience is how long anything may take before a test gives up.
const patience = 90 * time.Second

// federated runs the controllers over a simulated host and one member with that admission, and
// returns both.
func federated(t *testing.T, admit simulation.Admission) (host, member *simulation.Member) {
	t.Helper()
	start := func(options simulation.Options) *simulation.Member {
		fleet, err := simulation.Start(options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := fleet.Close(); err != nil {
				t.Error(err)
			}
		})
		return fleet.Members()[0]
	}
	host = start(simulation.Options{Types: simulation.HostTypes(), Name: func(int) string { return "host" }})
	member = start(simulation.Options{Seed: 1, ManagedFields: true, Admit: admit})
	put(t, host, simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "shop"}})
	put(t, host, simulation.FederatedNamespaces, simulation.FederatedNamespace("shop"))
	put(t, host, simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": v1beta1.DefaultNamespace}})
	put(t, host, simulation.Secrets, member.Secret())
	put(t, host, v1beta1.SchemeGroupVersion.WithResource("kubefedclusters"), member.Cluster(nil))
	manager, err := federation.New(federation.Config{RESTConfig: host.RESTConfig()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { // ends with the test
		if err := manager.Run(ctx); err != nil {
			t.Errorf("the controllers ended: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		namespace := unstructured.Unstructured{Object: member.Object(simulation.Namespaces, "", "shop")}
		return namespace.GetAnnotations()["federation.koinon.io/federated-object"] == "shop/shop", nil
	})
	if err != nil {
		t.Fatalf("waited until the member has the namespace: %v", err)
	}
	return host, member
}

// put writes an object.
func put(t *testing.T, into *simulation.Member, gvr schema.GroupVersionResource, object any) {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	if err := into.Put(gvr, tree); err != nil {
		t.Fatal(err)
	}
}

// federate makes a FederatedConfigMap for the member m1, with labels in its template.
func federate(t *testing.T, host *simulation.Member, name string, labels map[string]any) {
	t.Helper()
	client, err := dynamic.NewForConfig(host.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "shop"},
		"spec": map[string]any{
			"topologyType": "cluster",
			"template":     map[string]any{"metadata": map[string]any{"labels": labels}, "data": map[string]any{"key": "value"}},
			"placement":    map[string]any{"topologies": []any{map[string]any{"name": "m1"}}},
		},
	}}
	if _, err := client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventuallyIs waits until the target m1 of a FederatedConfigMap has that state, and returns it.
func eventuallyIs(t *testing.T, host *simulation.Member, name string, want v1beta2.TargetState) v1beta2.TargetStatus {
	t.Helper()
	var target v1beta2.TargetStatus
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		var object struct{ Status v1beta2.FederatedObjectStatus }
		data, err := json.Marshal(host.Object(simulation.FederatedConfigMaps, "shop", name))
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal(data, &object); err != nil || len(object.Status.Targets) == 0 {
			return false, err
		}
		target = object.Status.Targets[0]
		return target.State == want && target.Version != "", nil
	})
	if err != nil {
		t.Fatalf("got state %q, message %q, want %q: %v", target.State, target.Message, want, err)
	}
	return target
}

// A label that is not there as it was sent is not there at the next look either. It used to be
// sent again twenty times a second, with nothing in the status.
func TestALabelThatAdmissionRewritesIsToldAndSentSeldom(t *testing.T) {
	var lenient atomic.Bool
	host, member := federated(t, func(of simulation.Type, _ string, object, _ map[string]any) error {
		if of.GroupVersionResource != simulation.ConfigMaps || lenient.Load() {
			return nil
		}
		u := unstructured.Unstructured{Object: object}
		if labels := u.GetLabels(); labels["tier"] != "" {
			labels["tier"] = "of the member"
			u.SetLabels(labels)
		}
		return nil
	})
	federate(t, host, "settings", map[string]any{"tier": "gold", "app": "web"})
	target := eventuallyIs(t, host, "settings", v1beta2.TargetContested)
	if want := "the member changes what it is sent, each time: .metadata.labels.tier; "; !strings.HasPrefix(target.Message, want) {
		t.Errorf("got message %q, want one that begins with %q", target.Message, want)
	}
	// The first one, those that are free, and what went out while the status was written.
	if n := member.Counts().Requests["update"]; n > 8 {
		t.Errorf("the manifest was sent %d times", n)
	}
	lenient.Store(true) // the next time it is sent it is taken, and nothing more is said
	eventuallyIs(t, host, "settings", v1beta2.TargetOK)
}

// What admission makes of the rest is what a create would have given.
func TestWhatAdmissionMakesOfTheDataIsUpToDate(t *testing.T) {
	host, member := federated(t, func(of simulation.Type, _ string, object, _ map[string]any) error {
		if of.GroupVersionResource != simulation.ConfigMaps {
			return nil
		}
		u := unstructured.Unstructured{Object: object}
		labels := u.GetLabels()
		labels["injected"] = "yes"
		u.SetLabels(labels)
		return unstructured.SetNestedField(object, "of the member", "data", "key")
	})
	before := member.Counts().Requests["update"] // of the namespace
	federate(t, host, "settings", map[string]any{"tier": "gold"})
	eventuallyIs(t, host, "settings", v1beta2.TargetOK)
	if got := fmt.Sprint(member.Object(simulation.ConfigMaps, "shop", "settings")["data"]); got != "map[key:of the member]" {
		t.Errorf("got data %s", got)
	}
	if n := member.Counts().Requests["update"] - before; n > 0 {
		t.Errorf("the manifest was sent %d times after it was created", n)
	}
}
