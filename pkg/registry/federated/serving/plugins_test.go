package serving

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/openapi"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// hostClient is a client of a host that publishes schemas.
type hostClient struct {
	kubernetes.Interface
	schemas openapi.Client
}

func (c hostClient) Discovery() discovery.DiscoveryInterface {
	return hostDiscovery{c.Interface.Discovery(), c.schemas}
}

type hostDiscovery struct {
	discovery.DiscoveryInterface
	schemas openapi.Client
}

func (d hostDiscovery) OpenAPIV3() openapi.Client { return d.schemas }

// anySchemas publishes, for every group version that is asked for, that its kinds are objects
// of any form.
type anySchemas []schema.GroupVersionKind

func (s anySchemas) Paths() (map[string]openapi.GroupVersion, error) {
	out := map[string]openapi.GroupVersion{}
	for _, gvk := range s {
		out["apis/"+gvk.GroupVersion().String()] = anySchema(gvk)
	}
	return out, nil
}

type anySchema schema.GroupVersionKind

func (s anySchema) ServerRelativeURL() string { return s.Group + s.Version }

func (s anySchema) Schema(string) ([]byte, error) {
	return json.Marshal(map[string]any{"openapi": "3.0.0", "components": map[string]any{"schemas": map[string]any{s.Kind: map[string]any{
		"type": "object", "x-kubernetes-preserve-unknown-fields": true,
		"x-kubernetes-group-version-kind": []any{map[string]any{"group": s.Group, "version": s.Version, "kind": s.Kind}},
	}}}})
}

// startPlugins runs the library's plugins of policies, with the given policies and bindings.
func startPlugins(t *testing.T, objects ...runtime.Object) admission.Interface {
	t.Helper()
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	host := fake.NewClientset(objects...)
	client := hostClient{host, anySchemas{federated.V1beta1.WithKind("FederatedDeployment"), federated.V1beta2.WithKind("FederatedDeployment"), wire.ScaleKind}}
	informerFactory := informers.NewSharedInformerFactory(host, 0)
	mutator, err := mutating.NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	validator, err := validating.NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	plugins := []admission.Interface{mutator, validator}
	initialize := initializer.New(client, dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()), informerFactory, authorizerfactory.NewAlwaysAllowAuthorizer(),
		utilfeature.DefaultFeatureGate, utilcompatibility.DefaultBuildEffectiveVersion(), t.Context().Done(), meta.NewDefaultRESTMapper(nil))
	for _, p := range plugins {
		initialize.Initialize(p)
		if err := p.(admission.InitializationValidator).ValidateInitialization(); err != nil {
			t.Fatal(err)
		}
	}
	informerFactory.Start(t.Context().Done())
	informerFactory.WaitForCacheSync(t.Context().Done())
	return withWords(admission.NewChainHandler(plugins...))
}

// read reads YAML into an object.
func read[T any](t *testing.T, text string) *T {
	t.Helper()
	var o T
	if err := yaml.UnmarshalStrict([]byte(text), &o); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return &o
}

// denies is a policy that says what it sees, under Ignore: if it cannot be evaluated, nothing
// is denied.
func denies(t *testing.T, version string) []runtime.Object {
	return []runtime.Object{read[admissionregistrationv1.ValidatingAdmissionPolicy](t, `
metadata: {name: deny}
spec:
  failurePolicy: Ignore
  matchConstraints: {namespaceSelector: {}, objectSelector: {}, matchPolicy: Equivalent, resourceRules: [{apiGroups: [types.kubefed.io], apiVersions: ["`+version+`"], operations: ["*"], resources: ["*/*"]}]}
  variables:
  - name: shown
    expression: "object != null ? object : oldObject"
  validations:
  - expression: "false"
    messageExpression: "request.kind.version + ' ' + (has(variables.shown.spec.replicas) ? string(variables.shown.spec.replicas) : has(variables.shown.spec.placement.clusters) ? variables.shown.spec.placement.clusters[0].name : variables.shown.spec.placement.topologies[0].name)"
`), read[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, `
metadata: {name: deny}
spec: {policyName: deny, validationActions: [Deny]}
`)}
}

func TestPoliciesUnderIgnoreDenyInTheVersionThatTheyMatch(t *testing.T) {
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 7}}
	for rule, spokenIn := range map[string]map[schema.GroupVersion]string{
		"v1beta1": {federated.V1beta1: "v1beta1 rz00a.shop", federated.V1beta2: "v1beta1 rz00a.shop"},
		"v1beta2": {federated.V1beta1: "v1beta2 rz00a", federated.V1beta2: "v1beta2 rz00a"},
		"*":       {federated.V1beta1: "v1beta1 rz00a.shop", federated.V1beta2: "v1beta2 rz00a"},
	} {
		plugins := startPlugins(t, denies(t, rule)...)
		for spoken, want := range spokenIn {
			resource, kind := spoken.WithResource("federateddeployments"), spoken.WithKind("FederatedDeployment")
			for name, a := range map[string]struct {
				attributes admission.Attributes
				want       string
			}{
				"create":           {admission.NewAttributesRecord(cellObject(t), nil, kind, "shop", "web", resource, "", admission.Create, nil, false, nil), want},
				"update":           {admission.NewAttributesRecord(cellObject(t), cellObject(t), kind, "shop", "web", resource, "", admission.Update, nil, false, nil), want},
				"update of status": {admission.NewAttributesRecord(cellObject(t), cellObject(t), kind, "shop", "web", resource, "status", admission.Update, nil, false, nil), want},
				"update of scale":  {admission.NewAttributesRecord(scale, scale, wire.ScaleKind, "shop", "web", resource, "scale", admission.Update, nil, false, nil), "v1 7"},
				"delete":           {admission.NewAttributesRecord(nil, cellObject(t), kind, "shop", "web", resource, "", admission.Delete, nil, false, nil), want},
			} {
				err := plugins.(admission.ValidationInterface).Validate(t.Context(), a.attributes, newScope())
				if err == nil || !strings.HasSuffix(err.Error(), "denied request: "+a.want) {
					t.Errorf("policy for %s, %s in %s: got %v, want %q", rule, name, spoken.Version, err, a.want)
				}
			}
		}
	}
}

func TestPoliciesWriteIntoTheAuditWhatTheySee(t *testing.T) {
	plugins := admission.WithAudit(startPlugins(t, read[admissionregistrationv1.ValidatingAdmissionPolicy](t, `
metadata: {name: note}
spec:
  failurePolicy: Ignore
  matchConstraints: {namespaceSelector: {}, objectSelector: {}, matchPolicy: Equivalent, resourceRules: [{apiGroups: [types.kubefed.io], apiVersions: [v1beta1], operations: ["*"], resources: ["*"]}]}
  auditAnnotations: [{key: placed, valueExpression: "string(object.spec.placement.clusters[0].name)"}]
`), read[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, `
metadata: {name: note}
spec: {policyName: note, validationActions: [Audit]}
`)))
	ctx := audit.WithAuditContext(t.Context())
	if err := audit.AuditContextFrom(ctx).Init(audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}, nil); err != nil {
		t.Fatal(err)
	}
	if err := plugins.(admission.ValidationInterface).Validate(ctx, updateIn(federated.V1beta2, cellObject(t), cellObject(t)), newScope()); err != nil {
		t.Fatal(err)
	}
	if got, _ := audit.AuditContextFrom(ctx).GetEventAnnotation("note/placed"); got != "rz00a.shop" {
		t.Errorf("the audit event says %q, want rz00a.shop", got)
	}
}

// mutates is a policy that makes the same mutation twice: the second meets what the first has
// left.
func mutates(t *testing.T, name, version, resource, mutation string) []runtime.Object {
	return []runtime.Object{read[admissionregistrationv1.MutatingAdmissionPolicy](t, `
metadata: {name: `+name+`}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints: {namespaceSelector: {}, objectSelector: {}, matchPolicy: Equivalent, resourceRules: [{apiGroups: [types.kubefed.io], apiVersions: ["`+version+`"], operations: ["*"], resources: ["`+resource+`"]}]}
  mutations:
  - `+mutation+`
  - `+mutation+`
`), read[admissionregistrationv1.MutatingAdmissionPolicyBinding](t, `
metadata: {name: `+name+`}
spec: {policyName: `+name+`}
`)}
}

func TestMutatingPoliciesOfBothVersionsChangeOneObject(t *testing.T) {
	plugins := startPlugins(t, append(
		mutates(t, "one", "v1beta1", "federateddeployments", `{patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: Object.metadata.labels{one: "yes"}}}'}}`),
		mutates(t, "two", "v1beta2", "federateddeployments", `{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: "replace", path: "/spec/template/spec/replicas", value: 4}]'}}`)...)...)
	for _, spoken := range []schema.GroupVersion{federated.V1beta1, federated.V1beta2} {
		o := cellObject(t)
		if err := plugins.(admission.MutationInterface).Admit(t.Context(), updateIn(spoken, o, cellObject(t)), newScope()); err != nil {
			t.Errorf("%s: %v", spoken.Version, err)
			continue
		}
		want := cellObject(t)
		want.Labels = map[string]string{"one": "yes"}
		want.Spec.Template = []byte(`{"spec":{"replicas":4}}`)
		if diff := cmp.Diff(inJSON(t, want), inJSON(t, o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", spoken.Version, diff)
		}
	}
}

func TestMutatingPoliciesChangeScales(t *testing.T) {
	for name, mutation := range map[string]string{
		"patch": `{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: "replace", path: "/spec/replicas", value: 4}]'}}`,
		"apply": `{patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{spec: Object.spec{replicas: 4}}'}}`,
	} {
		plugins := startPlugins(t, mutates(t, "scale", "v1beta1", "federateddeployments/scale", mutation)...)
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 7}}
		a := admission.NewAttributesRecord(scale, scale.DeepCopy(), wire.ScaleKind, "shop", "web", federated.V1beta2.WithResource("federateddeployments"), "scale", admission.Update, &metav1.UpdateOptions{}, false, nil)
		if err := plugins.(admission.MutationInterface).Admit(t.Context(), a, newScope()); err != nil || scale.Spec.Replicas != 4 {
			t.Errorf("%s: got %d replicas and %v, want 4", name, scale.Spec.Replicas, err)
		}
	}
}
