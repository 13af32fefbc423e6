package admissionsuite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The same changes as a JSON patch, as one that a policy computes, and as what a policy
// applies: a label, and a container in the template.
const (
	jsonPatch = `[{"op":"add","path":"/metadata/labels","value":{"changed":"yes"}},` +
		`{"op":"add","path":"/spec/template/spec/template/spec/containers/1","value":{"name":"sidecar","image":"sidecar:1"}}]`
	policyPatch = `
  - patchType: JSONPatch
    jsonPatch:
      expression: |
        [JSONPatch{op: "add", path: "/metadata/labels", value: {"changed": "yes"}},
         JSONPatch{op: "add", path: "/spec/template/spec/template/spec/containers/1", value: {"name": "sidecar", "image": "sidecar:1"}}]`
	policyApply = `
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: |
        Object{
          metadata: Object.metadata{labels: Object.metadata.labels{changed: "yes"}},
          spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{template: Object.spec.template.spec.template{spec:
            Object.spec.template.spec.template.spec{containers: [
              Object.spec.template.spec.template.spec.containers{name: "sidecar", image: "sidecar:1"}
            ]}}}}}
        }`
	// dropAnnotations takes away what v1beta1 says the topology with.
	dropAnnotations = `[{"op":"remove","path":"/metadata/annotations"},` + `{"op":"add","path":"/metadata/labels","value":{"changed":"yes"}},` +
		`{"op":"add","path":"/spec/template/spec/template/spec/containers/1","value":{"name":"sidecar","image":"sidecar:1"}}]`
	scalePatch = `
  - patchType: JSONPatch
    jsonPatch: {expression: '[JSONPatch{op: "replace", path: "/spec/replicas", value: 4}]'}`
	scaleApply = `
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{spec: Object.spec{replicas: 4}}"}`
)

// changers are the ways to change an object.
var changers = []struct {
	name, rule      string
	mutations, hook string // mutations of a policy, or the path of a webhook
}{
	{name: "webhook-patches-v1beta1", rule: "v1beta1", hook: "/patch"},
	{name: "webhook-patches-v1beta2", rule: "v1beta2", hook: "/patch"},
	{name: "webhook-patches-any", rule: "*", hook: "/patch"},
	{name: "webhook-drops-annotations", rule: "v1beta1", hook: "/drop-annotations"},
	{name: "policy-patches-v1beta1", rule: "v1beta1", mutations: policyPatch},
	{name: "policy-patches-v1beta2", rule: "v1beta2", mutations: policyPatch},
	{name: "policy-applies-v1beta1", rule: "v1beta1", mutations: policyApply},
	{name: "policy-applies-v1beta2", rule: "v1beta2", mutations: policyApply},
	{name: "policy-applies-any", rule: "*", mutations: policyApply},
}

// changes has every changer change objects that clients of both versions write, and looks at
// what is stored.
func changes(s *suite) {
	h := startHooks(s, map[string]func(*admissionv1.AdmissionRequest, *admissionv1.AdmissionResponse){
		"/patch": patch(jsonPatch), "/drop-annotations": patch(dropAnnotations),
		"/scale": patch(`[{"op":"replace","path":"/spec/replicas","value":4}]`),
	})
	for _, c := range changers {
		s.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			namespace := s.namespace("suite-"+c.name, c.name)
			s.installChanger(h, c.name, "federateddeployments", c.rule, c.hook, c.mutations)
			s.awaitChange(namespace)
			for _, spoken := range []string{"v1beta2", "v1beta1"} {
				t.Run("spoken to in "+spoken, func(t *testing.T) { s.sub(t).changedOnWrites(namespace, spoken) })
			}
		})
	}
	s.Run("two policies of two versions", func(t *testing.T) { twoPolicies(s.sub(t)) })
	for name, c := range map[string]struct{ hook, mutations string }{
		"webhook-scale": {hook: "/scale"}, "policy-patches-scale": {mutations: scalePatch}, "policy-applies-scale": {mutations: scaleApply},
	} {
		s.Run(name, func(t *testing.T) {
			s := s.sub(t)
			namespace := s.namespace("suite-"+name, name)
			s.installChanger(h, name, "federateddeployments/scale", "v1beta1", c.hook, c.mutations)
			s.changedOnScale(namespace)
		})
	}
}

// installChanger makes a mutating policy or webhook for namespaces with its name as label.
func (s *suite) installChanger(h *hooks, name, resource, rule, hook, mutations string) {
	s.Helper()
	rules := fmt.Sprintf(`[{apiGroups: [types.kubefed.io], apiVersions: [%q], operations: [CREATE, UPDATE], resources: [%s]}]`, rule, resource)
	namespaces := fmt.Sprintf(`{matchLabels: {%s: %s}}`, label, name)
	if mutations == "" {
		s.create(admissionRegistration("mutatingwebhookconfigurations"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: admissionsuite-%[1]s}
webhooks:
- name: %[1]s.admissionsuite.test
  clientConfig: %[2]s
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  namespaceSelector: %[3]s
  matchConditions: [{name: once, expression: "!has(object.metadata.labels) || !('changed' in object.metadata.labels)"}]
  rules: %[4]s
`, name, h.clientConfig(hook), namespaces, rules))
		return
	}
	s.create(admissionRegistration("mutatingadmissionpolicies"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: admissionsuite-%s}
spec:
  failurePolicy: Ignore
  reinvocationPolicy: Never
  matchConstraints: {resourceRules: %s}
  matchConditions: [{name: once, expression: "!has(object.metadata.labels) || !('changed' in object.metadata.labels)"}]
  mutations:%s
`, name, rules, mutations))
	s.bind("mutatingadmissionpolicy", "admissionsuite-"+name, "matchResources: {namespaceSelector: "+namespaces+"}")
}

// awaitChange waits until a dry run is changed.
func (s *suite) awaitChange(namespace string) {
	s.Helper()
	s.eventually("something is changed in "+namespace, func(ctx context.Context) error {
		o, err := s.client.Resource(deployments("v1beta2")).Namespace(namespace).Create(ctx, s.cellObject("v1beta2", namespace, "probe"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && o.GetLabels()["changed"] != "yes" {
			err = fmt.Errorf("labels are %v", o.GetLabels())
		}
		return err
	})
}

func (s *suite) changedOnWrites(namespace, spoken string) {
	name := "web-" + spoken
	c := s.client.Resource(deployments(spoken)).Namespace(namespace)
	created, err := c.Create(s.Context(), s.cellObject(spoken, namespace, name), metav1.CreateOptions{})
	if err != nil {
		s.Fatal(err)
	}
	s.changedAndWhole(namespace, name, "create")
	without := created.DeepCopy()
	without.SetResourceVersion("") // the engine writes too
	without.SetLabels(nil)
	if err := unstructured.SetNestedSlice(without.Object, []any{map[string]any{"name": "main", "image": "main:1"}}, "spec", "template", "spec", "template", "spec", "containers"); err != nil {
		s.Fatal(err)
	}
	if spoken == "v1beta1" {
		without.SetAnnotations(nil) // a stock client keeps nothing that it does not know
	}
	if _, err := c.Update(s.Context(), without, metav1.UpdateOptions{}); err != nil {
		s.Fatal(err)
	}
	s.changedAndWhole(namespace, name, "update")

	unknown := s.cellObject(spoken, namespace, name+"-unknown")
	if err := unstructured.SetNestedField(unknown.Object, "kept", "spec", "template", "spec", "unknown"); err != nil {
		s.Fatal(err)
	}
	got, err := c.Create(s.Context(), unknown, metav1.CreateOptions{FieldValidation: metav1.FieldValidationIgnore, DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		s.Fatal(err)
	}
	kept, _, _ := unstructured.NestedString(got.Object, "spec", "template", "spec", "unknown")
	if kept != "kept" || got.GetLabels()["changed"] != "yes" {
		s.Errorf("a field that the target kind does not have: it is %q, and labels are %v, want it kept and the object changed", kept, got.GetLabels())
	}
}

// changedAndWhole looks for the changes, and for all that was there before.
func (s *suite) changedAndWhole(namespace, name, after string) {
	s.Helper()
	got, err := s.client.Resource(deployments("v1beta2")).Namespace(namespace).Get(s.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	want := s.cellObject("v1beta2", namespace, name)
	containers := []any{map[string]any{"name": "main", "image": "main:1"}, map[string]any{"name": "sidecar", "image": "sidecar:1"}}
	if err := unstructured.SetNestedSlice(want.Object, containers, "spec", "template", "spec", "template", "spec", "containers"); err != nil {
		s.Fatal(err)
	}
	if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
		s.Errorf("spec after %s (-want +got):\n%s", after, diff)
	}
	if diff := cmp.Diff(map[string]string{"changed": "yes"}, got.GetLabels()); diff != "" {
		s.Errorf("labels after %s (-want +got):\n%s", after, diff)
	}
}

// twoPolicies has a policy that matches v1beta1 and one that matches v1beta2 change the same
// object.
func twoPolicies(s *suite) {
	namespace := s.namespace("suite-two-policies", "two")
	for _, version := range []string{"v1beta1", "v1beta2"} {
		name := "admissionsuite-two-" + version
		s.create(admissionRegistration("mutatingadmissionpolicies"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Ignore
  reinvocationPolicy: Never
  matchConstraints: {resourceRules: [{apiGroups: [types.kubefed.io], apiVersions: [%[2]s], operations: [CREATE, UPDATE], resources: [federateddeployments]}]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: Object.metadata.labels{%[2]s: "yes"}}}'}
`, name, version))
		s.bind("mutatingadmissionpolicy", name, "matchResources: {namespaceSelector: {matchLabels: {"+label+": two}}}")
	}
	for _, spoken := range []string{"v1beta2", "v1beta1"} {
		s.eventually("both policies change what is written in "+spoken, func(ctx context.Context) error {
			o, err := s.client.Resource(deployments(spoken)).Namespace(namespace).Create(ctx, s.cellObject(spoken, namespace, "web"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err == nil && len(o.GetLabels()) != 2 {
				err = fmt.Errorf("labels are %v", o.GetLabels())
			}
			return err
		})
	}
}

// changedOnScale has replicas set to 4 whatever a client scales to.
func (s *suite) changedOnScale(namespace string) {
	c := s.client.Resource(deployments("v1beta2")).Namespace(namespace)
	if _, err := c.Create(s.Context(), s.cellObject("v1beta2", namespace, "web"), metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
	s.eventually("scaling is changed", func(ctx context.Context) error {
		scale, err := c.Patch(ctx, "web", "application/merge-patch+json", []byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{}, "scale")
		if err != nil {
			return err
		}
		if replicas, _, _ := unstructured.NestedInt64(scale.Object, "spec", "replicas"); replicas != 4 {
			return fmt.Errorf("replicas are %d", replicas)
		}
		return nil
	})
	o, err := c.Get(s.Context(), "web", metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	if replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "template", "spec", "replicas"); replicas != 4 {
		s.Errorf("the template has %d replicas, want 4", replicas)
	}
}

// saysMore looks at what a webhook says besides its verdict.
func saysMore(s *suite) {
	h := startHooks(s, map[string]func(*admissionv1.AdmissionRequest, *admissionv1.AdmissionResponse){
		"/warn": func(request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) {
			response.Warnings = []string{"seen: " + seen(request.Object.Raw)}
		},
	})
	namespace := s.namespace("suite-warnings", "warnings")
	s.create(admissionRegistration("validatingwebhookconfigurations"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: admissionsuite-warnings}
webhooks:
- name: warnings.admissionsuite.test
  clientConfig: %s
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  namespaceSelector: {matchLabels: {%s: warnings}}
  rules: [{apiGroups: [types.kubefed.io], apiVersions: [v1beta1], operations: [CREATE], resources: [federateddeployments]}]
`, h.clientConfig("/warn"), label))
	want := "seen: " + inWords("v1beta1", namespace, "rz00a", "rz01a")
	s.eventually("the warning of the webhook", func(ctx context.Context) error {
		s.warnings.texts = nil
		_, err := s.client.Resource(deployments("v1beta2")).Namespace(namespace).Create(ctx, s.cellObject("v1beta2", namespace, "web"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if all := strings.Join(s.warnings.texts, "\n"); err == nil && !strings.Contains(all, want) {
			err = fmt.Errorf("got %q, want %q", all, want)
		}
		return err
	})
}

// params has policies ask objects of several kinds for what they deny.
func params(s *suite) {
	namespace := s.namespace("suite-params", "params")
	s.create(definitions, "", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: limits.admissionsuite.test}
spec:
  group: admissionsuite.test
  scope: Namespaced
  names: {kind: Limit, plural: limits}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`)
	limits := schema.GroupVersionResource{Group: "admissionsuite.test", Version: "v1", Resource: "limits"}
	s.create(configMaps, namespace, "{apiVersion: v1, kind: ConfigMap, metadata: {name: limit}, data: {sentence: from a ConfigMap}}")
	s.create(federatedConfigMaps("v1beta2"), namespace, "{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: limit}, spec: {template: {data: {sentence: from a federated one}}, placement: {topologies: [{name: m1}]}}}")
	limit := s.parse("{apiVersion: admissionsuite.test/v1, kind: Limit, metadata: {name: limit}, sentence: from a custom resource}")
	s.eventually("the custom resource is made", func(ctx context.Context) error {
		_, err := s.client.Resource(limits).Namespace(namespace).Create(ctx, limit, metav1.CreateOptions{})
		return err
	})
	for name, tc := range map[string]struct{ apiVersion, kind, expression, want string }{
		"configmap": {"v1", "ConfigMap", "string(params.data.sentence)", "from a ConfigMap"},
		"federated": {"types.kubefed.io/v1beta1", "FederatedConfigMap", "string(params.spec.template.data.sentence) + ' in ' + string(params.spec.placement.clusters[0].name)", "from a federated one in m1"},
		"custom":    {"admissionsuite.test/v1", "Limit", "string(params.sentence)", "from a custom resource"},
	} {
		s.Run(name, func(t *testing.T) {
			s := s.sub(t)
			s.create(admissionRegistration("validatingadmissionpolicies"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: admissionsuite-params-%s}
spec:
  failurePolicy: Ignore
  paramKind: {apiVersion: %s, kind: %s}
  matchConstraints: {resourceRules: [{apiGroups: [types.kubefed.io], apiVersions: [v1beta1], operations: [CREATE], resources: [federateddeployments]}]}
  validations: [{expression: "false", messageExpression: %q}]
`, name, tc.apiVersion, tc.kind, tc.expression))
			s.bind("validatingadmissionpolicy", "admissionsuite-params-"+name, "validationActions: [Deny], paramRef: {name: limit, parameterNotFoundAction: Deny}, matchResources: {namespaceSelector: {matchLabels: {"+label+": params}}}")
			s.eventually("a denial with what the param says", func(ctx context.Context) error {
				_, err := s.client.Resource(deployments("v1beta2")).Namespace(namespace).Create(ctx, s.cellObject("v1beta2", namespace, "web"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					return fmt.Errorf("got %v", err)
				}
				return nil
			})
		})
	}
}

// staticKinds has policies and webhooks for all that is served hold for a kind of ours that is
// no federated one.
func staticKinds(s *suite) {
	const system = "kube-federation-system"
	h := startHooks(s, map[string]func(*admissionv1.AdmissionRequest, *admissionv1.AdmissionResponse){
		"/annotate": patch(`[{"op":"add","path":"/metadata/annotations","value":{"by-webhook":"yes"}}]`),
		"/deny": func(request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) {
			var o unstructured.Unstructured
			if json.Unmarshal(request.Object.Raw, &o.Object) == nil && o.GetLabels()["denied-by"] == "webhook" {
				deny(request, response)
			}
		},
	})
	selector := "{matchLabels: {" + label + ": static}}"
	all := `[{apiGroups: ["*"], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: ["*/*"]}]`
	for kind, path := range map[string]string{"Mutating": "/annotate", "Validating": "/deny"} {
		s.create(admissionRegistration(strings.ToLower(kind)+"webhookconfigurations"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: %sWebhookConfiguration
metadata: {name: admissionsuite-static}
webhooks:
- {name: static.admissionsuite.test, clientConfig: %s, admissionReviewVersions: [v1], sideEffects: None, failurePolicy: Ignore, objectSelector: %s, rules: %s}
`, kind, h.clientConfig(path), selector, all))
	}
	s.create(admissionRegistration("validatingadmissionpolicies"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: admissionsuite-static}
spec:
  failurePolicy: Ignore
  matchConstraints: {objectSelector: %s, resourceRules: %s}
  validations: [{expression: "!('denied-by' in object.metadata.labels) || object.metadata.labels['denied-by'] != 'policy'", messageExpression: "'denied to ' + object.spec.apiEndpoint"}]
`, selector, all))
	s.bind("validatingadmissionpolicy", "admissionsuite-static", "validationActions: [Deny]")
	s.create(admissionRegistration("mutatingadmissionpolicies"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: admissionsuite-static}
spec:
  failurePolicy: Ignore
  reinvocationPolicy: Never
  matchConstraints: {objectSelector: %s, resourceRules: %s}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: 'Object{spec: Object.spec{apiEndpoint: "https://changed.example:6443"}}'}
`, selector, all))
	s.bind("mutatingadmissionpolicy", "admissionsuite-static", "matchResources: {objectSelector: "+selector+"}")

	cluster := func(more string) *unstructured.Unstructured {
		return s.parse(fmt.Sprintf(`{apiVersion: core.kubefed.io/v1beta1, kind: KubeFedCluster, metadata: {name: admissionsuite, namespace: %s, labels: {%s: static%s}}, spec: {apiEndpoint: "https://m1.example:6443", caBundle: "", secretRef: {name: none}}}`, system, label, more))
	}
	create := func(ctx context.Context, more string) (*unstructured.Unstructured, error) {
		return s.client.Resource(clusters).Namespace(system).Create(ctx, cluster(more), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	s.eventually("a KubeFedCluster is changed by webhook and policy", func(ctx context.Context) error {
		o, err := create(ctx, "")
		if err != nil {
			return err
		}
		endpoint, _, _ := unstructured.NestedString(o.Object, "spec", "apiEndpoint")
		if endpoint != "https://changed.example:6443" || o.GetAnnotations()["by-webhook"] != "yes" {
			return fmt.Errorf("endpoint is %s, annotations are %v", endpoint, o.GetAnnotations())
		}
		return nil
	})
	for by, want := range map[string]string{"policy": "denied to https://changed.example:6443", "webhook": "CREATE in v1beta1"} {
		s.eventually("a KubeFedCluster is denied by the "+by, func(ctx context.Context) error {
			_, err := create(ctx, ", denied-by: "+by)
			if err == nil || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("got %v, want %s", err, want)
			}
			return nil
		})
	}
}
