package propagation_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// rival answers whatever happens to a ConfigMap in a member until the test ends.
func (f *fixture) rival(member, name string, answer func(watch.Event)) {
	f.Helper()
	watching, err := f.member(member).Resource(configMaps).Namespace(f.namespace).
		Watch(f.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(watching.Stop)
	go func() { // ends with the watch
		for event := range watching.ResultChan() {
			answer(event)
		}
	}()
}

func TestWhoWritesAgainstUsIsNamedAndAnsweredSeldom(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	var written atomic.Int32
	client := f.member("m1").Resource(configMaps).Namespace(f.namespace)
	f.rival("m1", "cm", func(event watch.Event) {
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok || field(object, "data", "key") != `"ours"` {
			return
		}
		written.Add(1)
		_, _ = client.Patch(f.Context(), "cm", types.MergePatchType, []byte(`{"data":{"key":"theirs"}}`), metav1.PatchOptions{FieldManager: "rival"})
	})
	object := f.states("federatedconfigmaps", "cm", "m1", "Contested", "m2", "")
	message := f.target(object, "m1").Message
	for _, want := range []string{`"rival"`, ".data.key"} {
		if !strings.Contains(message, want) {
			t.Errorf("got message %q, want it to name %s", message, want)
		}
	}
	// The first one, those that are free, and what went out while the status was written.
	if n := written.Load(); n > 8 {
		t.Errorf("the manifest was written %d times", n)
	}
	f.configMap("cm", "theirs", everywhere) // they win
	f.eventually("both agree", func() error {
		if got := f.value("m2", "cm"); got != `"theirs"` {
			return fmt.Errorf("m2 has %s", got)
		}
		return nil
	})
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
}

func TestAnObjectThatAMemberRemovesIsNotCalledThere(t *testing.T) {
	f := start(t)
	f.exists("m1", "unused", nil) // makes the namespace
	client := f.member("m1").Resource(configMaps).Namespace(f.namespace)
	f.rival("m1", "cm", func(event watch.Event) {
		if event.Type == watch.Added {
			_ = client.Delete(f.Context(), "cm", metav1.DeleteOptions{})
		}
	})
	f.configMap("cm", "ours", everywhere)
	object := f.states("federatedconfigmaps", "cm", "m1", "Contested", "m2", "")
	if message := f.target(object, "m1").Message; !strings.Contains(message, "removes it") {
		t.Errorf("got message %q", message)
	}
}

func TestAJobThatHasEndedIsNotRunAgain(t *testing.T) {
	f := start(t)
	job := func(image string) {
		f.placed("FederatedJob", "once", fmt.Sprintf(`{spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: %q}]}}}}`, image))
	}
	job("example.org/app:1")
	f.states("federatedjobs", "once", "m1", "")
	client := f.member("m1").Resource(jobs).Namespace(f.namespace)
	uid := f.object("m1", jobs, f.namespace, "once").GetUID()
	f.finish("once")
	if err := client.Delete(t.Context(), "once", metav1.DeleteOptions{}); err != nil { // as its TTL does
		t.Fatal(err)
	}
	f.states("federatedjobs", "once", "m1", "Ended")
	f.stop()
	f.run() // what has ended is known after a restart, too
	f.configMap("other", "x", everywhere)
	f.states("federatedconfigmaps", "other", "m1", "", "m2", "")
	f.states("federatedjobs", "once", "m1", "Ended")
	f.absent("m1", jobs, f.namespace, "once")

	job("example.org/app:2") // another manifest is another run
	f.states("federatedjobs", "once", "m1", "")
	if again := f.object("m1", jobs, f.namespace, "once"); again.GetUID() == uid {
		t.Error("the Job that has ended is there again")
	}
}

// finish makes a Job complete, as its controller does. That one looks at it, too.
func (f *fixture) finish(name string) {
	f.Helper()
	f.eventually("the Job is complete", func() error {
		job := f.object("m1", jobs, f.namespace, name)
		began := job.GetCreationTimestamp().Time
		if text, found, _ := unstructured.NestedString(job.Object, "status", "startTime"); found {
			if parsed, err := time.Parse(time.RFC3339, text); err == nil {
				began = parsed
			}
		}
		stamp, ended := began.UTC().Format(time.RFC3339), began.Add(time.Second).UTC().Format(time.RFC3339)
		condition := func(kind string) map[string]any {
			return map[string]any{"type": kind, "status": "True", "lastTransitionTime": ended}
		}
		job.Object["status"] = map[string]any{
			"startTime": stamp, "completionTime": ended, "succeeded": int64(1), "uncountedTerminatedPods": map[string]any{},
			"conditions": []any{condition("SuccessCriteriaMet"), condition("Complete")},
		}
		_, err := f.member("m1").Resource(jobs).Namespace(f.namespace).UpdateStatus(f.Context(), job, metav1.UpdateOptions{})
		return err
	})
}

func TestTheFinalizerStaysWhoeverTakesItAway(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	object, err := f.federated("federatedconfigmaps").Get(t.Context(), "cm", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object.Finalizers = nil
	if _, err := f.federated("federatedconfigmaps").Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
	f.absent("m1", configMaps, f.namespace, "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
}

func TestAnObjectOfAnotherFederationIsLeftAlone(t *testing.T) {
	f := start(t)
	f.exists("m1", "cm", map[string]string{v1beta1.ManagedLabel: "true"})
	f.patch("m1", "cm", fmt.Sprintf(`{"metadata":{"annotations":{%q:%q,%q:"theirs"}}}`,
		render.SourceAnnotation, f.namespace+"/cm", federationv1alpha1.FederationAnnotation))
	f.configMap("cm", "ours", everywhere)
	object := f.states("federatedconfigmaps", "cm", "m1", "AlreadyExists", "m2", "")
	if message := f.target(object, "m1").Message; !strings.Contains(message, `another federation, "theirs"`) {
		t.Errorf("got message %q", message)
	}
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
	if got := f.value("m1", "cm"); got != `"theirs"` {
		t.Errorf("got value %s in the other federation's object", got)
	}
}

func TestAForgedRecordDeletesNothingOfOthers(t *testing.T) {
	f := start(t)
	victim := f.namespace + "-victim"
	client := f.member("m1")
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	namespace.SetName(victim)
	if _, err := client.Resource(namespaces).Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	left := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	left.SetName("cm")
	left.SetLabels(map[string]string{v1beta1.ManagedLabel: "true"}) // as KubeFed leaves it
	if _, err := client.Resource(configMaps).Namespace(victim).Create(t.Context(), left, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.configMap("cm", "ours", `  placement: {topologies: [{name: m2}]}`)
	f.states("federatedconfigmaps", "cm", "m2", "")
	f.stop()
	forged, err := f.federated("federatedconfigmaps").Get(t.Context(), "cm", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	forged.Status.Targets = append(forged.Status.Targets, forged.Status.Targets[0])
	forged.Status.Targets[1].Name, forged.Status.Targets[1].Cluster, forged.Status.Targets[1].Namespace = "m1", "m1", victim
	if _, err := f.federated("federatedconfigmaps").UpdateStatus(t.Context(), forged, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.run()
	f.eventually("the record is looked at", func() error {
		object, err := f.federated("federatedconfigmaps").Get(t.Context(), "cm", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, target := range object.Status.Targets {
			if target.Name == "m1" && !strings.Contains(target.Message, "has no place") {
				return fmt.Errorf("got target %s", asJSON(target))
			}
		}
		return nil
	})
	if _, err := client.Resource(configMaps).Namespace(victim).Get(t.Context(), "cm", metav1.GetOptions{}); err != nil {
		t.Errorf("the object in another namespace: %v", err)
	}
}

// A type whose version is not served any more has its objects still.
func TestObjectsOfAVersionThatIsNotServedAreNotForgotten(t *testing.T) {
	f := start(t)
	gadgets := schema.GroupVersionResource{Group: "gone.example.org", Version: "v1", Resource: "gadgets"}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	version := func(name string, served, storage bool) string {
		return fmt.Sprintf(`{"name":%q,"served":%v,"storage":%v,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}`, name, served, storage)
	}
	crd := func(served bool) string {
		return fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gadgets.gone.example.org"},"spec":{"group":"gone.example.org","scope":"Namespaced","names":{"plural":"gadgets","kind":"Gadget"},"versions":[%s,%s]}}`,
			version("v1", served, true), version("v2", false, false))
	}
	apply := func(served bool) {
		f.eventually("the definition is written", func() error {
			_, err := f.member("m1").Resource(crds).Patch(t.Context(), "gadgets.gone.example.org", types.ApplyPatchType, []byte(crd(served)), metav1.PatchOptions{FieldManager: "test"})
			return err
		})
	}
	apply(true)
	f.apply(fmt.Sprintf(`{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: gadgets.gone.example.org, namespace: %s}, spec: {targetType: {group: gone.example.org, version: v1, kind: Gadget, pluralName: gadgets, scope: Namespaced}, federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedGadget, pluralName: federatedgadgets, scope: Namespaced}, propagation: Enabled}}`, system))
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federatedgadgets").List(t.Context(), metav1.ListOptions{})
		return err
	})
	f.placed("FederatedGadget", "w", `{spec: {size: 1}}`)
	f.states("federatedgadgets", "w", "m1", "")
	apply(false)
	f.states("federatedgadgets", "w", "m1", "TypeNotServed")
	f.delete("federatedgadgets", "w")
	f.states("federatedgadgets", "w", "m1", "WaitingForRemoval")
	apply(true)
	f.gone("federatedgadgets", "w")
	if _, err := f.member("m1").Resource(gadgets).Namespace(f.namespace).Get(t.Context(), "w", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want that the object is gone with its federated object", err)
	}
}
