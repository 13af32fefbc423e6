package propagation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/test/testbed"
)

var secrets = corev1.SchemeGroupVersion.WithResource("secrets")

// hostNamespace makes a namespace in the host.
func (f *fixture) hostNamespace(name string) {
	f.Helper()
	f.apply(fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}`, name))
}

// federatedHostNamespace makes a namespace in the host that goes wherever it may.
func (f *fixture) federatedHostNamespace(name string) {
	f.Helper()
	f.hostNamespace(name)
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {name: %[1]s, namespace: %[1]s}, spec: {placement: {topologySelector: {}}}}`, name))
}

// federatedIn reads a federated object of another namespace than the test's.
func (f *fixture) federatedIn(namespace, plural string) *fedclient.Client {
	f.Helper()
	factory, err := fedclient.New(f.config, "types.kubefed.io")
	if err != nil {
		f.Fatal(err)
	}
	return factory.Resource(plural, namespace)
}

// forbidden waits until a target of an object is refused for its namespace, and returns the
// message.
func (f *fixture) forbidden(namespace, plural, name, target string) (message string) {
	f.Helper()
	f.eventually(fmt.Sprintf("%s %s/%s is refused in %s", plural, namespace, name, target), func() error {
		object, err := f.federatedIn(namespace, plural).Get(f.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if object.Status != nil {
			for _, t := range object.Status.Targets {
				if t.Name == target && t.State == v1beta2.TargetNamespaceForbidden {
					message = t.Message
					return nil
				}
			}
		}
		return fmt.Errorf("got status %s", asJSON(object.Status))
	})
	return message
}

// holder is who owns a namespace of a member in the book.
func (f *fixture) holder(namespace, member string) string {
	f.Helper()
	page, err := f.koinon.FederationV1alpha1().MemberNamespaces().Get(f.Context(), namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "nobody"
	}
	if err != nil {
		f.Fatal(err)
	}
	owner, held := ownership.Holders(page)[member]
	if !held {
		return "nobody"
	}
	return owner.String()
}

// said is what kubectl says to a manifest that is refused.
func (f *fixture) said(manifest string) string {
	f.Helper()
	result := testbed.RunKubectl(f.T, f.kubeconfig, manifest, "create", "-f", "-")
	if result.Err == nil {
		f.Fatalf("this was taken: %s", manifest)
	}
	return strings.TrimSpace(result.Stderr)
}

const podSecurity = "pod-security.kubernetes.io/enforce"

// label labels a namespace of the host: its FederatedNamespace may have what it has.
func (f *fixture) label(namespace, key, value string) {
	f.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value)
	_, err := f.kube.CoreV1().Namespaces().Patch(f.Context(), namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		f.Fatal(err)
	}
}

// TestACellsNamespaceIsTheCellsAlone replays an attack: who owns the host namespace that is
// called like a cell's member namespace runs a pod there, overwrites a Secret, takes Pod
// Security off and deletes the namespace.
func TestACellsNamespaceIsTheCellsAlone(t *testing.T) {
	f := start(t)
	f.delete("federatednamespaces", f.namespace) // the topology type of one is immutable
	f.gone("federatednamespaces", f.namespace)
	f.cells("rz00a", "m1")
	f.label(f.namespace, podSecurity, "restricted")
	const password = "c2hvcA=="
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedSecret, metadata: {name: db, namespace: %s}, spec: {topologyType: cell, template: {data: {password: %s}}, placement: {topologies: [{name: rz00a}]}}}`, f.namespace, password))
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {name: %[1]s, namespace: %[1]s}, spec: {topologyType: cell, template: {metadata: {labels: {pod-security.kubernetes.io/enforce: restricted}}}, placement: {topologies: [{name: rz00a}]}}}`, f.namespace))
	f.states("federatedsecrets", "db", "rz00a", "")
	f.states("federatednamespaces", f.namespace, "rz00a", "")
	place := f.in("rz00a")
	namespace := f.object("m1", namespaces, "", place)
	if got, want := namespace.GetAnnotations()[federationv1alpha1.OwnerAnnotation], "cell/"+f.namespace+"/rz00a"; got != want {
		t.Errorf("the namespace in the member says that it belongs to %q, want %q", got, want)
	}

	f.federatedHostNamespace(place)
	f.label(place, podSecurity, "privileged")
	attacks := map[string]string{
		"federatedsecrets":     fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedSecret, metadata: {name: db, namespace: %s}, spec: {template: {data: {password: bWluZQ==}}, placement: PLACEMENT}}`, place),
		"federatednamespaces":  fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {name: %[1]s, namespace: %[1]s}, spec: {template: {metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}}, placement: PLACEMENT}}`, place),
		"federateddeployments": fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedDeployment, metadata: {name: thief, namespace: %s}, spec: {template: {spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: db}}]}]}}}}, placement: PLACEMENT}}`, place),
	}
	names := map[string]string{"federatedsecrets": "db", "federatednamespaces": place, "federateddeployments": "thief"}
	belongs := fmt.Sprintf(`namespace %q of member "m1" belongs to cell %s/rz00a`, place, f.namespace)
	for _, plural := range []string{"federatednamespaces", "federatedsecrets", "federateddeployments"} { // the others go only where the first goes
		manifest := attacks[plural]
		if said := f.said(strings.ReplaceAll(manifest, "PLACEMENT", `{topologies: [{name: m1}]}`)); !strings.Contains(said, `"m1" is refused: `+belongs) {
			t.Errorf("kubectl says %s", said)
		}
		f.apply(strings.ReplaceAll(manifest, "PLACEMENT", `{topologySelector: {}}`)) // admission cannot know what it selects
		if message := f.forbidden(place, plural, names[plural], "m1"); message != belongs {
			t.Errorf("%s: got message %q, want %q", plural, message, belongs)
		}
	}
	f.eventually("the attacker has its own namespace in m2", func() error {
		_, err := f.member("m2").Resource(secrets).Namespace(place).Get(t.Context(), "db", metav1.GetOptions{})
		return err
	})
	for _, plural := range []string{"federatedsecrets", "federateddeployments", "federatednamespaces"} {
		name := names[plural]
		if err := f.federatedIn(place, plural).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		f.eventually("the attacker's object is gone", func() error {
			object, err := f.federatedIn(place, plural).Get(t.Context(), name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("got %s, error %v", asJSON(object), err)
		})
	}
	if got := field(f.object("m1", secrets, place, "db"), "data", "password"); got != `"`+password+`"` {
		t.Errorf("the Secret was overwritten: %s", got)
	}
	f.absent("m1", deployments, place, "thief")
	after := f.object("m1", namespaces, "", place)
	if after.GetUID() != namespace.GetUID() || after.GetDeletionTimestamp() != nil || after.GetLabels()["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("the namespace was changed: %s", asJSON(after))
	}
	f.absent("m2", namespaces, "", place) // the FederatedNamespace of the attacker had it there
}

func TestAHostNamespaceThatCameFirstKeepsItsNamespaceInMembers(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", `  placement: {topologySelector: {}}`)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	if got, want := f.holder(f.namespace, "m1"), "namespace "+f.namespace+" of the host"; got != want {
		t.Errorf("the namespace belongs to %s, want %s", got, want)
	}
	other := f.namespace + "-other"
	f.hostNamespace(other)
	cell := func(namespace, memberNamespace string) string {
		return fmt.Sprintf(`{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: x, namespace: %s}, spec: {clusterName: m1, memberNamespace: %s}}`, namespace, memberNamespace)
	}
	for _, namespace := range []string{other, f.namespace} { // its own cells are others too
		if said, want := f.said(cell(namespace, f.namespace)), fmt.Sprintf("belongs to namespace %s of the host", f.namespace); !strings.Contains(said, want) {
			t.Errorf("kubectl says %s, want %s", said, want)
		}
	}
	if said, want := f.said(cell(f.namespace, other)), fmt.Sprintf("the host has a namespace %q", other); !strings.Contains(said, want) {
		t.Errorf("kubectl says %s, want %s", said, want)
	}
}

// TestAfterAnUpgradeCellsComeFirst: a control plane without a book had a cell, and a
// namespace of the host in the same place.
func TestAfterAnUpgradeCellsComeFirst(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1")
	f.deployment(0, `{topologies: [{name: rz00a}]}`, "")
	f.states("federateddeployments", "web", "rz00a", "")
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.stop()
	place := f.in("rz00a")
	for _, page := range []string{place, f.namespace} {
		if err := f.koinon.FederationV1alpha1().MemberNamespaces().Delete(t.Context(), page, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"m1", "m2"} {
			f.mark(member, page, map[string]any{federationv1alpha1.FederationAnnotation: nil, federationv1alpha1.OwnerAnnotation: nil})
		}
	}
	f.federatedHostNamespace(place)
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: cm, namespace: %s}, spec: {template: {data: {key: theirs}}, placement: {topologySelector: {}}}}`, place))
	before := f.object("m1", configMaps, f.namespace, "cm").GetResourceVersion()

	f.run()
	if message := f.forbidden(place, "federatedconfigmaps", "cm", "m1"); !strings.Contains(message, "belongs to cell "+f.namespace+"/rz00a") {
		t.Errorf("got message %q", message)
	}
	f.absent("m1", configMaps, place, "cm")
	f.eventually("what was placed is claimed, and its namespace marked", func() error {
		if got, want := f.holder(f.namespace, "m1"), "namespace "+f.namespace+" of the host"; got != want {
			return fmt.Errorf("the namespace belongs to %s, want %s", got, want)
		}
		if got, want := f.object("m1", namespaces, "", f.namespace).GetAnnotations()[federationv1alpha1.OwnerAnnotation], "namespace/"+f.namespace; got != want {
			return fmt.Errorf("the mark is %q, want %q", got, want)
		}
		return nil
	})
	if after := f.object("m1", configMaps, f.namespace, "cm").GetResourceVersion(); after != before {
		t.Error("an object that was right was written")
	}
}

// mark patches annotations of a namespace in a member.
func (f *fixture) mark(member, namespace string, annotations map[string]any) {
	f.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		f.Fatal(err)
	}
	_, err = f.member(member).Resource(namespaces).Patch(f.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		f.Fatal(err)
	}
}

func TestANamespaceOfAnotherFederationIsLeftAlone(t *testing.T) {
	f := start(t)
	f.states("federatednamespaces", f.namespace, "m1", "", "m2", "")
	f.mark("m1", f.namespace, map[string]any{federationv1alpha1.FederationAnnotation: "another"})
	f.states("federatednamespaces", f.namespace, "m1", string(v1beta2.TargetNamespaceForbidden), "m2", "")
	f.configMap("cm", "ours", everywhere)
	if message := f.forbidden(f.namespace, "federatedconfigmaps", "cm", "m1"); !strings.Contains(message, `it belongs to another federation, "another"`) {
		t.Errorf("got message %q", message)
	}
	f.absent("m1", configMaps, f.namespace, "cm")
	f.mark("m1", f.namespace, map[string]any{federationv1alpha1.FederationAnnotation: nil, federationv1alpha1.OwnerAnnotation: nil})
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")

	// It is taken over while our object is in it: we do not delete there any more.
	f.mark("m1", f.namespace, map[string]any{federationv1alpha1.FederationAnnotation: "another"})
	f.stop()
	f.run() // what was seen a moment ago is forgotten
	f.delete("federatedconfigmaps", "cm")
	f.eventually("the deletion waits, and says why", func() error {
		object, err := f.federated("federatedconfigmaps").Get(t.Context(), "cm", metav1.GetOptions{})
		if err == nil && !slices.ContainsFunc(object.Status.Targets, func(s v1beta2.TargetStatus) bool {
			return s.Name == "m1" && s.State == v1beta2.TargetWaitingForRemoval && strings.Contains(s.Message, `another federation, "another"`)
		}) {
			err = fmt.Errorf("got status %s", asJSON(object.Status))
		}
		return err
	})
	if got := f.value("m1", "cm"); got != `"ours"` {
		t.Errorf("got %s", got)
	}
	f.mark("m1", f.namespace, map[string]any{federationv1alpha1.FederationAnnotation: nil, federationv1alpha1.OwnerAnnotation: nil})
	f.gone("federatedconfigmaps", "cm")
	f.absent("m1", configMaps, f.namespace, "cm")
}

func TestNamespacesOfTheMemberItselfAreNoTargets(t *testing.T) {
	f := start(t)
	const place = "kube-public"
	allow := func(value string) {
		t.Helper()
		if _, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Patch(t.Context(), "m1", types.MergePatchType,
			[]byte(`{"spec":{"allowedSystemNamespaces":`+value+`}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	defer allow("null")
	f.federatedHostNamespace(place)
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: cm-of-koinon, namespace: %s}, spec: {template: {data: {key: ours}}, placement: {topologySelector: {}}}}`, place))
	for _, member := range []string{"m1", "m2"} {
		if message, want := f.forbidden(place, "federatedconfigmaps", "cm-of-koinon", member), fmt.Sprintf("spec.allowedSystemNamespaces of KubeFedCluster %q", member); !strings.Contains(message, want) {
			t.Errorf("got message %q, want one with %s", message, want)
		}
		f.absent(member, configMaps, place, "cm-of-koinon")
	}
	allow(`["` + place + `"]`)
	f.eventually("it is in the member that allows it", func() error {
		_, err := f.member("m1").Resource(configMaps).Namespace(place).Get(t.Context(), "cm-of-koinon", metav1.GetOptions{})
		return err
	})
	f.absent("m2", configMaps, place, "cm-of-koinon")
	if err := f.federatedIn(place, "federatedconfigmaps").Delete(t.Context(), "cm-of-koinon", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("it is gone", func() error {
		_, err := f.federatedIn(place, "federatedconfigmaps").Get(t.Context(), "cm-of-koinon", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("still there: %v", err)
	})
	f.absent("m1", configMaps, place, "cm-of-koinon")
}
