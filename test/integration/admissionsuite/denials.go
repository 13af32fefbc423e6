package admissionsuite

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// guards are the ways to deny, all under failurePolicy Ignore: one that is not evaluated
// denies nothing.
var guards = []guard{
	{name: "policy-v1beta1", policy: true, rule: "v1beta1"},
	{name: "policy-v1beta1-exact", policy: true, rule: "v1beta1", exact: true},
	{name: "policy-v1beta2", policy: true, rule: "v1beta2"},
	{name: "policy-any", policy: true, rule: "*"},
	{name: "webhook-v1beta1", rule: "v1beta1"},
	{name: "webhook-v1beta1-exact", rule: "v1beta1", exact: true},
	{name: "webhook-v1beta2", rule: "v1beta2"},
	{name: "webhook-any", rule: "*"},
}

type guard struct {
	name   string
	policy bool   // or else a webhook
	rule   string // apiVersions
	exact  bool
}

func (g guard) matchPolicy() string {
	if g.exact {
		return "Exact"
	}
	return "Equivalent"
}

// shows is the version in which a client's request is shown; "" if it is not.
func (g guard) shows(spoken string) string {
	switch {
	case g.rule == "*":
		return spoken
	case g.exact && g.rule != spoken:
		return ""
	}
	return g.rule
}

// install makes the policy or webhook, for namespaces that have its name as a label.
func (g guard) install(s *suite, h *hooks) {
	s.Helper()
	rules := fmt.Sprintf(`[{apiGroups: [types.kubefed.io], apiVersions: [%q], operations: ["*"], resources: ["federateddeployments", "federateddeployments/*"]}]`, g.rule)
	namespaces := fmt.Sprintf(`{matchLabels: {%s: %s}}`, label, g.name)
	if !g.policy {
		s.create(admissionRegistration("validatingwebhookconfigurations"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: admissionsuite-%[1]s}
webhooks:
- name: %[1]s.admissionsuite.test
  clientConfig: %[2]s
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  matchPolicy: %[3]s
  namespaceSelector: %[4]s
  rules: %[5]s
`, g.name, h.clientConfig("/deny"), g.matchPolicy(), namespaces, rules))
		return
	}
	s.create(admissionRegistration("validatingadmissionpolicies"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: admissionsuite-%s}
spec:
  failurePolicy: Ignore
  matchConstraints: {matchPolicy: %s, resourceRules: %s}
  variables:
  - {name: new, expression: %q}
  - {name: old, expression: %q}
  validations:
  - expression: "false"
    messageExpression: "request.operation + ' in ' + request.kind.version + ': new is ' + variables.new + '; old is ' + variables.old + '.'"
`, g.name, g.matchPolicy(), rules, seenByCEL("object"), seenByCEL("oldObject")))
	s.bind("validatingadmissionpolicy", "admissionsuite-"+g.name, "validationActions: [Deny], matchResources: {namespaceSelector: "+namespaces+"}")
}

// seenByCEL is the expression of what seen is in Go.
func seenByCEL(variable string) string {
	return strings.ReplaceAll(`X == null ? 'none' : has(X.spec.replicas) ? 'replicas ' + string(X.spec.replicas) : `+
		`has(X.spec.placement.clusters) ? 'clusters ' + X.spec.placement.clusters.map(c, string(c.name)).join(',') : `+
		`'topologies ' + X.spec.placement.topologies.map(c, string(c.name)).join(',')`, "X", variable)
}

// bind makes the binding of a policy of the same name.
func (s *suite) bind(kind, name, spec string) {
	s.Helper()
	kinds := map[string]string{"validatingadmissionpolicy": "ValidatingAdmissionPolicyBinding", "mutatingadmissionpolicy": "MutatingAdmissionPolicyBinding"}
	s.create(admissionRegistration(kind+"bindings"), "", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: %s
metadata: {name: %s}
spec: {policyName: %s, %s}
`, kinds[kind], name, name, spec))
}

// client is one of a version in a namespace that is guarded.
type client struct {
	*suite
	dynamic.ResourceInterface
	version, namespace string
}

// verbs are what is to be denied, for the stored object "web" or another one. Each has what
// the webhook or policy is to see of the new and of the old object.
var verbs = []struct {
	name, operation string
	object, old     string // "cells", "replicas N" or "none"
	do              func(ctx context.Context, c client) error
}{
	{"create", "CREATE", "cells", "none", func(ctx context.Context, c client) error {
		_, err := c.Create(ctx, c.cellObject(c.version, c.namespace, "other"), metav1.CreateOptions{})
		return err
	}},
	{"create with generateName", "CREATE", "cells", "none", func(ctx context.Context, c client) error {
		o := c.cellObject(c.version, c.namespace, "")
		unstructured.RemoveNestedField(o.Object, "metadata", "name")
		o.SetGenerateName("other-")
		_, err := c.Create(ctx, o, metav1.CreateOptions{})
		return err
	}},
	{"dry run of a create", "CREATE", "cells", "none", func(ctx context.Context, c client) error {
		_, err := c.Create(ctx, c.cellObject(c.version, c.namespace, "other"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}},
	{"apply that creates", "CREATE", "cells", "none", func(ctx context.Context, c client) error {
		_, err := c.Apply(ctx, "other", c.cellObject(c.version, c.namespace, "other"), metav1.ApplyOptions{FieldManager: "suite"})
		return err
	}},
	{"update", "UPDATE", "cells", "cells", func(ctx context.Context, c client) error {
		o, err := c.Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		o.SetResourceVersion("") // the engine writes too
		o.SetLabels(map[string]string{"changed": "yes"})
		_, err = c.Update(ctx, o, metav1.UpdateOptions{})
		return err
	}},
	{"update that says no topology", "UPDATE", "cells", "cells", func(ctx context.Context, c client) error {
		o := c.cellObject(c.version, c.namespace, "web")
		o.SetAnnotations(nil)
		o.SetLabels(map[string]string{"changed": "yes"})
		_, err := c.Update(ctx, o, metav1.UpdateOptions{})
		return err
	}},
	{"merge patch", "UPDATE", "cells", "cells", func(ctx context.Context, c client) error {
		_, err := c.Patch(ctx, "web", "application/merge-patch+json", []byte(`{"metadata":{"labels":{"changed":"yes"}}}`), metav1.PatchOptions{})
		return err
	}},
	{"apply", "UPDATE", "cells", "cells", func(ctx context.Context, c client) error {
		o := c.parse(fmt.Sprintf("{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: web, labels: {changed: 'yes'}}}", c.version))
		_, err := c.Apply(ctx, "web", o, metav1.ApplyOptions{FieldManager: "suite"})
		return err
	}},
	{"update of the status", "UPDATE", "cells", "cells", func(ctx context.Context, c client) error {
		o, err := c.Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		o.SetResourceVersion("")
		if err := unstructured.SetNestedField(o.Object, int64(7), "status", "observedGeneration"); err != nil {
			return err
		}
		_, err = c.UpdateStatus(ctx, o, metav1.UpdateOptions{})
		return err
	}},
	{"update of the scale", "UPDATE", "replicas 7", "replicas 1", func(ctx context.Context, c client) error {
		scale, err := c.Get(ctx, "web", metav1.GetOptions{}, "scale")
		if err != nil {
			return err
		}
		scale.SetResourceVersion("")
		if err := unstructured.SetNestedField(scale.Object, int64(7), "spec", "replicas"); err != nil {
			return err
		}
		_, err = c.Update(ctx, scale, metav1.UpdateOptions{}, "scale")
		return err
	}},
	{"patch of the scale", "UPDATE", "replicas 7", "replicas 1", func(ctx context.Context, c client) error {
		_, err := c.Patch(ctx, "web", "application/merge-patch+json", []byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{}, "scale")
		return err
	}},
	{"delete", "DELETE", "none", "cells", func(ctx context.Context, c client) error {
		return c.Delete(ctx, "web", metav1.DeleteOptions{})
	}},
	{"delete of the collection", "DELETE", "none", "cells", func(ctx context.Context, c client) error {
		return c.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}},
}

// denials has every guard deny every verb to clients of both versions.
func denials(s *suite) {
	h := startHooks(s, map[string]func(*admissionv1.AdmissionRequest, *admissionv1.AdmissionResponse){"/deny": deny})
	for _, g := range guards {
		s.Run(g.name, func(t *testing.T) {
			s := s.sub(t)
			namespace := s.namespace("suite-"+g.name, "none")
			before, err := s.client.Resource(deployments("v1beta2")).Namespace(namespace).Create(t.Context(), s.cellObject("v1beta2", namespace, "web"), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			g.install(s, h)
			s.guard(namespace, g.name)
			t.Cleanup(func() { s.sub(t).unguard(namespace) })
			for _, spoken := range []string{"v1beta2", "v1beta1"} {
				t.Run("spoken to in "+spoken, func(t *testing.T) { g.denies(s.sub(t), namespace, spoken) })
			}
			after, err := s.client.Resource(deployments("v1beta2")).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(after.Items) != 1 {
				t.Fatalf("there are %d objects after all was denied, want 1", len(after.Items))
			}
			if diff := cmp.Diff(before.Object["spec"], after.Items[0].Object["spec"]); diff != "" {
				t.Errorf("spec after all was denied (-want +got):\n%s", diff)
			}
			if got := after.Items[0].GetLabels(); len(got) > 0 {
				t.Errorf("labels are %v after all was denied", got)
			}
		})
	}
}

// unguard lets the namespace be deleted.
func (s *suite) unguard(namespace string) {
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, label)
	_, _ = s.client.Resource(namespaces).Patch(context.WithoutCancel(s.Context()), namespace, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
}

func (g guard) denies(s *suite, namespace, spoken string) {
	c := client{s, s.client.Resource(deployments(spoken)).Namespace(namespace), spoken, namespace}
	shown := g.shows(spoken)
	dryRun := func(ctx context.Context) error {
		_, err := c.Create(ctx, c.cellObject(spoken, namespace, "other"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	if shown == "" {
		if err := dryRun(s.Context()); err != nil {
			s.Errorf("a request in %s: %v, and it does not match", spoken, err)
		}
		return
	}
	s.eventually("something is denied in "+namespace, func(ctx context.Context) error {
		if err := dryRun(ctx); err == nil || !strings.Contains(err.Error(), " in v1beta") {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	cells := inWords(shown, namespace, "rz00a", "rz01a")
	words := func(what string) string { return strings.ReplaceAll(what, "cells", cells) }
	for _, verb := range verbs {
		s.Run(verb.name, func(t *testing.T) {
			c := c
			c.suite = s.sub(t)
			version := shown
			if strings.HasPrefix(verb.object, "replicas") {
				version = "v1" // a Scale has but one
			}
			want := sentence(version, verb.operation, words(verb.object), words(verb.old))
			if err := verb.do(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
