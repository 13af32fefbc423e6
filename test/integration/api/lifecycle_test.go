package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// gone waits until an object is not found.
func (f *fixture) gone(resource schema.GroupVersionResource, namespace, name string) {
	f.t.Helper()
	f.eventually(resource.Resource+" "+name+" is gone", func(ctx context.Context) error {
		o, err := f.dynamic.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got %v: %w", o, err)
	})
}

func TestDeletingANamespaceRemovesItsFederatedObjects(t *testing.T) {
	f := newFixture(t)
	cells := schema.GroupVersionResource{Group: "federation.koinon.io", Version: "v1alpha1", Resource: "cells"}
	f.namespace("doomed")
	f.create(deployments, "doomed", deployment("doomed", "web", "topologyType: cell", "placement: {topologies: [{name: rz00a}]}"))
	f.create(configMaps, "doomed", configMap("doomed", "settings"))
	f.create(cells, "doomed", `{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: rz00a}, spec: {clusterName: nowhere}}`)
	if err := f.dynamic.Resource(namespaces).Delete(t.Context(), "doomed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.gone(namespaces, "", "doomed")
	f.gone(deployments, "doomed", "web")
	f.gone(configMaps, "doomed", "settings")
	f.gone(cells, "doomed", "rz00a")
}

func TestNothingIsCreatedInANamespaceThatIsNotThere(t *testing.T) {
	f := newFixture(t)
	said, err := f.apply(configMap("absent", "settings"), "create")
	if want := `namespaces "absent" not found`; err == nil || !strings.Contains(said, want) {
		t.Errorf("got %q, want %s", said, want)
	}
}

func TestOwnersAreCollectedAcrossKinds(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("owners")
	owner := f.create(configMaps, namespace, configMap(namespace, "owner"))
	plain := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	// The stock controller names its owners in v1beta1.
	for _, version := range []string{"v1beta1", "v1beta2"} {
		f.create(plain, namespace, fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: owned-%s, ownerReferences: [{apiVersion: types.kubefed.io/%s, kind: FederatedConfigMap, name: owner, uid: %s}]}}`,
			version, version, owner.GetUID()))
	}
	root := f.create(plain, namespace, `{apiVersion: v1, kind: ConfigMap, metadata: {name: root}}`)
	owned := f.parse(configMap(namespace, "owned"))
	owned.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "root", UID: root.GetUID()}})
	if _, err := f.dynamic.Resource(configMaps).Namespace(namespace).Create(t.Context(), owned, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := f.dynamic.Resource(configMaps).Namespace(namespace).Delete(t.Context(), "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := f.kube.CoreV1().ConfigMaps(namespace).Delete(t.Context(), "root", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.gone(plain, namespace, "owned-v1beta1")
	f.gone(plain, namespace, "owned-v1beta2")
	f.gone(configMaps, namespace, "owned")
}

func TestForegroundDeletionWaitsForWhatIsOwned(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("foreground")
	owner := f.create(configMaps, namespace, configMap(namespace, "owner"))
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"test.koinon.io/hold"}, OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "types.kubefed.io/v1beta2", Kind: "FederatedConfigMap", Name: "owner", UID: owner.GetUID(), BlockOwnerDeletion: new(true)}}}}
	if _, err := f.kube.CoreV1().ConfigMaps(namespace).Create(t.Context(), held, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	foreground := metav1.DeletePropagationForeground
	if err := f.dynamic.Resource(configMaps).Namespace(namespace).Delete(t.Context(), "owner", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	f.eventually("what is owned is being deleted", func(ctx context.Context) error {
		o, err := f.kube.CoreV1().ConfigMaps(namespace).Get(ctx, "held", metav1.GetOptions{})
		if err == nil && o.DeletionTimestamp == nil {
			err = fmt.Errorf("%s has no deletionTimestamp", o.Name)
		}
		return err
	})
	if o := f.get(configMaps, namespace, "owner"); o.GetDeletionTimestamp() == nil {
		t.Error("the owner is not being deleted")
	}
	if _, err := f.kube.CoreV1().ConfigMaps(namespace).Patch(t.Context(), "held", mergePatch, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	f.gone(configMaps, namespace, "owner")
}

func TestDeleteCollection(t *testing.T) {
	f := newFixture(t)
	f.settings("collection", 3)
	f.kubectl("label", "fcm", "settings-1", "-n", "collection", "made-by=else", "--overwrite")
	f.kubectl("delete", "fcm", "-n", "collection", "-l", "made-by=test", "--timeout=60s")
	if err := f.dynamic.Resource(configMaps).Namespace("collection").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=settings-0"}); err != nil {
		t.Fatal(err)
	}
	if got := names(f.list("collection", metav1.ListOptions{}).Items); len(got) != 1 || got[0] != "settings-1" {
		t.Errorf("what is left: got %v, want settings-1", got)
	}
	if err := f.dynamic.Resource(configMaps).Namespace("collection").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	f.gone(configMaps, "collection", "settings-1")
}
