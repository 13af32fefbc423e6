package propagation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/testbed"
)

// native makes a ConfigMap in the host; label and placement may be empty.
func (f *fixture) native(name, label, placement, value string) {
	f.Helper()
	labels, annotations := "app: web", ""
	if label != "" {
		labels += fmt.Sprintf(", %s: %q", v1beta1.FederateLabel, label)
	}
	if placement != "" {
		annotations = fmt.Sprintf("%s: %q", v1beta1.PlacementAnnotation, placement)
	}
	f.apply(fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: %s, labels: {%s}, annotations: {%s}}, data: {a: %s}}`,
		name, f.namespace, labels, annotations, value))
}

func (f *fixture) deleteNative(name string) {
	f.Helper()
	if err := f.kube.CoreV1().ConfigMaps(f.namespace).Delete(f.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
}

// inMember waits until a ConfigMap of the test's namespace in a member has the data.
func (f *fixture) inMember(member, name, data string) {
	f.Helper()
	f.eventually(fmt.Sprintf("%s has %s with %s", member, name, data), func() error {
		object, err := f.member(member).Resource(configMaps).Namespace(f.namespace).Get(f.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := field(object, "data"); got != data {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})
}

// followed waits until a federated ConfigMap is as check wants it.
func (f *fixture) followed(name, what string, check func(*v1beta2.FederatedObject, *following.Mark) bool) {
	f.Helper()
	f.eventually(name+" "+what, func() error {
		got, err := f.federated("federatedconfigmaps").Get(f.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !check(got, following.MarkOf(got.Annotations)) {
			return fmt.Errorf("it has annotations %s and spec %s", asJSON(got.Annotations), asJSON(got.Spec))
		}
		return nil
	})
}

func (f *fixture) patchFederated(name, patch string) {
	f.Helper()
	if _, err := f.federated("federatedconfigmaps").Patch(f.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) goneFederated(name string) {
	f.Helper()
	f.eventually("the federated object "+name+" is gone", func() error {
		_, err := f.federated("federatedconfigmaps").Get(f.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got error %v", err)
	})
}

// notFollowed waits until an Event of a native object says why it is not followed.
func (f *fixture) notFollowed(name, why string) {
	f.Helper()
	f.eventually("an event says why "+name+" is not followed", func() error {
		all, err := f.kube.CoreV1().Events(f.namespace).List(f.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range all.Items {
			if e.Reason == v1beta2.EventNotFollowed && e.InvolvedObject.Kind == "ConfigMap" && e.InvolvedObject.Name == name && strings.Contains(e.Message, why) {
				return nil
			}
		}
		return fmt.Errorf("there are %d events", len(all.Items))
	})
}

const bothMembers = `{"topologies":[{"name":"m1"},{"name":"m2"}]}`

func ends(_ *v1beta2.FederatedObject, mark *following.Mark) bool { return mark != nil && mark.Ended }
func goesOn(_ *v1beta2.FederatedObject, mark *following.Mark) bool {
	return mark != nil && !mark.Ended
}

func TestFollowANativeObject(t *testing.T) {
	f := start(t)

	f.native("web", "true", bothMembers, "one")
	f.inMember("m1", "web", `{"a":"one"}`)
	f.inMember("m2", "web", `{"a":"one"}`)
	if labels := f.object("m1", configMaps, f.namespace, "web").GetLabels(); labels["app"] != "web" || labels[v1beta1.FederateLabel] != "" {
		t.Errorf("the copy has labels %v", labels)
	}

	// What a person says in the federated object stays, and so does where it is placed.
	f.patchFederated("web", `{"spec":{"overrides":[{"topologyName":"m2","topologyOverrides":[{"path":"/data/b","op":"add","value":"m2"}]}]}}`)
	f.native("web", "true", `{"topologies":[]}`, "two")
	f.inMember("m1", "web", `{"a":"two"}`)
	f.inMember("m2", "web", `{"a":"two","b":"m2"}`)
	// What a person says in the template does not.
	f.patchFederated("web", `{"spec":{"template":{"data":{"c":"mine"}}}}`)
	f.followed("web", "has the template of its native object", func(o *v1beta2.FederatedObject, _ *following.Mark) bool {
		return string(o.Spec.Template) == `{"data":{"a":"two"},"metadata":{"labels":{"app":"web"}}}`
	})

	// Nothing is placed by accident, nothing is taken over, and what is wrong is said.
	f.native("nowhere", "true", "", "one")
	f.followed("nowhere", "is placed nowhere", func(o *v1beta2.FederatedObject, _ *following.Mark) bool {
		return asJSON(o.Spec.Placement) == `{"topologies":[]}`
	})
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: mine, namespace: %s}, spec: {template: {data: {a: mine}}}}`, f.namespace))
	f.native("mine", "true", bothMembers, "one")
	f.notFollowed("mine", "it was not made from this object")
	f.native("typo", "yes", bothMembers, "one")
	f.notFollowed("typo", "must be true, keep or false")
	f.native("placed", "true", "m1", "one")
	f.notFollowed("placed", v1beta1.PlacementAnnotation)
	f.followed("mine", "is as it was made", func(o *v1beta2.FederatedObject, mark *following.Mark) bool {
		return mark == nil && string(o.Spec.Template) == `{"data":{"a":"mine"}}`
	})

	// It is handed over on request, and goes where that says.
	testbed.Plugin(t, f.kubeconfig, "federate", "configmap/mine", "-n", f.namespace, "--clusters", "m2", "--follow", "--replace")
	f.inMember("m2", "mine", `{"a":"one"}`)
	f.followed("mine", "follows", goesOn)
	f.native("mine", "true", "", "two")
	f.inMember("m2", "mine", `{"a":"two"}`)

	// Without the label it stays, and follows nothing.
	f.native("web", "false", "", "three")
	f.followed("web", "has ended", ends)
	f.inMember("m1", "web", `{"a":"two"}`)
	f.native("web", "true", "", "four")
	f.inMember("m1", "web", `{"a":"four"}`)

	// With the object it goes, unless the label says keep.
	f.native("kept", "keep", bothMembers, "one")
	f.inMember("m1", "kept", `{"a":"one"}`)
	f.deleteNative("kept")
	f.deleteNative("web")
	f.goneFederated("web")
	f.absent("m1", configMaps, f.namespace, "web")
	f.absent("m2", configMaps, f.namespace, "web")
	f.followed("kept", "has ended", ends)
	f.object("m1", configMaps, f.namespace, "kept")
}

func TestFollowWhatHappenedWhileNobodyWatched(t *testing.T) {
	f := start(t)
	for _, name := range []string{"deleted", "changed", "unlabelled"} {
		f.native(name, "true", `{"topologies":[{"name":"m1"}]}`, "one")
		f.inMember("m1", name, `{"a":"one"}`)
	}
	f.stop()
	f.deleteNative("deleted")
	f.native("changed", "true", "", "two")
	if _, err := f.kube.CoreV1().ConfigMaps(f.namespace).Patch(f.Context(), "unlabelled", types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, v1beta1.FederateLabel), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	// It comes from a backup: nobody here made it, and nobody here has its native object.
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: restored, namespace: %s, annotations: {%s: '{"uid":"another"}'}}, spec: {template: {data: {a: b}}}}`,
		f.namespace, v1beta1.FollowsAnnotation))
	f.run()
	f.inMember("m1", "changed", `{"a":"two"}`)
	f.goneFederated("deleted")
	f.absent("m1", configMaps, f.namespace, "deleted")
	f.followed("unlabelled", "has ended", ends)
	f.followed("restored", "has ended", ends)
	f.object("m1", configMaps, f.namespace, "unlabelled")
	f.followed("changed", "goes on", goesOn)
}

// A host that is its own member has the original and the copy under one name: the original stays what it is.
func TestFollowInAHostThatIsItsOwnMember(t *testing.T) {
	f := start(t)
	self := host.Get(t)
	f.joinSelf(self)
	f.native("web", "true", `{"topologies":[{"name":"m1"},{"name":"self"}]}`, "one")
	f.states("federatedconfigmaps", "web", "m1", "", "self", string(v1beta2.TargetAlreadyExists))
	f.native("web", "true", "", "two")
	f.inMember("m1", "web", `{"a":"two"}`)

	// What Koinon put into the host is a copy, whatever its labels say.
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: copied, namespace: %s}, spec: {template: {data: {a: b}}, placement: {topologies: [{name: self}]}}}`, f.namespace))
	f.states("federatedconfigmaps", "copied", "self", "")
	f.apply(fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: copied, namespace: %s, labels: {%s: "true"}}}`, f.namespace, v1beta1.FederateLabel))
	f.notFollowed("copied", "made by Koinon")

	// Taken out of the host's placement, the original is still there.
	f.patchFederated("web", `{"spec":{"placement":{"topologies":[{"name":"m1"}]}}}`)
	f.states("federatedconfigmaps", "web", "m1", "")
	if _, err := f.kube.CoreV1().ConfigMaps(f.namespace).Get(f.Context(), "web", metav1.GetOptions{}); err != nil {
		t.Errorf("the original: %v", err)
	}
}

// joinSelf joins the host as a member until the test ends.
func (f *fixture) joinSelf(k *testbed.Koinon) {
	f.Helper()
	f.joinAs("self", k.Kubeconfig(), f.config.Host)
	f.Cleanup(func() {
		ctx := context.WithoutCancel(f.Context())
		for _, name := range []string{"web", "copied"} {
			_ = f.federated("federatedconfigmaps").Delete(ctx, name, metav1.DeleteOptions{})
		}
		_ = f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(ctx, "self", metav1.DeleteOptions{})
	})
	f.ready("self")
}

// A type that vanishes takes its objects along, and nothing that follows them.
func TestFollowATypeThatVanishes(t *testing.T) {
	f := start(t)
	const definition = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: trinkets.follow.example.com}, spec: {group: follow.example.com, scope: Namespaced,
		names: {plural: trinkets, singular: trinket, kind: Trinket, listKind: TrinketList}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`
	trinket := fmt.Sprintf(`{apiVersion: follow.example.com/v1, kind: Trinket, metadata: {name: a, namespace: %s, labels: {%s: "true"}}, size: 1}`, f.namespace, v1beta1.FederateLabel)
	f.apply(`{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: trinkets.follow.example.com, namespace: ` + system + `}, spec: {propagation: Enabled,
		targetType: {group: follow.example.com, version: v1, kind: Trinket, pluralName: trinkets, scope: Namespaced},
		federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedTrinket, pluralName: federatedtrinkets, scope: Namespaced}}}`)
	f.apply(definition)
	f.applyOnceServed(trinket)
	check := func(what string, check func(*v1beta2.FederatedObject, *following.Mark) bool) {
		t.Helper()
		f.eventually(what, func() error {
			got, err := f.federated("federatedtrinkets").Get(f.Context(), "a", metav1.GetOptions{})
			if err == nil && !check(got, following.MarkOf(got.Annotations)) {
				err = fmt.Errorf("it has annotations %s and spec %s", asJSON(got.Annotations), asJSON(got.Spec))
			}
			return err
		})
	}
	check("the trinket is followed", goesOn)
	testbed.Kubectl(t, f.kubeconfig, "delete", "customresourcedefinition", "trinkets.follow.example.com")
	f.apply(definition)
	f.applyOnceServed(strings.ReplaceAll(strings.ReplaceAll(trinket, "name: a", "name: b"), "size: 1", "size: 2"))
	f.eventually("the new type is followed", func() error {
		_, err := f.federated("federatedtrinkets").Get(f.Context(), "b", metav1.GetOptions{})
		return err
	})
	check("the federated object stays, and has ended", ends)
}

// applyOnceServed applies an object whose type was just defined.
func (f *fixture) applyOnceServed(manifest string) {
	f.Helper()
	f.eventually("the type is served", func() error {
		return testbed.RunKubectl(f.T, f.kubeconfig, manifest, "apply", "--server-side", "-f", "-").Err
	})
}
