package propagation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

// applied has another field manager own what it applies to a member.
func (f *fixture) applied(member, manager, manifest string) {
	f.Helper()
	testbed.KubectlStdin(f.T, members[member].Get(f.T).Kubeconfig(), manifest, "apply", "--server-side", "--field-manager="+manager, "-n", f.namespace, "-f", "-")
}

// deploymentIn1 makes a FederatedDeployment in m1 with a policy for conflicts; empty: none.
func (f *fixture) deploymentIn1(name, policy, spec string) {
	f.Helper()
	annotations := ""
	if policy != "" {
		annotations = fmt.Sprintf(", annotations: {%s: %s}", v1beta1.ConflictsAnnotation, policy)
	}
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedDeployment
metadata: {name: %s, namespace: %s%s}
spec: {placement: {topologies: [{name: m1}]}, template: {spec: %s}}`, name, f.namespace, annotations, spec))
}

// A conflict ends when its owner gives the field up, or the annotation takes it.
func TestAWriteStopsAtFieldsOfOthersWhereThePolicyIsAbort(t *testing.T) {
	f := start(t)
	f.exists("m1", "unused", nil) // makes the namespace
	deployment := func(name, image, replicas string) string {
		return fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {%s selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: %q, resources: {limits: {cpu: "1"}}}]}}}}`, name, replicas, image)
	}
	f.applied("m1", "release-tool", deployment("web", "example.org/app:theirs", ""))
	// What is the same, though written in another way, and defaults are no conflict.
	ours := func(image string) string {
		return fmt.Sprintf(`{replicas: 0, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: %q, resources: {limits: {cpu: 1000m}}}]}}}`, image)
	}
	f.deploymentIn1("web", "Abort", ours("example.org/app:ours"))
	object := f.states("federateddeployments", "web", "m1", "Conflict")
	want := `field .spec.template.spec.containers[name=app].image is owned by "release-tool"; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own`
	if got := f.target(object, "m1").Message; got != want {
		t.Errorf("got message %q, want %q", got, want)
	}
	image := func() string {
		return field(f.object("m1", deployments, f.namespace, "web"), "spec", "template", "spec", "containers")
	}
	if got := image(); !strings.Contains(got, "app:theirs") {
		t.Errorf("the write was done: %s", got)
	}
	// What agrees is written, and the owner has what it owned.
	f.deploymentIn1("web", "Abort", ours("example.org/app:theirs"))
	f.states("federateddeployments", "web", "m1", "")
	f.deploymentIn1("web", "Abort", ours("example.org/app:ours"))
	f.states("federateddeployments", "web", "m1", "Conflict")
	f.deploymentIn1("web", "Overwrite", ours("example.org/app:ours"))
	object = f.states("federateddeployments", "web", "m1", "")
	if got := image(); !strings.Contains(got, "app:ours") {
		t.Errorf("the field was not taken over: %s", got)
	}
	want = `the write took over .spec.template.spec.containers[name=app].image from field manager "release-tool"`
	if got := f.target(object, "m1").Message; got != want {
		t.Errorf("got message %q, want %q", got, want)
	}
	f.deploymentIn1("web", "Abort", ours("example.org/app:ours2")) // it is ours by now
	f.states("federateddeployments", "web", "m1", "")
	f.delete("federateddeployments", "web")
	f.gone("federateddeployments", "web")
	f.absent("m1", deployments, f.namespace, "web")
}

// Replicas that an autoscaler sets are its own, by the type's policy.
func TestATypesPolicyKeepsWritesFromReplicasThatSomebodyScales(t *testing.T) {
	f := start(t)
	patch := func(policy string) {
		if _, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Patch(context.WithoutCancel(t.Context()), "deployments.apps", types.MergePatchType,
			[]byte(`{"spec":{"conflicts":`+policy+`}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	patch(`"Abort"`)
	t.Cleanup(func() { patch("null") }) // other tests have the type, too
	spec := func(image string) string {
		return fmt.Sprintf(`{replicas: 1, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: %q}]}}}`, image)
	}
	f.deploymentIn1("web", "", spec("example.org/app:1"))
	f.states("federateddeployments", "web", "m1", "")
	testbed.Kubectl(t, members["m1"].Get(t).Kubeconfig(), "scale", "-n", f.namespace, "deployment/web", "--replicas=3")
	object := f.states("federateddeployments", "web", "m1", "Conflict")
	if got := f.target(object, "m1").Message; !strings.HasPrefix(got, "field .spec.replicas is owned by ") || !strings.Contains(got, "spec.retainReplicas: true") {
		t.Errorf("got message %q", got)
	}
	if got := field(f.object("m1", deployments, f.namespace, "web"), "spec", "replicas"); got != "3" {
		t.Errorf("got %s replicas: the write was done", got)
	}
	// Who gives the field up ends it.
	testbed.Kubectl(t, members["m1"].Get(t).Kubeconfig(), "scale", "-n", f.namespace, "deployment/web", "--replicas=1")
	f.states("federateddeployments", "web", "m1", "")
}

// What a type retains stays as the member has it: always, if a condition says so, and if it cannot tell.
func TestTheMemberKeepsWhatItsTypeRetains(t *testing.T) {
	f := start(t)
	patch := func(fields string) {
		if _, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Patch(context.WithoutCancel(t.Context()), "configmaps", types.MergePatchType,
			[]byte(`{"spec":{"retainFields":`+fields+`}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	patch(`[{"path": "/data/always"}, {"path": "/data/locked", "when": "has(member.metadata.annotations.lock) && template.data.key == 'two'"}, {"path": "/data/odd", "when": "member.data.nowhere == 'x'"}]`)
	t.Cleanup(func() { patch("null") }) // other tests have the type, too
	write := func(key string) {
		f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: cm, namespace: %s}, spec: {template: {data: {key: %s, always: ours, locked: ours, odd: ours}}, placement: {topologies: [{name: m1}]}}}`, f.namespace, key))
		f.states("federatedconfigmaps", "cm", "m1", "")
	}
	data := func(want string) {
		t.Helper()
		f.eventually("the member has "+want, func() error {
			if got := field(f.object("m1", configMaps, f.namespace, "cm"), "data"); got != want {
				return fmt.Errorf("got %s", got)
			}
			return nil
		})
	}
	write("one")
	data(`{"always":"ours","key":"one","locked":"ours","odd":"ours"}`)
	f.patch("m1", "cm", `{"metadata":{"annotations":{"lock":"yes"}},"data":{"key":"drift","always":"theirs","locked":"theirs","odd":"theirs"}}`)
	data(`{"always":"theirs","key":"one","locked":"ours","odd":"theirs"}`)
	f.patch("m1", "cm", `{"data":{"locked":"theirs"}}`)
	data(`{"always":"theirs","key":"one","locked":"ours","odd":"theirs"}`)
	f.stop() // so that both changes are there at once
	f.patch("m1", "cm", `{"data":{"locked":"theirs"}}`)
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: cm, namespace: %s}, spec: {template: {data: {key: two, always: ours, locked: ours, odd: ours}}, placement: {topologies: [{name: m1}]}}}`, f.namespace))
	f.run()
	data(`{"always":"theirs","key":"two","locked":"theirs","odd":"theirs"}`)
	object := f.states("federatedconfigmaps", "cm", "m1", "")
	want := "/data/odd stays as the member has it, since spec.retainFields[2].when of the type cannot be computed: no such key: nowhere"
	if got := f.target(object, "m1").Message; got != want {
		t.Errorf("got message %q, want %q", got, want)
	}
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
}
