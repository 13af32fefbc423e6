package simulation

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
)

// patience is how long anything may take before a test gives up.
const patience = 30 * time.Second

// start returns a member with the namespace shop, and a client of it.
func start(t *testing.T, options Options) (*Member, dynamic.Interface) {
	t.Helper()
	fleet, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	m := fleet.Members()[0]
	put(t, m, map[string]any{"metadata": map[string]any{"name": "shop"}})
	client, err := dynamic.NewForConfig(m.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return m, client
}

// put makes a namespace in the member.
func put(t *testing.T, m *Member, namespace map[string]any) {
	t.Helper()
	if err := m.Put(Namespaces, namespace); err != nil {
		t.Fatal(err)
	}
}

func configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"managed": "true"}},
		"data":     map[string]any{"key": value},
	}}
}

func create(t *testing.T, client dynamic.Interface, name, value string) *unstructured.Unstructured {
	t.Helper()
	created, err := client.Resource(ConfigMaps).Namespace("shop").Create(t.Context(), configMap(name, value), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, patience, true, func(context.Context) (bool, error) { return check(), nil })
	if err != nil {
		t.Fatalf("waited in vain until %s", what)
	}
}
