package native

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func parsed(t *testing.T, manifest string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		t.Fatalf("%v in %s", err, manifest)
	}
	return object
}

func TestWhatOfAnObjectIsInItsTemplate(t *testing.T) {
	for name, c := range map[string]struct {
		group, kind, object string
		fromMember          bool
		want                string
		left                []string
	}{
		"what API servers and we set goes": {"", "ConfigMap", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b, uid: u, resourceVersion: "1", managedFields: [],
			labels: {app: web, kubefed.io/managed: "true"}, annotations: {federation.koinon.io/federated-object: x/y}}, data: {a: b}}`, false,
			`{metadata: {labels: {app: web}}, data: {a: b}}`, nil},
		"what says that it is followed goes": {"", "ConfigMap", `{metadata: {labels: {federation.koinon.io/federate: "true"}, annotations: {federation.koinon.io/placement: "{}", keep/a: x}}}`, false,
			`{metadata: {annotations: {keep/a: x}}}`, nil},
		"annotations that propagate stay": {"", "ConfigMap", `{apiVersion: v1, kind: ConfigMap, metadata: {annotations: {keep/a: x, other: y}, finalizers: [f]}}`, false,
			`{metadata: {annotations: {keep/a: x}}}`, []string{"metadata.annotations[other]", "metadata.finalizers"}},
		"what is allocated goes": {"", "Service", `{apiVersion: v1, kind: Service, spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ports: [{port: 80, nodePort: 30000}]}, status: {loadBalancer: {}}}`, true,
			`{spec: {ports: [{port: 80}]}}`, []string{"spec.clusterIP", "spec.clusterIPs", "spec.ports[0].nodePort"}},
		"another version stays": {"apps", "Deployment", `{apiVersion: apps/v1beta1, kind: Deployment, metadata: {annotations: {deployment.kubernetes.io/revision: "3"}}, spec: {replicas: 2}}`, false,
			`{apiVersion: apps/v1beta1, spec: {replicas: 2}}`, nil},
		"a namespace keeps its labels": {"", "Namespace", `{apiVersion: v1, kind: Namespace, metadata: {labels: {a: b, kubernetes.io/metadata.name: shop}}, spec: {finalizers: [kubernetes]}}`, false,
			`{metadata: {labels: {a: b}}}`, nil},
		"but not those of a member": {"", "Namespace", `{apiVersion: v1, kind: Namespace, metadata: {labels: {a: b}}, spec: {finalizers: [kubernetes]}}`, true,
			`{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			config := &v1beta1.FederatedTypeConfig{}
			config.Spec.TargetType = v1beta1.APIResource{Group: c.group, Version: "v1", Kind: c.kind}
			config.Spec.PropagatingAnnotations = []string{"keep/*", "federation.koinon.io/*"}
			object := &unstructured.Unstructured{Object: parsed(t, c.object)}
			before := object.DeepCopy()
			if diff := cmp.Diff(parsed(t, c.want), Template(config, object, c.fromMember)); diff != "" {
				t.Errorf("template (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.left, LeftOut(config, object)); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, object); diff != "" {
				t.Errorf("the object was modified:\n%s", diff)
			}
		})
	}
}

func TestWhatNobodyNamedAndIsNotFederated(t *testing.T) {
	for name, c := range map[string]struct {
		kind, object string
		template     map[string]any
		skipped      bool
	}{
		"an object":                      {"ConfigMap", `{metadata: {name: a}}`, nil, false},
		"one that is owned":              {"ConfigMap", `{metadata: {name: a, ownerReferences: [{kind: X, name: x}]}}`, nil, false},
		"one that a controller has made": {"Pod", `{metadata: {name: a, ownerReferences: [{kind: ReplicaSet, name: x, controller: true}]}}`, nil, true},
		"one that goes":                  {"ConfigMap", `{metadata: {name: a, deletionTimestamp: "2026-01-01T00:00:00Z"}}`, nil, true},
		"one of a federated object":      {"ConfigMap", `{metadata: {name: a, annotations: {federation.koinon.io/federated-object: b/a}}}`, nil, true},
		"the authorities of a cluster":   {"ConfigMap", `{metadata: {name: kube-root-ca.crt}}`, nil, true},
		"a token":                        {"Secret", `{metadata: {name: a}, type: kubernetes.io/service-account-token}`, nil, true},
		"another Secret":                 {"Secret", `{metadata: {name: a}, type: Opaque}`, nil, false},
		"the default account":            {"ServiceAccount", `{metadata: {name: default}}`, map[string]any{}, true},
		"one that somebody has changed":  {"ServiceAccount", `{metadata: {name: default}}`, map[string]any{"imagePullSecrets": []any{}}, false},
	} {
		why := WhyNot(schema.GroupKind{Kind: c.kind}, &unstructured.Unstructured{Object: parsed(t, c.object)}, c.template)
		if (why != "") != c.skipped {
			t.Errorf("%s: %q, want skipped %v", name, why, c.skipped)
		}
	}
}
