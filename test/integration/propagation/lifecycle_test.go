package propagation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

// serves defines Gizmos in a member, in versions that know other fields of the spec.
func (f *fixture) serves(member string, versions map[string]string) {
	f.Helper()
	var list []string
	for name, fields := range versions {
		list = append(list, fmt.Sprintf("{name: %s, served: true, storage: %v, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {%s}}}}}}", name, len(list) == 0, fields))
	}
	testbed.KubectlStdin(f.T, members[member].Get(f.T).Kubeconfig(), `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gizmos.versions.example.org}
spec: {group: versions.example.org, scope: Namespaced, names: {plural: gizmos, kind: Gizmo}, versions: [`+strings.Join(list, ", ")+`]}
`, "apply", "-f", "-")
}

func TestATypeThatAMemberServesInAnotherVersionIsWrittenInThat(t *testing.T) {
	f := start(t)
	gizmos := schema.GroupVersionResource{Group: "versions.example.org", Version: "v2", Resource: "gizmos"}
	f.serves("m1", map[string]string{"v1": "size: {type: integer}, old: {type: string}"})
	f.serves("m2", map[string]string{"v2": "size: {type: integer}"})
	f.apply(`{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: gizmos.versions.example.org, namespace: ` + system + `}, spec: {targetType: {group: versions.example.org, version: v1, kind: Gizmo, pluralName: gizmos, scope: Namespaced}, federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedGizmo, pluralName: federatedgizmos, scope: Namespaced}, propagation: Enabled}}`)
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federatedgizmos").List(t.Context(), metav1.ListOptions{})
		return err
	})
	apply := func(spec string) {
		f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedGizmo, metadata: {name: g, namespace: %s}, spec: {template: {spec: %s}, placement: {topologies: [{name: m1}, {name: m2}]}}}`, f.namespace, spec))
	}
	says := func(want string) {
		t.Helper()
		f.eventually("the target says in which version it was written", func() error {
			object, err := f.federated("federatedgizmos").Get(t.Context(), "g", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got := f.target(object, "m2").Message; got != want {
				return fmt.Errorf("got message %q, want %q", got, want)
			}
			return nil
		})
	}
	apply("{size: 1}")
	f.states("federatedgizmos", "g", "m1", "", "m2", "")
	says("written as versions.example.org/v2, since the member does not serve versions.example.org/v1")
	if got := field(f.object("m2", gizmos, f.namespace, "g"), "spec"); got != `{"size":1}` {
		t.Errorf("got spec %s", got)
	}
	apply("{size: 2, old: way}")
	f.states("federatedgizmos", "g", "m1", "", "m2", "TypeNotServed")
	says("the member does not serve gizmos in versions.example.org/v1, which the manifest is for, and versions.example.org/v2, which it serves, does not know spec.old")
	if got := field(f.object("m2", gizmos, f.namespace, "g"), "spec"); got != `{"size":1}` {
		t.Errorf("got spec %s, of which a part was dropped", got)
	}
	apply("{size: 3}")
	f.states("federatedgizmos", "g", "m1", "", "m2", "")
	if _, err := f.member("m2").Resource(gizmos).Namespace(f.namespace).Patch(t.Context(), "g", types.MergePatchType, []byte(`{"spec":{"size":4}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("a change in the member is repaired", func() error {
		if got := field(f.object("m2", gizmos, f.namespace, "g"), "spec", "size"); got != "3" {
			return fmt.Errorf("got size %s", got)
		}
		return nil
	})
	// Whose fields are is looked at in that version too.
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedGizmo, metadata: {name: g, namespace: %s, annotations: {federation.koinon.io/conflicts: Abort}}, spec: {template: {spec: {size: 3}}, placement: {topologies: [{name: m1}, {name: m2}]}}}`, f.namespace))
	if _, err := f.member("m2").Resource(gizmos).Namespace(f.namespace).Patch(t.Context(), "g", types.MergePatchType, []byte(`{"spec":{"size":4}}`), metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	f.states("federatedgizmos", "g", "m1", "", "m2", "Conflict")
	says(`field .spec.size is owned by "somebody"; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own`)
	f.delete("federatedgizmos", "g")
	f.gone("federatedgizmos", "g")
	f.absent("m2", gizmos, f.namespace, "g")
}

func TestADeletionOfADisabledTypeFinishesAndWhoDeletesATypeIsTold(t *testing.T) {
	f := start(t)
	types := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system)
	name := "limitranges"
	typeOf := `{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: ` + name + `, namespace: ` + system + `}, spec: {targetType: {version: v1, kind: LimitRange, pluralName: limitranges, scope: Namespaced}, propagation: %s}}`
	f.apply(fmt.Sprintf(typeOf, "Enabled"))
	t.Cleanup(func() { _ = types.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}) })
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federatedlimitranges").List(t.Context(), metav1.ListOptions{})
		return err
	})
	for _, name := range []string{"one", "two"} {
		f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedLimitRange, metadata: {name: %s, namespace: %s}, spec: {template: {spec: {limits: [{type: Container, default: {cpu: 100m}}]}}, placement: {topologies: [{name: m1}]}}}`, name, f.namespace))
		f.states("federatedlimitranges", name, "m1", "")
	}
	f.apply(fmt.Sprintf(typeOf, "Disabled"))
	f.eventually("the type is disabled", func() error {
		config, err := types.Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && config.Status.PropagationController != v1beta1.ControllerNotRunning {
			err = fmt.Errorf("got status %s", asJSON(config.Status))
		}
		return err
	})
	f.delete("federatedlimitranges", "one")
	f.gone("federatedlimitranges", "one")

	deleted := testbed.RunKubectl(t, f.kubeconfig, "", "delete", "federatedtypeconfig", name, "-n", system)
	if want := "federatedlimitranges: 1 object stays in the store and in members"; deleted.Err != nil || !strings.Contains(deleted.Stderr, want) {
		t.Errorf("kubectl says %q (error %v), want %q", deleted.Stderr, deleted.Err, want)
	}
	f.apply(fmt.Sprintf(typeOf, "Enabled"))
	f.eventually("the kind is served again", func() error {
		_, err := f.federated("federatedlimitranges").List(t.Context(), metav1.ListOptions{})
		return err
	})
	f.delete("federatedlimitranges", "two")
	f.gone("federatedlimitranges", "two")
}

func TestHowObjectsInMembersBeginAndEndIsSaidInAnnotations(t *testing.T) {
	f := start(t)
	f.exists("m1", "cm", nil)
	annotated := func(annotations string) string {
		return fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: cm, namespace: %s, annotations: {%s}}, spec: {template: {data: {key: ours}}, placement: {topologies: [{name: m1}, {name: m2}]}}}`, f.namespace, annotations)
	}
	for annotations, want := range map[string]string{
		v1beta1.AdoptAnnotation + `: "no"`:         `metadata.annotations[federation.koinon.io/adopt]: Unsupported value: "no": supported values: "true", "false"`,
		v1beta1.OrphanPolicyAnnotation + `: "All"`: `metadata.annotations[federation.koinon.io/orphan]: Unsupported value: "All": supported values: "Adopted"`,
		v1beta1.AbandonAnnotation + `: "m1,"`:      `metadata.annotations[federation.koinon.io/abandon]: Invalid value: "m1,": must be names of targets, separated by commas, as status.targets has them, or * for all; "" is none`,
	} {
		if said := f.said(annotated(annotations)); !strings.Contains(said, want) {
			t.Errorf("kubectl says %s, want %s", said, want)
		}
	}
	f.apply(annotated(v1beta1.AdoptAnnotation + `: "false"`))
	f.states("federatedconfigmaps", "cm", "m1", "AlreadyExists", "m2", "")
	f.apply(annotated(v1beta1.OrphanPolicyAnnotation + ": Adopted"))
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	if got := f.object("m1", configMaps, f.namespace, "cm").GetAnnotations()[v1beta1.AdoptedAnnotation]; got != "true" {
		t.Errorf("the adopted object is marked %q", got)
	}
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
	left := f.object("m1", configMaps, f.namespace, "cm")
	if len(left.GetLabels()) > 0 || len(left.GetAnnotations()) > 0 || f.value("m1", "cm") != `"ours"` {
		t.Errorf("what was adopted is left as %s", asJSON(left))
	}
}
