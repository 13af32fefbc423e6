// Package arrives_test checks, in a real kube-apiserver with its controllers, what package compose
// promises: after each write the object is what a create of the manifest in an empty namespace
// gives, but for its status, what the member decides, and the metadata of others.
package arrives_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/test/testbed"
)

var cluster = testbed.SharedCluster(testbed.ClusterOptions{Name: "arrives", Nodes: 1})

func TestMain(m *testing.M) { testbed.Main(m) }

// TestAnObjectIsWhatACreateWouldHaveGiven writes A, lets others write, writes B, lets others write
// again, and writes A.
func TestAnObjectIsWhatACreateWouldHaveGiven(t *testing.T) {
	m := newMember(t)
	for _, k := range kinds {
		t.Run(k.name(), func(t *testing.T) {
			o := m.object(t, k)
			o.create(k.a(t))
			for _, next := range []map[string]any{k.b(t), k.a(t), k.b(t)} {
				o.othersWrite()
				written := o.update(next)
				o.othersAreThere(written)
				o.same(next, written)
				o.same(next, o.update(next))
				if o.changed != "" {
					t.Error("the same manifest changed the object again:", o.changed)
				}
			}
		})
	}
}

// TestWhatACopiedTemplateHasOfAnotherPlaceIsNotSent makes each object from what a running one is.
func TestWhatACopiedTemplateHasOfAnotherPlaceIsNotSent(t *testing.T) {
	m := newMember(t)
	for _, k := range kinds {
		t.Run(k.name(), func(t *testing.T) {
			o := m.object(t, k)
			o.create(k.a(t))
			k.await(t, o)
			running := o.get()
			if !k.cluster() {
				o = m.object(t, k) // in another namespace, the first one being there still
			} else {
				o.remove()
			}
			template := running.Object
			copied := manifest.CopiedFields(template, k.kind().GroupKind())
			manifest.Remove(template, manifest.Drops(template, func(string) bool { return false }))
			if manifest.IsNamespace(k.kind().Kind) {
				manifest.Remove(template, manifest.NamespaceDrops(template))
			}
			manifest.TakeOut(template, copied)
			o.same(k.a(t), o.create(template))
			o.same(k.a(t), o.update(template))
		})
	}
}

// member is a cluster, with namespaces made for the test.
type member struct {
	client dynamic.Interface
	count  int
}

func newMember(t *testing.T) *member {
	config := cluster.Get(t).RESTConfig(t)
	config.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &member{client: client}
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// namespace makes one, and waits until Pods can be made in it if asked to.
func (m *member) namespace(t *testing.T, forPods bool) string {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "arrives-"}}}
	made, err := m.client.Resource(namespaces).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !forPods {
		return made.GetName()
	}
	accounts := m.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(made.GetName())
	eventually(t, func() error { _, err := accounts.Get(t.Context(), "default", metav1.GetOptions{}); return err })
	return made.GetName()
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = try()
		return last == nil, nil
	})
	if err != nil {
		t.Fatal(errors.Join(err, last))
	}
}

// object is one object in a member.
type object struct {
	*testing.T
	member     *member
	kind       kind
	resource   dynamic.ResourceInterface
	base, name string
	// namespace is empty for kinds of the cluster.
	namespace string
	// changed says what the last PUT changed, if it did change anything.
	changed string
}

// object gives a place where there is none yet.
func (m *member) object(t *testing.T, k kind) *object {
	t.Helper()
	m.count++
	o := &object{T: t, member: m, kind: k, base: fmt.Sprintf("o%d", m.count), resource: m.client.Resource(k.resource())}
	if k.cluster() {
		t.Cleanup(o.remove)
		return o.named(o.base)
	}
	o.base = "o"
	o.namespace = m.namespace(t, k.Kind == "Pod")
	o.resource = m.client.Resource(k.resource()).Namespace(o.namespace)
	return o.named(o.base)
}

// named sets what the object is called, and what stands for NAME in manifests of its kind.
func (o *object) named(base string) *object {
	o.base, o.name = base, strings.ReplaceAll(o.kind.Name, "NAME", base)
	if o.name == "" {
		o.name = base
	}
	return o
}

// render is what package render does to every manifest.
func (o *object) render(template map[string]any) map[string]any {
	data, err := json.Marshal(template)
	if err != nil {
		o.Fatal(err)
	}
	var u unstructured.Unstructured
	data = []byte(strings.ReplaceAll(string(data), "NAME", o.base))
	if err := u.UnmarshalJSON(data); err != nil {
		o.Fatal(err)
	}
	u.SetName(o.name)
	u.SetNamespace(o.namespace)
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels["kubefed.io/managed"], annotations[manifest.SourceAnnotation] = "true", "ns/name"
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	return u.Object
}

func (o *object) create(template map[string]any) *unstructured.Unstructured {
	o.Helper()
	body := compose.ForCreate(o.render(template), o.kind.kind())
	made, err := o.resource.Create(o.Context(), &unstructured.Unstructured{Object: body}, metav1.CreateOptions{FieldManager: compose.FieldManager, FieldValidation: "Warn"})
	if err != nil {
		o.Fatalf("create: %v", err)
	}
	return made
}

func (o *object) get() *unstructured.Unstructured {
	o.Helper()
	live, err := o.resource.Get(o.Context(), o.name, metav1.GetOptions{})
	if err != nil {
		o.Fatal(err)
	}
	return live
}

func (o *object) put(template map[string]any, rules compose.Rules) (*unstructured.Unstructured, error) {
	o.Helper()
	var written *unstructured.Unstructured
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) {
		live := o.get()
		body := compose.ForUpdate(o.render(template), live.Object, o.kind.kind(), rules)
		written, err = o.resource.Update(o.Context(), &unstructured.Unstructured{Object: body}, metav1.UpdateOptions{FieldManager: compose.FieldManager, FieldValidation: "Warn"})
		if err == nil {
			o.changed = cmp.Diff(contents(live), contents(written))
		}
		return err
	})
	return written, err
}

// contents is an object without its version. An empty list where API servers store none changes
// hands in managedFields with every write.
func contents(u *unstructured.Unstructured) map[string]any {
	out := u.DeepCopy()
	out.SetManagedFields(nil)
	out.SetResourceVersion("")
	return out.Object
}

func (o *object) update(template map[string]any) *unstructured.Unstructured {
	o.Helper()
	written, err := o.put(template, compose.Rules{})
	if err != nil {
		o.Fatalf("update: %v", err)
	}
	return written
}

// remove takes the object away, whatever guards it.
func (o *object) remove() {
	ctx := context.WithoutCancel(o.Context())
	_ = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_ = o.resource.Delete(ctx, o.name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		_, err := o.resource.Patch(ctx, o.name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

const (
	theirLabel      = "others.example.com/label"
	theirAnnotation = "others.example.com/annotation"
	theirFinalizer  = "others.example.com/guard"
)

// othersWrite applies as kubectl does and edits by hand: in the metadata what is to stay, and what
// a kind says of its spec, which is to go.
func (o *object) othersWrite() {
	o.Helper()
	apply := map[string]any{
		"apiVersion": o.kind.kind().GroupVersion().String(), "kind": o.kind.kind().Kind,
		"metadata": map[string]any{"name": o.name, "labels": map[string]any{theirLabel: "applied"}},
	}
	o.patch(types.ApplyPatchType, apply, "kubectl")
	edit := map[string]any{}
	if o.kind.Drift != "" {
		if err := yaml.Unmarshal([]byte(o.kind.Drift), &edit); err != nil {
			o.Fatal(err)
		}
	}
	metadata, _ := edit["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		edit["metadata"] = metadata
	}
	metadata["annotations"] = map[string]any{theirAnnotation: "edited"}
	finalizers := o.get().GetFinalizers()
	if !slices.Contains(finalizers, theirFinalizer) && !o.kind.NoFinalizer {
		finalizers = append(finalizers, theirFinalizer)
	}
	metadata["finalizers"] = finalizers
	before := o.get()
	after := o.patch(types.MergePatchType, edit, "kubectl-edit")
	if o.kind.Drift != "" && cmp.Equal(plain(before.Object, o.kind), plain(after.Object, o.kind)) {
		o.Fatalf("the edit changes nothing that would have to be repaired: %s", o.kind.Drift)
	}
}

func (o *object) patch(how types.PatchType, patch map[string]any, manager string) *unstructured.Unstructured {
	o.Helper()
	data, err := json.Marshal(patch)
	if err != nil {
		o.Fatal(err)
	}
	options := metav1.PatchOptions{FieldManager: manager}
	if how == types.ApplyPatchType {
		options.Force = new(true)
	}
	patched, err := o.resource.Patch(o.Context(), o.name, how, data, options)
	if err != nil {
		o.Fatalf("%s: %v\n%s", manager, err, data)
	}
	return patched
}

func (o *object) othersAreThere(written *unstructured.Unstructured) {
	o.Helper()
	if got := written.GetLabels()[theirLabel]; got != "applied" {
		o.Errorf("the label of others is %q", got)
	}
	if got := written.GetAnnotations()[theirAnnotation]; got != "edited" {
		o.Errorf("the annotation of others is %q", got)
	}
	if !o.kind.NoFinalizer && !slices.Contains(written.GetFinalizers(), theirFinalizer) {
		o.Errorf("the finalizer of others is gone: %v", written.GetFinalizers())
	}
}

// same compares an object with what a create of the template gives where nothing was.
func (o *object) same(template map[string]any, written *unstructured.Unstructured) {
	o.Helper()
	var created *unstructured.Unstructured
	if o.kind.cluster() {
		fresh := *o
		fresh.named("fresh")
		created = fresh.create(template)
		defer fresh.remove()
	} else {
		fresh := o.member.object(o.T, o.kind)
		created = fresh.create(template)
		defer fresh.remove()
	}
	if diff := cmp.Diff(plain(created.Object, o.kind), plain(written.Object, o.kind)); diff != "" {
		o.Errorf("not what a create gives (-create +written):\n%s", diff)
	}
}

// plain is an object without what may be different: the status, what is allocated or generated,
// what says where and when, and the metadata of others.
func plain(object map[string]any, k kind) map[string]any {
	out := (&unstructured.Unstructured{Object: object}).DeepCopy()
	delete(out.Object, "status")
	labels, annotations := out.GetLabels(), out.GetAnnotations()
	delete(labels, theirLabel)
	delete(labels, "kubernetes.io/metadata.name")
	maps.DeleteFunc(annotations, func(key, _ string) bool {
		return key == theirAnnotation || key == manifest.RecordAnnotation || strings.HasSuffix(key, "deployment.kubernetes.io/revision") ||
			key == "deprecated.daemonset.template.generation" || key == "apf.kubernetes.io/autoupdate-spec"
	})
	finalizers := slices.DeleteFunc(out.GetFinalizers(), func(f string) bool { return f == theirFinalizer })
	out.Object["metadata"] = map[string]any{}
	out.SetLabels(labels)
	out.SetAnnotations(annotations)
	if len(finalizers) > 0 {
		out.SetFinalizers(finalizers)
	}
	if out.Object["aggregationRule"] != nil {
		delete(out.Object, "rules") // a controller writes them
	}
	for _, path := range k.Allocated {
		mark(out.Object, strings.Split(path, "."))
	}
	for _, path := range k.Later {
		unstructured.RemoveNestedField(out.Object, strings.Split(path, ".")...)
	}
	return out.Object
}

// mark replaces values by what says that there is one.
func mark(value any, steps []string) {
	switch v := value.(type) {
	case map[string]any:
		inner, there := v[steps[0]]
		if !there {
			return
		}
		if len(steps) == 1 {
			v[steps[0]] = "allocated"
			return
		}
		mark(inner, steps[1:])
	case []any:
		for _, item := range v {
			mark(item, steps)
		}
	}
}
