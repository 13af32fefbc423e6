package simulation

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func TestWritesAreAnsweredAsByAnAPIServer(t *testing.T) {
	_, client := start(t, Options{})
	shop := client.Resource(ConfigMaps).Namespace("shop")
	ctx := t.Context()
	first := create(t, client, "a", "1")
	stale := first.DeepCopy()

	if _, err := shop.Create(ctx, configMap("a", "1"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second creation: %v, want AlreadyExists", err)
	}
	_, err := client.Resource(ConfigMaps).Namespace("nowhere").Create(ctx, configMap("a", "1"), metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) || err.(apierrors.APIStatus).Status().Details.Kind != "namespaces" {
		t.Errorf("creation without namespace: %v, want namespaces NotFound", err)
	}
	if _, err := shop.Create(ctx, configMap("No_Name", "1"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("creation with a bad name: %v, want Invalid", err)
	}
	same, err := shop.Update(ctx, first, metav1.UpdateOptions{})
	if err != nil || same.GetResourceVersion() != first.GetResourceVersion() {
		t.Errorf("an update that changes nothing: version %s, error %v, want version %s", same.GetResourceVersion(), err, first.GetResourceVersion())
	}
	second, err := shop.Update(ctx, configMap("a", "2"), metav1.UpdateOptions{})
	if err != nil || second.GetResourceVersion() == first.GetResourceVersion() || second.GetUID() != first.GetUID() {
		t.Errorf("an unconditional update: %v, %v", second, err)
	}
	if _, err := shop.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of an old version: %v, want Conflict", err)
	}
	other := configMap("a", "3")
	other.SetUID("other")
	if _, err := shop.Update(ctx, other, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update with another uid: %v, want Conflict", err)
	}
	if _, err := shop.Update(ctx, configMap("b", "1"), metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("an update of nothing: %v, want NotFound", err)
	}
	if dry, err := shop.Create(ctx, configMap("c", "1"), metav1.CreateOptions{DryRun: []string{"All"}}); err != nil || dry.GetUID() == "" {
		t.Errorf("a dry run: %v, %v", dry, err)
	}
	if _, err := shop.Get(ctx, "c", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry run: %v, want NotFound", err)
	}
}

func TestGenerationCountsChangesOfTheSpecOnly(t *testing.T) {
	m, client := start(t, Options{})
	deployments := client.Resource(Deployments).Namespace("shop")
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{"replicas": int64(1)}, "status": map[string]any{"replicas": int64(9)},
	}}
	ctx := t.Context()
	created, err := deployments.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := created.Object["status"]; ok || created.GetGeneration() != 1 {
		t.Errorf("created %v, want no status and generation 1", created)
	}
	steps := []struct {
		name, patch, subresource string
		want                     int64
	}{
		{"a label", `{"metadata":{"labels":{"a":"b"}}}`, "", 1},
		{"the spec", `{"spec":{"replicas":2}}`, "", 2},
		{"the status", `{"status":{"replicas":2}}`, "status", 2},
		{"an annotation, which Deployments count", `{"metadata":{"annotations":{"a":"b"}}}`, "", 3},
		{"the status, past its subresource", `{"status":{"replicas":7}}`, "", 3},
	}
	for _, step := range steps {
		var subresources []string
		if step.subresource != "" {
			subresources = append(subresources, step.subresource)
		}
		patched, err := deployments.Patch(ctx, "web", types.MergePatchType, []byte(step.patch), metav1.PatchOptions{}, subresources...)
		if err != nil || patched.GetGeneration() != step.want {
			t.Errorf("after a change of %s: generation %d, error %v, want %d", step.name, patched.GetGeneration(), err, step.want)
		}
	}
	if replicas, _, _ := unstructured.NestedInt64(m.Object(Deployments, "shop", "web"), "status", "replicas"); replicas != 2 {
		t.Errorf("status.replicas is %d, want 2", replicas)
	}
}

func TestSecretsFoldTheirStringData(t *testing.T) {
	_, client := start(t, Options{})
	created, err := client.Resource(Secrets).Namespace("shop").Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "stringData": map[string]any{"k": "v"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, _, _ := unstructured.NestedString(created.Object, "data", "k")
	if _, ok := created.Object["stringData"]; ok || data != "dg==" {
		t.Errorf("created %v, want data only", created.Object)
	}
}

func TestApplyCreatesAndMerges(t *testing.T) {
	_, client := start(t, Options{})
	shop := client.Resource(ConfigMaps).Namespace("shop")
	for _, value := range []string{"1", "2"} {
		applied, err := shop.Apply(t.Context(), "a", configMap("a", value), metav1.ApplyOptions{FieldManager: "test", Force: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := unstructured.NestedString(applied.Object, "data", "key"); got != value {
			t.Errorf("applied %q, got %q", value, got)
		}
	}
}

func TestFinalizersAndPreconditionsHoldADeletion(t *testing.T) {
	m, client := start(t, Options{})
	shop := client.Resource(ConfigMaps).Namespace("shop")
	ctx := t.Context()
	object := configMap("a", "1")
	object.SetFinalizers([]string{"test/held"})
	created, err := shop.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wrong := types.UID("wrong")
	err = shop.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
	if !apierrors.IsConflict(err) {
		t.Errorf("deletion of another uid: %v, want Conflict", err)
	}
	uid := created.GetUID()
	if err := shop.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); err != nil {
		t.Fatal(err)
	}
	held, err := shop.Get(ctx, "a", metav1.GetOptions{})
	if err != nil || held.GetDeletionTimestamp() == nil {
		t.Fatalf("got %v, %v, want an object that is being deleted", held, err)
	}
	added := held.DeepCopy()
	added.SetFinalizers([]string{"test/held", "test/more"})
	if _, err := shop.Update(ctx, added, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a new finalizer while it is being deleted: %v, want Invalid", err)
	}
	held.SetFinalizers(nil)
	if _, err := shop.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if m.Object(ConfigMaps, "shop", "a") != nil {
		t.Error("the object is there without its finalizer")
	}
	if err := shop.Delete(ctx, "a", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deletion of nothing: %v, want NotFound", err)
	}
}

func TestANamespaceEndsWithTheLastOfWhatItHolds(t *testing.T) {
	m, client := start(t, Options{})
	ctx := t.Context()
	create(t, client, "free", "1")
	object := configMap("held", "1")
	object.SetFinalizers([]string{"test/held"})
	shop := client.Resource(ConfigMaps).Namespace("shop")
	if _, err := shop.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.Resource(Namespaces).Delete(ctx, "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if m.Object(Namespaces, "", "shop") == nil || m.Object(ConfigMaps, "shop", "free") != nil {
		t.Error("want the namespace to wait for what is held, and what is not held to be gone")
	}
	if _, err := shop.Create(ctx, configMap("new", "1"), metav1.CreateOptions{}); !apierrors.HasStatusCause(err, "NamespaceTerminating") {
		t.Errorf("creation in a namespace that ends: %v", err)
	}
	if _, err := shop.Patch(ctx, "held", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if m.Object(Namespaces, "", "shop") != nil {
		t.Error("the namespace is there after the last of what it held")
	}
}

func TestAdmitChangesWhatIsStored(t *testing.T) {
	_, client := start(t, Options{Admit: func(_ Type, _ string, object, _ map[string]any) error {
		return unstructured.SetNestedField(object, "set", "data", "default")
	}})
	if got, _, _ := unstructured.NestedString(create(t, client, "a", "1").Object, "data", "default"); got != "set" {
		t.Errorf("got %q", got)
	}
}

func TestManagedFieldsSayWhoseAFieldIs(t *testing.T) {
	m, client := start(t, Options{ManagedFields: true})
	deployments := client.Resource(Deployments).Namespace("shop")
	manifest := func(containers ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}},
		}}
	}
	container := func(name, image string) any { return map[string]any{"name": name, "image": image} }
	ctx, ours := t.Context(), metav1.ApplyOptions{FieldManager: "ours"}
	first, err := deployments.Apply(ctx, "web", manifest(container("a", "1"), container("b", "1")), ours)
	if err != nil {
		t.Fatal(err)
	}
	if fields := first.GetManagedFields(); len(fields) != 1 || fields[0].Manager != "ours" || fields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("got managedFields %v", fields)
	}
	again, err := deployments.Apply(ctx, "web", manifest(container("a", "1"), container("b", "1")), ours)
	if err != nil || again.GetResourceVersion() != first.GetResourceVersion() {
		t.Errorf("the same again: version %s, error %v, want version %s", again.GetResourceVersion(), err, first.GetResourceVersion())
	}
	if _, err := deployments.Apply(ctx, "web", manifest(container("a", "2")), metav1.ApplyOptions{FieldManager: "theirs"}); !apierrors.IsConflict(err) {
		t.Errorf("another manager: %v, want Conflict", err)
	}
	less, err := deployments.Apply(ctx, "web", manifest(container("a", "1")), ours)
	if err != nil {
		t.Fatal(err)
	}
	if left, _, _ := unstructured.NestedSlice(less.Object, "spec", "template", "spec", "containers"); len(left) != 1 {
		t.Errorf("what was applied before is there: %v", left)
	}
	if err := unstructured.SetNestedField(less.Object, int64(3), "spec", "replicas"); err != nil {
		t.Fatal(err)
	}
	updated, err := deployments.Update(ctx, less, metav1.UpdateOptions{FieldManager: "scaler"})
	if err != nil {
		t.Fatal(err)
	}
	if fields := updated.GetManagedFields(); len(fields) != 2 || fields[1].Manager != "scaler" {
		t.Errorf("got managedFields %v, want those of the scaler, too", fields)
	}
	same, err := deployments.Update(ctx, updated, metav1.UpdateOptions{FieldManager: "somebody"})
	if err != nil || same.GetResourceVersion() != updated.GetResourceVersion() {
		t.Errorf("an update that changes nothing: %v, %v", same, err)
	}
	if m.Object(Deployments, "shop", "web") == nil {
		t.Error("the object is gone")
	}
}
