package static_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// sample is an object of a kind, and what clients write to it.
type sample struct {
	object runtime.Object
	// content changes what a generation counts; nil if there is nothing of the sort.
	content func(runtime.Object)
	// immutable content may not be changed.
	immutable bool
	// status changes the status; nil if the kind has no such subresource. marked tells whether
	// an object has that status.
	status func(runtime.Object)
	marked func(runtime.Object) bool
}

// mark is what any status may say.
const mark = "Running"

// sampleOf makes a sample of a kind's own type. marker is a string in its status.
func sampleOf[T runtime.Object](object T, content func(T), marker func(T) *string) sample {
	s := sample{object: object}
	if content != nil {
		s.content = func(obj runtime.Object) { content(obj.(T)) }
	}
	if marker != nil {
		s.status = func(obj runtime.Object) { *marker(obj.(T)) = mark }
		s.marked = func(obj runtime.Object) bool { return *marker(obj.(T)) == mark }
	}
	return s
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func immutable(s sample) sample {
	s.immutable = true
	return s
}

func defaulted[T any](set func(*T), object *T) *T {
	set(object)
	return object
}

// samples are of every kind that is written.
var samples = map[string]sample{
	"federatedtypeconfigs": sampleOf(defaulted(corev1beta1.SetDefaults_FederatedTypeConfig, &corev1beta1.FederatedTypeConfig{ObjectMeta: named(systemNamespace, "widgets.example.com"),
		Spec: corev1beta1.FederatedTypeConfigSpec{TargetType: corev1beta1.APIResource{Group: "example.com", Version: "v1", Kind: "Widget", Scope: corev1beta1.NamespaceScoped}}}),
		func(c *corev1beta1.FederatedTypeConfig) { c.Spec.Propagation = corev1beta1.Disabled },
		func(c *corev1beta1.FederatedTypeConfig) *string { return (*string)(&c.Status.PropagationController) }),
	"kubefedclusters": sampleOf(newCluster("m2"),
		func(c *corev1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "m3" },
		func(c *corev1beta1.KubeFedCluster) *string { return &c.Status.KubernetesVersion }),
	"kubefedconfigs": sampleOf(defaulted(corev1beta1.SetDefaults_KubeFedConfig, &corev1beta1.KubeFedConfig{ObjectMeta: named(systemNamespace, "kubefed")}),
		func(c *corev1beta1.KubeFedConfig) { c.Spec.ClusterHealthCheck.Period.Duration = time.Minute }, nil),
	"propagatedversions": sampleOf(&corev1alpha1.PropagatedVersion{ObjectMeta: named("shop", "configmap-a")}, nil,
		func(v *corev1alpha1.PropagatedVersion) *string { return &v.Status.TemplateVersion }),
	"clusterpropagatedversions": sampleOf(&corev1alpha1.ClusterPropagatedVersion{ObjectMeta: named("", "clusterrole-a")}, nil,
		func(v *corev1alpha1.ClusterPropagatedVersion) *string { return &v.Status.TemplateVersion }),
	"federatedservicestatuses": sampleOf(&corev1alpha1.FederatedServiceStatus{ObjectMeta: named("shop", "a")},
		func(s *corev1alpha1.FederatedServiceStatus) {
			s.ClusterStatus = append(s.ClusterStatus, corev1alpha1.FederatedServiceClusterStatus{ClusterName: "m1", Status: rawjson.Value(`{}`)})
		}, nil),
	"replicaschedulingpreferences": sampleOf(&schedulingv1alpha1.ReplicaSchedulingPreference{ObjectMeta: named("shop", "a"),
		Spec: schedulingv1alpha1.ReplicaSchedulingPreferenceSpec{TargetKind: "FederatedDeployment", TotalReplicas: 1}},
		func(p *schedulingv1alpha1.ReplicaSchedulingPreference) { p.Spec.TotalReplicas++ }, nil),
	"cells": immutable(sampleOf(newCell("shop", "a"),
		func(c *federationv1alpha1.Cell) { c.Spec.ClusterName = "m2" },
		func(c *federationv1alpha1.Cell) *string { return &c.Status.KubeFedCluster })),
	"membernamespaces": sampleOf(&federationv1alpha1.MemberNamespace{ObjectMeta: named("", "shop")},
		func(n *federationv1alpha1.MemberNamespace) {
			n.Spec.Owners = append(n.Spec.Owners, federationv1alpha1.MemberNamespaceOwner{Kind: federationv1alpha1.OwnerNamespace, Namespace: "shop", Members: []string{"m1"}})
		}, nil),
	"edgeunits": sampleOf(&edgev1alpha1.EdgeUnit{ObjectMeta: named("shop", "u"), Spec: edgev1alpha1.EdgeUnitSpec{ClusterName: "m1"}},
		func(u *edgev1alpha1.EdgeUnit) { u.Spec.NodeSelector = map[string]string{"rack": "3"} },
		func(u *edgev1alpha1.EdgeUnit) *string { return &u.Status.KubeFedCluster }),
}

// TestWritesOfEveryKind writes through the storage that is served, so that it sees a strategy
// that is forgotten, or is another kind's.
func TestWritesOfEveryKind(t *testing.T) {
	for _, group := range newRegistry(t).Groups {
		for _, resources := range group.VersionedResourcesStorageMap {
			for resource, storage := range resources {
				creater, ok := storage.(rest.Creater)
				if !ok {
					continue // a subresource, or a view
				}
				t.Run(resource, func(t *testing.T) {
					s, ok := samples[resource]
					if !ok {
						t.Fatal("this kind has no sample in this test")
					}
					k := &written{T: t, sample: s, object: storage.(rest.Updater), creater: creater}
					k.status, _ = resources[resource+"/status"].(rest.Updater)
					if (k.status != nil) != (s.status != nil) {
						t.Fatalf("it has a status subresource: %v", k.status != nil)
					}
					k.run()
				})
			}
		}
	}
}

// written is one object that is written to.
type written struct {
	*testing.T
	sample
	creater        rest.Creater
	object, status rest.Updater
}

func (w *written) run() {
	first := w.sample.object.DeepCopyObject()
	if w.sample.status != nil {
		w.sample.status(first)
	}
	accessor(w.T, first).SetGeneration(77)
	obj := create(w.T, w.creater, accessor(w.T, first).GetNamespace(), first)
	w.expect("create", obj, 1, false)
	obj = w.update("a label", w.object, obj, label)
	w.expect("a label", obj, 1, false)
	if w.status != nil {
		obj = w.writeStatus(obj)
	}
	if w.content != nil && !w.immutable {
		obj = w.update("the content", w.object, obj, w.content)
		w.expect("the content", obj, 2, w.status != nil)
	}
	if w.status == nil {
		return
	}
	generation := accessor(w.T, obj).GetGeneration()
	fresh := w.sample.object.DeepCopyObject() // without the status
	accessor(w.T, fresh).SetResourceVersion(accessor(w.T, obj).GetResourceVersion())
	if generation > 1 {
		w.content(fresh)
	}
	w.expect("the object without its status", w.update("the object without its status", w.object, fresh, label), generation, true)
}

// writeStatus writes a status with changes of all else, which have to be left out.
func (w *written) writeStatus(want runtime.Object) runtime.Object {
	w.Helper()
	obj := w.update("the status with all else", w.status, want, func(obj runtime.Object) {
		w.sample.status(obj)
		if w.content != nil {
			w.content(obj)
		}
		accessor(w.T, obj).SetLabels(nil)
		accessor(w.T, obj).SetFinalizers([]string{"example.com/f"})
	})
	w.expect("the status with all else", obj, 1, true)
	want = want.DeepCopyObject()
	w.sample.status(want)
	accessor(w.T, want).SetResourceVersion(accessor(w.T, obj).GetResourceVersion())
	if diff := cmp.Diff(want, obj); diff != "" {
		w.Errorf("a write of the status changed more (-want +got):\n%s", diff)
	}
	return obj
}

func label(obj runtime.Object) {
	if m, err := meta.Accessor(obj); err == nil {
		m.SetLabels(map[string]string{"a": "b"})
	}
}

func accessor(t *testing.T, obj runtime.Object) metav1.Object {
	t.Helper()
	m, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// expect compares the generation, and whether there is a status.
func (w *written) expect(after string, obj runtime.Object, generation int64, marked bool) {
	w.Helper()
	if got := accessor(w.T, obj).GetGeneration(); got != generation {
		w.Errorf("after a write of %s: generation %d, want %d", after, got, generation)
	}
	if w.marked != nil && w.marked(obj.DeepCopyObject()) != marked {
		w.Errorf("after a write of %s the object has the status: %v, want %v", after, !marked, marked)
	}
}

// update writes a changed copy, with a generation of the client's.
func (w *written) update(what string, to rest.Updater, obj runtime.Object, change func(runtime.Object)) runtime.Object {
	w.Helper()
	changed := obj.DeepCopyObject()
	change(changed)
	m := accessor(w.T, changed)
	m.SetGeneration(77)
	out, _, err := to.Update(in(w.T, m.GetNamespace()), m.GetName(), rest.DefaultUpdatedObjectInfo(changed),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		w.Fatalf("write %s: %v", what, err)
	}
	return out
}
