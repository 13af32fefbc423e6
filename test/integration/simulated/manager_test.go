// Package simulated_test runs the controllers of pkg/federation against a simulated host and
// simulated members, all in the test process: under the race detector, and without binaries.
package simulated_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/test/simulation"
)

// patience is how long anything may take before a test gives up.
const patience = 90 * time.Second

// fixture is a federation in one process.
type fixture struct {
	*testing.T
	host    *simulation.Member
	client  dynamic.Interface // of the host
	members []*simulation.Member
	config  federation.Config
	stop    func() // ends the controllers
}

// start joins members to a host of their own, and runs the controllers until the test ends.
func start(t *testing.T, members int) *fixture {
	t.Helper()
	hosts := fleet(t, simulation.Options{Types: simulation.HostTypes(widgets), Name: func(int) string { return "host" }})
	f := &fixture{T: t, host: hosts.Members()[0], members: fleet(t, simulation.Options{
		Members: members, Seed: 1, ManagedFields: true, Types: memberTypes(), Admit: admit,
	}).Members()}
	var err error
	if f.client, err = dynamic.NewForConfig(f.host.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	f.config = federation.Config{RESTConfig: f.host.RESTConfig()}
	f.run()
	t.Cleanup(func() { f.stop() })
	f.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "shop"}})
	f.put(simulation.FederatedNamespaces, simulation.FederatedNamespace("shop"))
	f.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": v1beta1.DefaultNamespace}})
	for _, m := range f.members {
		f.put(simulation.Secrets, f.tree(m.Secret()))
		f.put(v1beta1.SchemeGroupVersion.WithResource("kubefedclusters"), f.tree(m.Cluster(map[string]string{"all": "true"})))
	}
	return f
}

// run runs the controllers until stop is called.
func (f *fixture) run() {
	f.Helper()
	manager, err := federation.New(f.config)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	var running sync.WaitGroup
	running.Go(func() { // ends with stop
		if err := manager.Run(ctx); err != nil {
			f.Errorf("the controllers ended: %v", err)
		}
	})
	f.stop = func() {
		cancel()
		running.Wait()
	}
}

func fleet(t *testing.T, options simulation.Options) *simulation.Fleet {
	t.Helper()
	started, err := simulation.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := started.Close(); err != nil {
			t.Error(err)
		}
	})
	return started
}

// tree returns an object as JSON has it.
func (f *fixture) tree(object any) map[string]any {
	f.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		f.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		f.Fatal(err)
	}
	return u.Object
}

// put writes an object into the host.
func (f *fixture) put(gvr schema.GroupVersionResource, object map[string]any) {
	f.Helper()
	if err := f.host.Put(gvr, object); err != nil {
		f.Fatal(err)
	}
}

// federate makes a federated ConfigMap in the host, or changes it, for all members.
func (f *fixture) federate(name, value string) {
	f.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "shop"},
		"spec": map[string]any{
			"topologyType": "cluster",
			"template":     map[string]any{"data": map[string]any{"key": value}},
			"placement":    map[string]any{"topologySelector": map[string]any{"matchLabels": map[string]any{"all": "true"}}},
		},
	}}
	_, err := f.client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Apply(f.Context(), name, object,
		metav1.ApplyOptions{FieldManager: "test", Force: true})
	if err != nil {
		f.Fatal(err)
	}
}

// value is what a member has of a ConfigMap, empty if it has none.
func value(m *simulation.Member, name string) string {
	got, _, _ := unstructured.NestedString(m.Object(simulation.ConfigMaps, "shop", name), "data", "key")
	return got
}

// quickChecks has members that are back be noticed soon, and whole statuses collected.
func (f *fixture) quickChecks() {
	f.Helper()
	gvr := v1beta1.SchemeGroupVersion.WithResource("kubefedconfigs")
	f.eventually("the controllers have made their configuration", func() error {
		found, err := f.host.Change(gvr, v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName, func(config map[string]any) {
			spec := config["spec"].(map[string]any)
			spec["featureGates"] = []any{map[string]any{"name": v1beta1.GateRawResourceStatusCollection, "configuration": string(v1beta1.Enabled)}}
			spec["clusterHealthCheck"] = map[string]any{"period": "1s", "timeout": "10s", "failureThreshold": int64(2)}
		})
		if err == nil && !found {
			err = errors.New("it is not there")
		}
		return err
	})
}

func (f *fixture) eventually(what string, check func() error) {
	f.Helper()
	var last error
	err := wait.PollUntilContextTimeout(f.Context(), 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		f.Fatalf("waited in vain until %s: %v", what, last)
	}
}

// arrives waits until members have a value.
func (f *fixture) arrives(name, want string, members ...*simulation.Member) {
	f.Helper()
	f.eventually(fmt.Sprintf("members have %q", want), func() error {
		for _, m := range members {
			if got := value(m, name); got != want {
				return fmt.Errorf("member %s has %q", m.Name(), got)
			}
		}
		return nil
	})
}

func TestObjectsReachSimulatedMembers(t *testing.T) {
	f := start(t, 3)
	f.federate("settings", "1")
	f.arrives("settings", "1", f.members...)
	f.federate("settings", "2")
	f.arrives("settings", "2", f.members...)

	drifted := f.members[1].Object(simulation.ConfigMaps, "shop", "settings")
	drifted["data"] = map[string]any{"key": "by hand"}
	if err := f.members[1].Put(simulation.ConfigMaps, drifted); err != nil {
		t.Fatal(err)
	}
	f.arrives("settings", "2", f.members...)

	if err := f.client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Delete(t.Context(), "settings", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.arrives("settings", "", f.members...)
	f.eventually("the federated object is gone", func() error {
		if f.host.Object(simulation.FederatedConfigMaps, "shop", "settings") != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}

func TestAMemberThatLosesAnswersGetsItsObjects(t *testing.T) {
	f := start(t, 3)
	ill, well := f.members[0], f.members[1:]
	ill.SetFaults(
		simulation.Fault{Verbs: []string{"create", "update", "patch"}, Rate: 0.5, Code: 500, Late: true},
		simulation.Fault{Verbs: []string{"create", "update", "patch"}, Rate: 0.5, Cut: true},
	)
	for i := range 10 {
		f.federate(fmt.Sprintf("settings-%d", i), "1")
	}
	for i := range 10 {
		f.arrives(fmt.Sprintf("settings-%d", i), "1", well...)
		f.arrives(fmt.Sprintf("settings-%d", i), "1", ill)
	}
}
