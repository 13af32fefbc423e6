package schema

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// widgets is the schema of a small custom kind, with references as OpenAPI v3 has them.
func widgets() *Target {
	of := func(types ...string) spec.Schema { return spec.Schema{SchemaProps: spec.SchemaProps{Type: types}} }
	object := func(properties map[string]spec.Schema) spec.Schema {
		s := of("object")
		s.Properties = properties
		return s
	}
	ref := spec.Schema{SchemaProps: spec.SchemaProps{AllOf: []spec.Schema{{SchemaProps: spec.SchemaProps{Ref: spec.MustCreateRef(refPrefix + "WidgetSpec")}}}}}
	list := of("array")
	item := object(map[string]spec.Schema{"name": of("string"), "port": {VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-int-or-string": true}}}})
	list.Items = &spec.SchemaOrArray{Schema: &item}
	free := object(nil)
	free.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	strings := of("object")
	value := of("string")
	strings.AdditionalProperties = &spec.SchemaOrBool{Schema: &value}
	root := object(map[string]spec.Schema{"apiVersion": of("string"), "kind": of("string"), "metadata": object(map[string]spec.Schema{"labels": strings}), "spec": ref})
	widgetSpec := object(map[string]spec.Schema{"replicas": of("integer"), "paused": of("boolean"), "ports": list, "free": free,
		"quantity": {SchemaProps: spec.SchemaProps{OneOf: []spec.Schema{of("string"), of("number")}}}})
	return &Target{GVK: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}, Root: "Widget",
		Schemas: map[string]*spec.Schema{"Widget": &root, "WidgetSpec": &widgetSpec}}
}

func TestTemplatesAreComparedWithTheirSchema(t *testing.T) {
	const noSuchField = "example.com/v1 Widget has no such field"
	for name, test := range map[string]struct {
		template       string
		unknown, types []string
	}{
		"a template that fits is fine": {
			template: `{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":3,"ports":[{"name":"x","port":80},{"port":"http"}],"free":{"any":1},"quantity":"100m"}}`,
		},
		"a misspelt field is found, with a guess": {
			template: `{"spec":{"replica":3}}`,
			unknown:  []string{`spec.template.spec.replica: Invalid value: 3: ` + noSuchField + `; did you mean "replicas"?`},
		},
		"a field that resembles nothing is found": {
			template: `{"spec":{"somethingElse":{}}}`,
			unknown:  []string{`spec.template.spec.somethingElse: Invalid value: "{...}": ` + noSuchField},
		},
		"fields inside lists are found": {
			template: `{"spec":{"ports":[{"name":"a"},{"nam":"b"}]}}`,
			unknown:  []string{`spec.template.spec.ports[1].nam: Invalid value: "b": ` + noSuchField + `; did you mean "name"?`},
		},
		"values of the wrong type are found": {
			template: `{"spec":{"replicas":"three","paused":1,"quantity":true}}`,
			types: []string{
				`spec.template.spec.paused: Invalid value: 1: must be a boolean`,
				`spec.template.spec.quantity: Invalid value: true: must be a string or a number`,
				`spec.template.spec.replicas: Invalid value: "three": must be an integer`,
			},
		},
		"a number that is stored as an integer is one": {template: `{"spec":{"replicas":1e3}}`},
		"a fraction is no integer": {
			template: `{"spec":{"replicas":1.5}}`,
			types:    []string{`spec.template.spec.replicas: Invalid value: 1.5: must be an integer`},
		},
		"a list where an object belongs is found": {
			template: `{"spec":[]}`,
			types:    []string{`spec.template.spec: Invalid value: "[...]": must be an object`},
		},
		"null is allowed everywhere": {template: `{"spec":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			var unknown, types []string
			problems := Compare(widgets(), tree(t, test.template))
			for _, e := range problems.UnknownFields {
				unknown = append(unknown, e.Error())
			}
			for _, e := range problems.WrongTypes {
				types = append(types, e.Error())
			}
			if diff := cmp.Diff(test.unknown, unknown); diff != "" {
				t.Errorf("unknown fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.types, types); diff != "" {
				t.Errorf("wrong types (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAKindWithoutSchemaTakesAnyTemplate(t *testing.T) {
	if problems := Compare(nil, tree(t, `{"spec":{"x":1}}`)); problems.UnknownFields != nil || problems.WrongTypes != nil {
		t.Errorf("got %v, want none", problems)
	}
}

func tree(t *testing.T, template string) map[string]any {
	t.Helper()
	parsed, err := rawjson.Value(template).Tree()
	if err != nil {
		t.Fatal(err)
	}
	return parsed.(map[string]any)
}

func TestSpellingHelpIsForKeysOfAUsualLength(t *testing.T) {
	long := strings.Repeat("replicas", 100_000)
	problems := Compare(widgets(), map[string]any{"spec": map[string]any{long: int64(1), "replica": int64(1)}})
	if len(problems.UnknownFields) != 2 {
		t.Fatalf("got %d unknown fields, want 2", len(problems.UnknownFields))
	}
	if got := problems.UnknownFields[0].Detail; !strings.Contains(got, `did you mean "replicas"?`) {
		t.Errorf("got %q for a short key", got)
	}
	if got := problems.UnknownFields[1].Detail; strings.Contains(got, "did you mean") {
		t.Errorf("got %q for a key of %d bytes", got, len(long))
	}
}

func TestProblemsOfOneTemplateAreCounted(t *testing.T) {
	spec := map[string]any{}
	for i := range 10_000 {
		spec["unknown"+strconv.Itoa(i)] = int64(1)
	}
	if got := len(Compare(widgets(), map[string]any{"spec": spec}).UnknownFields); got != maxProblems {
		t.Errorf("got %d unknown fields, want %d", got, maxProblems)
	}
}
