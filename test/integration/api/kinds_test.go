package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// answers polls until a list of the resource works, or is not found.
func (f *fixture) answers(resource schema.GroupVersionResource, want bool) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%s answers: %v", resource, want), func(ctx context.Context) error {
		_, err := f.dynamic.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		if got := err == nil; got != want {
			return fmt.Errorf("the answer to a list is %w", err)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
}

// delete removes an object while its kind is served: nobody removes it afterwards.
func (f *fixture) delete(resource schema.GroupVersionResource, namespace, name string) {
	f.t.Helper()
	if err := f.dynamic.Resource(resource).Namespace(namespace).Delete(f.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.t.Fatal(err)
	}
	f.gone(resource, namespace, name)
}

func (f *fixture) deleteTypeConfig(name string) {
	f.t.Helper()
	if err := f.dynamic.Resource(typeConfigs).Namespace(systemNamespace).Delete(f.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.t.Fatal(err)
	}
	f.eventually("FederatedTypeConfig "+name+" is gone", func(ctx context.Context) error {
		_, err := f.dynamic.Resource(typeConfigs).Namespace(systemNamespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get: %w", err)
	})
}

func TestATypeConfigMakesItsKindServedInBothVersions(t *testing.T) {
	f := newFixture(t)
	f.create(typeConfigs, systemNamespace, typeConfig("statefulsets.apps", "apps", "v1", "StatefulSet", "statefulsets", "FederatedStatefulSet", "federatedstatefulsets"))
	for _, version := range []schema.GroupVersion{typesV1beta1, typesV1beta2} {
		f.answers(version.WithResource("federatedstatefulsets"), true)
	}
	condition := f.served("statefulsets.apps", metav1.ConditionTrue)
	if got := condition["reason"]; got != "Served" {
		t.Errorf("reason: got %v, want Served", got)
	}
	if got := f.kubectl("explain", "fsts.spec.template.spec.volumeClaimTemplates"); !strings.Contains(got, "claims that pods are allowed to reference") {
		t.Errorf("explain: got %s", got)
	}
}

func TestObjectsOutliveTheirKind(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("outlive")
	daemonSets := typesV1beta2.WithResource("federateddaemonsets")
	config := typeConfig("daemonsets.apps", "apps", "v1", "DaemonSet", "daemonsets", "FederatedDaemonSet", "federateddaemonsets")
	f.create(typeConfigs, systemNamespace, config)
	f.answers(daemonSets, true)
	created, err := f.dynamic.Resource(daemonSets).Namespace(namespace).Create(t.Context(), f.parse(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedDaemonSet, metadata: {name: logs}, spec: {template: {spec: {minReadySeconds: 7}}}}`), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watched, err := f.dynamic.Resource(daemonSets).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	f.deleteTypeConfig("daemonsets.apps")
	f.answers(daemonSets, false)
	for range watched.ResultChan() { // ends because the kind is gone
	}
	if got := f.kubectl("api-resources", "--api-group=types.kubefed.io"); strings.Contains(got, "federateddaemonsets") {
		t.Errorf("api-resources still has the kind:\n%s", got)
	}
	f.create(typeConfigs, systemNamespace, config)
	f.answers(daemonSets, true)
	back := f.get(daemonSets, namespace, "logs")
	if diff := cmp.Diff(created.Object["spec"], back.Object["spec"]); diff != "" || back.GetUID() != created.GetUID() {
		t.Errorf("the object that came back (-before +after), uid %s, was %s:\n%s", back.GetUID(), created.GetUID(), diff)
	}
	f.delete(daemonSets, namespace, "logs")
}

func TestTheSecondConfigOfAKindIsNotServedAndSaysWhy(t *testing.T) {
	f := newFixture(t)
	f.create(typeConfigs, systemNamespace, typeConfig("gadgets.example.com", "example.com", "v1", "Gadget", "gadgets", "FederatedDeployment", "federateddeployments"))
	condition := f.served("gadgets.example.com", metav1.ConditionFalse)
	want := map[string]any{"reason": "NameConflict", "message": "FederatedDeployment is served by FederatedTypeConfig deployments.apps already."}
	if diff := cmp.Diff(want, map[string]any{"reason": condition["reason"], "message": condition["message"]}); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
	f.answers(deployments, true)
}

func TestAConfigOutsideOfTheSystemNamespaceServesNothing(t *testing.T) {
	f := newFixture(t)
	const namespace = "somebodys"
	f.namespace(namespace)
	manifest := strings.ReplaceAll(typeConfig("limitranges", "", "v1", "LimitRange", "limitranges", "FederatedLimitRange", "federatedlimitranges"),
		"namespace: "+systemNamespace, "namespace: "+namespace)
	f.create(typeConfigs, namespace, manifest)
	config, err := f.dynamic.Resource(typeConfigs).Namespace(namespace).Get(t.Context(), "limitranges", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	conditions, _, _ := unstructured.NestedSlice(config.Object, "status", "conditions")
	if len(conditions) != 1 || conditions[0].(map[string]any)["reason"] != "ForeignNamespace" {
		t.Errorf("conditions: got %v, want Served with the reason ForeignNamespace", conditions)
	}
	// One that counts is looked at after it, so that the first had its time.
	f.create(typeConfigs, systemNamespace, typeConfig("podtemplates", "", "v1", "PodTemplate", "podtemplates", "FederatedPodTemplate", "federatedpodtemplates"))
	f.served("podtemplates", metav1.ConditionTrue)
	f.answers(typesV1beta1.WithResource("federatedlimitranges"), false)
}

// A kind that waits for a name gets it once the name is free.
func TestTheSecondConfigOfAKindTakesOver(t *testing.T) {
	f := newFixture(t)
	// Both may be created in the same second: the first by name has it then.
	f.create(typeConfigs, systemNamespace, typeConfig("events", "", "v1", "Event", "events", "FederatedThing", "federatedthings"))
	f.served("events", metav1.ConditionTrue)
	f.create(typeConfigs, systemNamespace, typeConfig("leases.coordination.k8s.io", "coordination.k8s.io", "v1", "Lease", "leases", "FederatedThing", "federatedthings"))
	f.served("leases.coordination.k8s.io", metav1.ConditionFalse)
	f.deleteTypeConfig("events")
	f.served("leases.coordination.k8s.io", metav1.ConditionTrue)
	f.answers(typesV1beta1.WithResource("federatedthings"), true)
}

const widgetCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        description: A thing with knobs.
        properties:
          spec:
            type: object
            properties:
              replicas: {type: integer, description: How many of them.}
              knobs:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string, description: What the knob is called.}
                    angle: {type: integer}
`

func TestACustomResourceOfTheHostIsFederatedWithItsSchema(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("widgets")
	f.create(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "", widgetCRD)
	f.create(typeConfigs, systemNamespace, typeConfig("widgets.example.com", "example.com", "v1", "Widget", "widgets", "FederatedWidget", "federatedwidgets"))
	widgets := typesV1beta2.WithResource("federatedwidgets")
	f.answers(widgets, true)
	f.answers(typesV1beta1.WithResource("federatedwidgets"), true)

	widget := func(spec string) *unstructured.Unstructured {
		return f.parse(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedWidget, metadata: {name: w}, spec: {template: {spec: ` + spec + `}}}`)
	}
	create := func(ctx context.Context, spec string) error {
		_, err := f.dynamic.Resource(widgets).Namespace(namespace).Create(ctx, widget(spec),
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
		return err
	}
	want := `FederatedWidget.types.kubefed.io "w" is invalid: spec.template.spec.replica: Invalid value: 3: example.com/v1 Widget has no such field; did you mean "replicas"?`
	f.eventually("the schema is known", func(ctx context.Context) error {
		if err := create(ctx, `{replica: 3}`); err == nil || err.Error() != want {
			return fmt.Errorf("got %v, want %s", err, want)
		}
		return nil
	})
	if err := create(t.Context(), `{replicas: 3, knobs: [{name: left, angle: 90}]}`); err != nil {
		t.Errorf("a template that is right: %v", err)
	}
	f.eventually("explain knows the schema", func(context.Context) error {
		if got := f.kubectl("explain", "federatedwidgets.spec.template.spec.knobs.name"); !strings.Contains(got, "What the knob is called.") {
			return fmt.Errorf("it says: %s", got)
		}
		return nil
	})
	f.applyKnobs(widgets, namespace)
	f.kubectl("scale", "federatedwidgets/w", "-n", namespace, "--replicas=5")
	if got, _, _ := unstructured.NestedInt64(f.get(widgets, namespace, "w").Object, "spec", "template", "spec", "replicas"); got != 5 {
		t.Errorf("replicas after kubectl scale: got %d, want 5", got)
	}
	f.delete(widgets, namespace, "w")
}

// applyKnobs has two managers apply one knob each: a map by the schema of the CRD.
func (f *fixture) applyKnobs(widgets schema.GroupVersionResource, namespace string) {
	f.t.Helper()
	for _, knob := range []string{"left", "right"} {
		o := f.parse(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedWidget, metadata: {name: w}, spec: {template: {spec: {replicas: 1, knobs: [{name: ` + knob + `}]}}}}`)
		if _, err := f.dynamic.Resource(widgets).Namespace(namespace).Apply(f.t.Context(), "w", o, metav1.ApplyOptions{FieldManager: knob}); err != nil {
			f.t.Fatal(err)
		}
	}
	knobs, _, _ := unstructured.NestedSlice(f.get(widgets, namespace, "w").Object, "spec", "template", "spec", "knobs")
	want := []any{map[string]any{"name": "left"}, map[string]any{"name": "right"}}
	if diff := cmp.Diff(want, knobs); diff != "" {
		f.t.Errorf("knobs after two managers applied one each (-want +got):\n%s", diff)
	}
}
