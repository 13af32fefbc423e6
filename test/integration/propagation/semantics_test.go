package propagation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// configMap applies a FederatedConfigMap of topology cluster. spec is added to its spec,
// as lines of YAML.
func (f *fixture) configMap(name, value string, spec ...string) {
	f.Helper()
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: %s, namespace: %s}
spec:
  template: {data: {key: %q}}
%s`, name, f.namespace, value, strings.Join(spec, "\n")))
}

const everywhere = `  placement: {topologies: [{name: m1}, {name: m2}]}`

func (f *fixture) value(member, name string) string {
	f.Helper()
	return field(f.object(member, configMaps, f.namespace, name), "data", "key")
}

func (f *fixture) patch(member, name, patch string) {
	f.Helper()
	_, err := f.member(member).Resource(configMaps).Namespace(f.namespace).
		Patch(f.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		f.Fatal(err)
	}
}

// exists makes a ConfigMap in a member that nobody manages.
func (f *fixture) exists(member, name string, labels map[string]string) {
	f.Helper()
	client := f.member(member)
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	namespace.SetName(f.namespace)
	_, _ = client.Resource(namespaces).Create(f.Context(), namespace, metav1.CreateOptions{})
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"key": "theirs", "other": "theirs"},
	}}
	object.SetName(name)
	object.SetLabels(labels)
	if _, err := client.Resource(configMaps).Namespace(f.namespace).Create(f.Context(), object, metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.patch("m1", "cm", `{"data":{"key":"changed","added":"by the member"},"metadata":{"labels":{"their":"label"},"annotations":{"their":"annotation"}}}`)
	f.eventually("the value is repaired", func() error {
		if got := f.value("m1", "cm"); got != `"ours"` {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	object := f.object("m1", configMaps, f.namespace, "cm")
	if field(object, "data", "added") != "null" {
		t.Errorf("data that somebody added in the member is still there: %s", asJSON(object))
	}
	if object.GetLabels()["their"] != "label" || object.GetAnnotations()["their"] != "annotation" {
		t.Errorf("the member's label or annotation is gone: %s", asJSON(object))
	}
}

func TestForeignFieldsStayOnRequest(t *testing.T) {
	f := start(t)
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: cm, namespace: %s, annotations: {%s: Keep}}
spec: {template: {data: {key: ours}}, placement: {topologies: [{name: m1}]}}`, f.namespace, v1beta1.ForeignFieldsAnnotation))
	f.states("federatedconfigmaps", "cm", "m1", "")
	f.patch("m1", "cm", `{"data":{"key":"changed","added":"by the member"}}`)
	f.eventually("the value is repaired", func() error {
		if got := f.value("m1", "cm"); got != `"ours"` {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	if got := field(f.object("m1", configMaps, f.namespace, "cm"), "data", "added"); got != `"by the member"` {
		t.Errorf("got %s of what the member added", got)
	}
}

func TestAnObjectDeletedInAMemberIsMadeAgain(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	old := f.object("m1", configMaps, f.namespace, "cm")
	if err := f.member("m1").Resource(configMaps).Namespace(f.namespace).Delete(t.Context(), "cm", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("it is there again", func() error {
		object, err := f.member("m1").Resource(configMaps).Namespace(f.namespace).Get(t.Context(), "cm", metav1.GetOptions{})
		if err == nil && object.GetUID() == old.GetUID() {
			return fmt.Errorf("the old one is still there")
		}
		return err
	})
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
}

func TestAdoption(t *testing.T) {
	f := start(t)
	f.exists("m1", "plain", nil)
	f.exists("m1", "refused", map[string]string{v1beta1.ManagedLabel: "false"})
	f.configMap("plain", "ours", everywhere)
	f.configMap("refused", "ours", everywhere)
	f.states("federatedconfigmaps", "plain", "m1", "", "m2", "")
	if got := f.value("m1", "plain"); got != `"ours"` {
		t.Errorf("got value %s in the adopted object", got)
	}
	f.states("federatedconfigmaps", "refused", "m1", "ManagedLabelFalse", "m2", "")
	if got := f.value("m1", "refused"); got != `"theirs"` {
		t.Errorf("got value %s in an object that says hands off", got)
	}
	f.delete("federatedconfigmaps", "refused")
	f.gone("federatedconfigmaps", "refused")
	if got := f.value("m1", "refused"); got != `"theirs"` {
		t.Errorf("got value %s after the deletion", got)
	}

	adopt := func(mode string) {
		f.apply(fmt.Sprintf(`{apiVersion: core.kubefed.io/v1beta1, kind: KubeFedConfig, metadata: {name: kubefed, namespace: %s}, spec: {clusterHealthCheck: {period: 1s, timeout: 1s, failureThreshold: 2}, syncController: {adoptResources: %s}}}`, system, mode))
	}
	adopt("Disabled")
	defer adopt("Enabled")
	f.exists("m1", "kept", nil)
	f.configMap("kept", "ours", everywhere)
	f.states("federatedconfigmaps", "kept", "m1", "AlreadyExists", "m2", "")
	f.delete("federatedconfigmaps", "kept")
	f.gone("federatedconfigmaps", "kept")
	if got := f.value("m1", "kept"); got != `"theirs"` {
		t.Errorf("got value %s in an object that was not adopted", got)
	}
}

func TestOrphanDeletion(t *testing.T) {
	f := start(t)
	for name, remove := range map[string]func(name string){
		"with-the-annotation": func(name string) {
			f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: %s, namespace: %s, annotations: {%s: "true"}}, spec: {template: {data: {key: ours}}, placement: {topologies: [{name: m1}, {name: m2}]}}}`, name, f.namespace, v1beta1.OrphanAnnotation))
			f.delete("federatedconfigmaps", name)
		},
		"with-cascade-orphan": func(name string) {
			orphan, client := metav1.DeletePropagationOrphan, f.federated("federatedconfigmaps")
			if err := client.Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
				t.Fatal(err)
			}
			f.eventually("it waits for the garbage collector only", func() error {
				object, err := client.Get(t.Context(), name, metav1.GetOptions{})
				if err == nil && !slices.Equal(object.Finalizers, []string{metav1.FinalizerOrphanDependents}) {
					err = fmt.Errorf("got finalizers %v", object.Finalizers)
				}
				return err
			})
			// This host has no garbage collector.
			if _, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		f.configMap(name, "ours", everywhere)
		f.states("federatedconfigmaps", name, "m1", "", "m2", "")
		remove(name)
		f.gone("federatedconfigmaps", name)
		for _, member := range []string{"m1", "m2"} {
			object := f.object(member, configMaps, f.namespace, name)
			if _, managed := object.GetLabels()[v1beta1.ManagedLabel]; managed || len(object.GetAnnotations()) > 0 {
				t.Errorf("the orphan %s in %s is still marked: %s", name, member, asJSON(object))
			}
		}
	}
}

func TestOverrideThatFailsConcernsItsTargetOnly(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere, `  overrides: [{topologyName: m2, topologyOverrides: [{path: /spec/x, value: 1}]}]`)
	object := f.states("federatedconfigmaps", "cm", "m1", "", "m2", "ApplyOverridesFailed")
	if message := f.target(object, "m2").Message; !strings.Contains(message, `spec.overrides[0].topologyOverrides[0] (path "/spec/x")`) {
		t.Errorf("got message %q", message)
	}
	if c := object.Status.Conditions[0]; c.Status != "False" || c.Reason != "CheckClusters" || c.Message != "1 of 2 targets are up to date; m2: ApplyOverridesFailed" {
		t.Errorf("got condition %s", asJSON(c))
	}
}

func TestTargetThatDoesNotExist(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", `  placement: {topologies: [{name: m1}, {name: nowhere}]}`)
	object := f.states("federatedconfigmaps", "cm", "m1", "", "nowhere", "TargetNotFound")
	if message := f.target(object, "nowhere").Message; message != `there is no cluster "nowhere"` {
		t.Errorf("got message %q", message)
	}
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
}

func TestMask(t *testing.T) {
	f := start(t)
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.configMap("cm", "two", everywhere, `  placementMask: {topologies: [{name: m1}]}`)
	object := f.states("federatedconfigmaps", "cm", "m1", "", "m2", "Masked")
	if one, two := f.value("m1", "cm"), f.value("m2", "cm"); one != `"two"` || two != `"one"` {
		t.Errorf("got %s in m1 and %s in m2, want the masked one left alone", one, two)
	}
	if open, masked := f.target(object, "m1"), f.target(object, "m2"); masked.Generation >= open.Generation {
		t.Errorf("the masked target runs generation %d and the other one %d", masked.Generation, open.Generation)
	}
	f.configMap("cm", "two", everywhere, `  placementMask: {topologies: [{name: m1}, {name: m2}]}`)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	if two := f.value("m2", "cm"); two != `"two"` {
		t.Errorf("got %s in m2 without the mask", two)
	}
	f.configMap("cm", "two", `  placement: {topologies: [{name: m1}]}`, `  placementMask: {topologies: []}`)
	f.states("federatedconfigmaps", "cm", "m1", "Masked", "m2", "Masked")
	f.value("m2", "cm") // a frozen object is not taken away either
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
}

func TestPropagatingAnnotations(t *testing.T) {
	f := start(t)
	types := func(patterns string) {
		_, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Patch(t.Context(), "configmaps", types.MergePatchType,
			[]byte(`{"spec":{"propagatingAnnotations":`+patterns+`}}`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	types(`["lb.example/*"]`)
	defer types(`null`)
	annotated := func(annotations string) {
		f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: cm, namespace: %s}, spec: {template: {metadata: {annotations: %s}, data: {key: v}}, placement: {topologies: [{name: m1}]}}}`, f.namespace, annotations))
	}
	wait := func(key, want string) {
		t.Helper()
		f.eventually(fmt.Sprintf("annotation %s is %q", key, want), func() error {
			object, err := f.member("m1").Resource(configMaps).Namespace(f.namespace).Get(t.Context(), "cm", metav1.GetOptions{})
			if err == nil && object.GetAnnotations()[key] != want {
				return fmt.Errorf("got %v", object.GetAnnotations())
			}
			return err
		})
	}
	annotated(`{lb.example/kind: internal, private: "1"}`)
	wait("lb.example/kind", "internal")
	wait("private", "")
	f.patch("m1", "cm", `{"metadata":{"annotations":{"their":"own"}}}`)
	annotated(`{lb.example/kind: external}`)
	wait("lb.example/kind", "external")
	annotated(`{}`)
	wait("lb.example/kind", "")
	wait("their", "own")
}

func TestRetainReplicas(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1")
	f.deployment(2, `{topologies: [{name: rz00a}]}`, `  retainReplicas: true`)
	f.states("federateddeployments", "web", "rz00a", "")
	scale := []byte(`{"spec":{"replicas":7}}`)
	_, err := f.member("m1").Resource(deployments).Namespace(f.in("rz00a")).Patch(t.Context(), "web", types.MergePatchType, scale, metav1.PatchOptions{}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	f.deployment(3, `{topologies: [{name: rz00a}]}`, `  retainReplicas: true`)
	f.eventually("the new template has arrived", func() error {
		object := f.states("federateddeployments", "web", "rz00a", "")
		if f.target(object, "rz00a").Generation != object.Generation {
			return fmt.Errorf("got status %s", asJSON(object.Status))
		}
		return nil
	})
	if got := field(f.object("m1", deployments, f.in("rz00a"), "web"), "spec", "replicas"); got != "7" {
		t.Errorf("got %s replicas, want the member's 7", got)
	}
	f.deployment(3, `{topologies: [{name: rz00a}]}`, `  retainReplicas: false`)
	f.eventually("replicas are the template's", func() error {
		if got := field(f.object("m1", deployments, f.in("rz00a"), "web"), "spec", "replicas"); got != "3" {
			return fmt.Errorf("got %s replicas", got)
		}
		return nil
	})
}

func TestServiceWithACopiedClusterIP(t *testing.T) {
	f := start(t)
	service := func(port int) {
		f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedService, metadata: {name: svc, namespace: %s}, spec: {template: {spec: {ports: [{name: http, port: %d}]}}, placement: {topologies: [{name: m1}, {name: m2}]}}}`, f.namespace, port))
	}
	service(80)
	f.states("federatedservices", "svc", "m1", "", "m2", "")
	ip := field(f.object("m1", services, f.namespace, "svc"), "spec", "clusterIP")
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedService, metadata: {name: svc, namespace: %s}, spec: {template: {spec: {clusterIP: %s, ports: [{name: http, port: 81}]}}, placement: {topologies: [{name: m1}, {name: m2}]}}}`, f.namespace, ip))
	f.eventually("both run the new port", func() error {
		f.states("federatedservices", "svc", "m1", "", "m2", "")
		for _, member := range []string{"m1", "m2"} {
			ports, _, _ := unstructured.NestedSlice(f.object(member, services, f.namespace, "svc").Object, "spec", "ports")
			if len(ports) != 1 || asJSON(ports[0].(map[string]any)["port"]) != "81" {
				return fmt.Errorf("got ports %s in %s", asJSON(ports), member)
			}
		}
		return nil
	})
}

func TestEdgeUnit(t *testing.T) {
	f := start(t)
	f.apply(fmt.Sprintf(`{apiVersion: edge.koinon.io/v1alpha1, kind: EdgeUnit, metadata: {name: north, namespace: %s}, spec: {clusterName: m1}}`, f.namespace))
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedDeployment
metadata: {name: web, namespace: %s}
spec:
  topologyType: edgeunit
  template: {spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}}
  placement: {topologySelector: {}}`, f.namespace))
	f.states("federateddeployments", "web", "north", "")
	object := f.object("m1", deployments, f.in("north"), "web")
	if got := field(object, "spec", "template", "spec", "nodeSelector"); got != `{"edge.koinon.io/unit":"north"}` {
		t.Errorf("got node selector %s", got)
	}
	if cluster, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(t.Context(), "north."+f.namespace+".edgeunit", metav1.GetOptions{}); err != nil {
		t.Errorf("the unit does not appear as a cluster: %v", err)
	} else if cluster.Spec.SecretRef.Name != "m1" {
		t.Errorf("got secret %q, want the member's", cluster.Spec.SecretRef.Name)
	}
}

// TestRemoteStatus has the whole status come and go with the feature gate, of an object that nobody touches.
func TestRemoteStatus(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1")
	f.deployment(0, `{topologies: [{name: rz00a}]}`, "")
	without := func() {
		t.Helper()
		f.eventually("there is no status of the Deployment", func() error {
			object := f.healthy("federateddeployments", "web", "True", "")
			if status := f.target(object, "rz00a").RemoteStatus; status != nil {
				return fmt.Errorf("got remoteStatus %s", status)
			}
			return nil
		})
	}
	without()
	f.collectRaw("Enabled")
	defer f.collectRaw("Disabled")
	f.eventually("the status of the Deployment is there", func() error {
		object := f.states("federateddeployments", "web", "rz00a", "")
		if status := string(f.target(object, "rz00a").RemoteStatus); !strings.Contains(status, `"observedGeneration":1`) {
			return fmt.Errorf("got remoteStatus %s", status)
		}
		return nil
	})
	f.collectRaw("Disabled")
	without()
}

func TestTypesAreSwitchedOffAndOn(t *testing.T) {
	f := start(t)
	propagation := func(mode string) {
		_, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Patch(t.Context(), "configmaps", types.MergePatchType,
			[]byte(`{"spec":{"propagation":"`+mode+`"}}`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := v1beta1.ControllerRunning
		if mode == "Disabled" {
			want = v1beta1.ControllerNotRunning
		}
		f.eventually("the type is "+mode, func() error {
			ftc, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Get(t.Context(), "configmaps", metav1.GetOptions{})
			if err == nil && (ftc.Status.PropagationController != want || ftc.Status.ObservedGeneration != ftc.Generation) {
				err = fmt.Errorf("got status %s", asJSON(ftc.Status))
			}
			return err
		})
	}
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	propagation("Disabled")
	f.configMap("cm", "two", everywhere)
	f.patch("m1", "cm", `{"data":{"key":"changed"}}`)
	propagation("Enabled")
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	for _, member := range []string{"m1", "m2"} {
		if got := f.value(member, "cm"); got != `"two"` {
			t.Errorf("got %s in %s", got, member)
		}
	}
}

// What admission takes, the engine applies.
func TestOverridesThatAreAcceptedAreApplied(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere, `  overrides:
  - {topologyName: m1, topologyOverrides: [{path: /apiVersion, op: replace, value: v1}, {path: /data/key, op: replace, value: null}]}
  - {topologyName: m2, topologyOverrides: [{path: /metadata, op: replace, value: {labels: {a: b}}}, {path: /data/key, op: replace}]}`)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	object := f.object("m2", configMaps, f.namespace, "cm")
	if got := object.GetLabels(); got["a"] != "b" || got[v1beta1.ManagedLabel] != "true" {
		t.Errorf("got labels %v", got)
	}
	for _, member := range []string{"m1", "m2"} {
		if got := field(f.object(member, configMaps, f.namespace, "cm"), "data", "key"); got != "null" && got != `""` {
			t.Errorf("%s has data.key %s, and null was to be set", member, got)
		}
	}
}

// What is deleted under a kind that two types want is deleted as the type says that has it.
func TestATypeThatIsNotServedTouchesNothing(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.apply(fmt.Sprintf(`{apiVersion: core.kubefed.io/v1beta1, kind: FederatedTypeConfig, metadata: {name: impostors.example.org, namespace: %s}, spec: {targetType: {group: example.org, version: v1, kind: Impostor, pluralName: impostors, scope: Namespaced}, federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedConfigMap, pluralName: federatedconfigmaps, scope: Namespaced}, propagation: Enabled}}`, system))
	types := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system)
	t.Cleanup(func() {
		_ = types.Delete(context.WithoutCancel(t.Context()), "impostors.example.org", metav1.DeleteOptions{})
	})
	f.eventually("the type says that it is not propagated", func() error {
		got, err := types.Get(t.Context(), "impostors.example.org", metav1.GetOptions{})
		if err == nil && got.Status.PropagationController != v1beta1.ControllerNotRunning {
			err = fmt.Errorf("got status %s", asJSON(got.Status))
		}
		return err
	})
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
	f.absent("m1", configMaps, f.namespace, "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
}
