package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionshelpers "k8s.io/apiextensions-apiserver/pkg/apihelpers"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/generic"
)

var ours = newReservedGroups(&Extension{GroupVersions: map[schema.GroupVersion]Priority{{Group: "types.kubefed.io", Version: "v1beta2"}: {}}})

func definition(group string, change ...func(*apiextensions.CustomResourceDefinition)) *apiextensions.CustomResourceDefinition {
	crd := &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things." + group, Finalizers: []string{"a", "b"}},
		Spec:       apiextensions.CustomResourceDefinitionSpec{Group: group},
	}
	for _, c := range change {
		c(crd)
	}
	return crd
}

func TestCRDsOfServedGroupsAreRefused(t *testing.T) {
	deleted := func(crd *apiextensions.CustomResourceDefinition) { crd.DeletionTimestamp = &metav1.Time{} }
	fewer := func(crd *apiextensions.CustomResourceDefinition) { crd.Finalizers = crd.Finalizers[:1] }
	for name, test := range map[string]struct {
		operation   admission.Operation
		subresource string
		object, old *apiextensions.CustomResourceDefinition
		refused     bool
	}{
		"a new one":                       {admission.Create, "", definition("types.kubefed.io"), nil, true},
		"a new one of the API of CRDs":    {admission.Create, "", definition("apiextensions.k8s.io"), nil, true},
		"a change of a stored one":        {admission.Update, "", definition("types.kubefed.io"), definition("types.kubefed.io"), true},
		"its status":                      {admission.Update, "status", definition("types.kubefed.io"), definition("types.kubefed.io"), false},
		"fewer finalizers":                {admission.Update, "", definition("types.kubefed.io", fewer), definition("types.kubefed.io"), false},
		"a change of one that is leaving": {admission.Update, "", definition("types.kubefed.io", deleted), definition("types.kubefed.io", deleted), false},
		"another group":                   {admission.Create, "", definition("example.com"), nil, false},
		"a group that ends in the same":   {admission.Create, "", definition("my.types.kubefed.io"), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			attributes := admission.NewAttributesRecord(test.object, old(test.old), apiextensions.Kind("CustomResourceDefinition").WithVersion("v1"),
				"", test.object.Name, apiextensions.Resource("customresourcedefinitions").WithVersion("v1"), test.subresource, test.operation, nil, false, nil)
			err := ours.Validate(t.Context(), attributes, nil)
			if refused := apierrors.IsInvalid(err); refused != test.refused || (err != nil) != test.refused {
				t.Fatalf("got %v, want refused: %v", err, test.refused)
			}
			if test.refused && !strings.Contains(err.Error(), "spec.group: Forbidden: this server serves the group "+test.object.Spec.Group+" itself, so there is nothing to install") {
				t.Errorf("got %q", err)
			}
		})
	}
}

// old is nil as an interface if there is none.
func old(crd *apiextensions.CustomResourceDefinition) runtime.Object {
	if crd == nil {
		return nil
	}
	return crd
}

func TestAStoredCRDOfAServedGroupLooksAsIfNeverAccepted(t *testing.T) {
	established := apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}
	stored := func(group string) *apiextensionsv1.CustomResourceDefinition {
		names := apiextensionsv1.CustomResourceDefinitionNames{Plural: "things", Kind: "Thing"}
		return &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: "things." + group},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: group, Names: names,
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true}}},
			Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{established}},
		}
	}
	seen, err := ours.hide(stored("types.kubefed.io"))
	if err != nil {
		t.Fatal(err)
	}
	crd := seen.(*apiextensionsv1.CustomResourceDefinition)
	if apiextensionshelpers.HasServedCRDVersion(crd, "v1") || apiextensionshelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) ||
		apiextensionshelpers.IsCRDConditionTrue(crd, apiextensionsv1.NamesAccepted) {
		t.Errorf("it would be served: %+v", crd)
	}
	if diff := cmp.Diff(crd.Spec.Names, crd.Status.AcceptedNames); diff != "" {
		t.Errorf("its names would be looked at again (-spec +accepted):\n%s", diff)
	}
	if setRefused(crd.DeepCopy()) {
		t.Error("the conditions that are there would be written again")
	}
	other := stored("example.com")
	if seen, err := ours.hide(other.DeepCopy()); err != nil || cmp.Diff(other, seen) != "" {
		t.Errorf("a CRD of another group was changed: %v\n%s", err, cmp.Diff(other, seen))
	}
}

func TestCustomResourcesHaveNoStorageInServedGroups(t *testing.T) {
	getter := ours.restOptions(generic.RESTOptions{})
	for group, want := range map[string]bool{"types.kubefed.io": false, "apiregistration.k8s.io": false, "example.com": true} {
		if _, err := getter.GetRESTOptions(schema.GroupResource{Group: group, Resource: "things"}, nil); (err == nil) != want {
			t.Errorf("%s: got %v, want storage: %v", group, err, want)
		}
	}
}
