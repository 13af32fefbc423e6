package propagation_test

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// there creates an object in m1 as somebody else, and removes it after the test.
func (f *fixture) there(gvr schema.GroupVersionResource, namespace string, object map[string]any) {
	f.Helper()
	u := &unstructured.Unstructured{Object: object}
	client := f.member("m1").Resource(gvr).Namespace(namespace)
	if _, err := client.Create(f.Context(), u, metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = client.Delete(f.Context(), u.GetName(), metav1.DeleteOptions{}) })
}

// Charts write that an aggregated role has no rules. A controller of the member fills them in.
func TestAnAggregatedClusterRoleKeepsItsRules(t *testing.T) {
	f := start(t)
	clusterRoles := rbacv1.SchemeGroupVersion.WithResource("clusterroles")
	f.there(clusterRoles, "", map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
		"metadata": map[string]any{"name": f.namespace + "-part", "labels": map[string]any{"part-of": f.namespace}},
		"rules":    []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"}}},
	})
	role := func(version string) {
		f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedClusterRole, metadata: {name: %[1]s}, spec: {placement: {topologies: [{name: m1}]},
			template: {metadata: {labels: {version: %[2]q}}, aggregationRule: {clusterRoleSelectors: [{matchLabels: {part-of: %[1]s}}]}, rules: []}}}`, f.namespace, version))
		f.eventually("version "+version+" of the role is there, with rules, and all is well", func() error {
			federated, err := f.federatedIn("", "federatedclusterroles").Get(f.Context(), f.namespace, metav1.GetOptions{})
			if err != nil {
				return err
			}
			member, err := f.member("m1").Resource(clusterRoles).Get(f.Context(), f.namespace, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if federated.Status == nil || len(federated.Status.Targets) == 0 {
				return fmt.Errorf("there is no status yet")
			}
			target := federated.Status.Targets[0]
			if member.GetLabels()["version"] != version || !strings.Contains(field(member, "rules"), "pods") || target.State != "" {
				return fmt.Errorf("got labels %v, rules %s, target %s", member.GetLabels(), field(member, "rules"), asJSON(target))
			}
			return nil
		})
	}
	for i := range 6 { // more often than a fight would take
		role(fmt.Sprint(i))
	}
	if err := f.federatedIn("", "federatedclusterroles").Delete(t.Context(), f.namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// The webhook of a load balancer sets the class when a Service is created, and nobody may take it away.
func TestAServiceKeepsTheClassThatItsLoadBalancerGaveIt(t *testing.T) {
	f := start(t)
	f.exists("m1", "unused", nil) // makes the namespace
	f.there(services, f.namespace, map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{"type": "LoadBalancer", "loadBalancerClass": "example.org/lb", "ports": []any{map[string]any{"port": int64(80)}}},
	})
	f.placed("FederatedService", "web", `{spec: {type: LoadBalancer, ports: [{port: 443}]}}`)
	f.states("federatedservices", "web", "m1", "")
	if got := field(f.object("m1", services, f.namespace, "web"), "spec", "loadBalancerClass"); got != `"example.org/lb"` {
		t.Errorf("got class %s", got)
	}
	f.placed("FederatedService", "web", `{spec: {type: ClusterIP, ports: [{port: 443}]}}`)
	f.states("federatedservices", "web", "m1", "")
	if got := field(f.object("m1", services, f.namespace, "web"), "spec", "loadBalancerClass"); got != "null" {
		t.Errorf("got class %s of a Service without a load balancer", got)
	}
}

func TestWhoHoldsACopyIsNamed(t *testing.T) {
	f := start(t)
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.patch("m1", "cm", `{"metadata":{"finalizers":["example.org/held"]}}`)
	f.delete("federatedconfigmaps", "cm")
	f.eventually("the message names the finalizer", func() error {
		object := f.states("federatedconfigmaps", "cm", "m1", "WaitingForRemoval")
		if message := f.target(object, "m1").Message; !strings.Contains(message, "example.org/held") {
			return fmt.Errorf("got message %q", message)
		}
		return nil
	})
	f.patch("m1", "cm", `{"metadata":{"finalizers":null}}`)
	f.gone("federatedconfigmaps", "cm")
}
