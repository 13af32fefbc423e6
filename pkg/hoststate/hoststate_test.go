package hoststate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

const system = "system"

func TestASharedSecretIsTheFirstOnes(t *testing.T) {
	client := fake.NewClientset()
	content := func(text string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(text), nil } }
	for range 2 {
		got, err := SharedSecret(t.Context(), client, system, "key", "k", content("first"))
		if err != nil || string(got) != "first" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	// Somebody is first between the look and the creation.
	client.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		secret := action.(clienttesting.CreateAction).GetObject().(*corev1.Secret).DeepCopy()
		secret.Data["k"] = []byte("theirs")
		_ = client.Tracker().Add(secret)
		return true, nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "secrets"}, secret.Name)
	})
	got, err := SharedSecret(t.Context(), client, system, "raced", "k", content("ours"))
	if err != nil || string(got) != "theirs" {
		t.Errorf("after a race: got %q, %v; want what the winner wrote", got, err)
	}
}

func TestASecretWithoutItsContentIsNotFilled(t *testing.T) {
	client := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key", Namespace: system}})
	content := func() ([]byte, error) { return []byte("new"), nil }
	if got, err := SharedSecret(t.Context(), client, system, "key", "k", content); err == nil {
		t.Errorf("got %q, want an error", got)
	}
}

func TestANamespaceIsMadeOnce(t *testing.T) {
	client := fake.NewClientset()
	for range 2 {
		if err := EnsureNamespace(t.Context(), client, system); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), system, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	made := 0
	for _, action := range client.Actions() {
		if action.Matches("create", "namespaces") {
			made++
		}
	}
	if made != 1 {
		t.Errorf("it was made %d times, want once", made)
	}
}
