package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTypesInAdmissionPoliciesAreChecked(t *testing.T) {
	f := newFixture(t)
	policies := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}
	policy := func(name, group, version, resource, expression string) {
		f.create(policies, "", `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: `+name+`}, spec: {
			matchConstraints: {resourceRules: [{apiGroups: [`+group+`], apiVersions: [`+version+`], operations: [CREATE], resources: [`+resource+`]}]},
			validations: [{expression: "`+expression+`"}]}}`)
	}
	policy("right", "types.kubefed.io", "v1beta1", "federatedconfigmaps", "!has(object.spec.placement)")
	policy("wrong", "types.kubefed.io", "v1beta1", "federatedconfigmaps", "object.spec.placements == null")
	policy("native", "''", "v1", "configmaps", "object.dat.size() > 0")
	for name, want := range map[string]string{"right": "", "wrong": "undefined field 'placements'", "native": "undefined field 'dat'"} {
		f.eventually("the types in the policy "+name+" are checked", func(context.Context) error {
			checked := f.get(policies, "", name)
			if observed, _, _ := unstructured.NestedInt64(checked.Object, "status", "observedGeneration"); observed != checked.GetGeneration() {
				return fmt.Errorf("status is %v", checked.Object["status"])
			}
			warnings, _, _ := unstructured.NestedSlice(checked.Object, "status", "typeChecking", "expressionWarnings")
			if (len(warnings) == 0) != (want == "") || !strings.Contains(fmt.Sprint(warnings), want) {
				t.Errorf("%s: got warnings %v, want %q", name, warnings, want)
			}
			return nil
		})
	}
}
