package schema

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// formats is a kind with a field of each format that matters.
func formats() *Target {
	of := func(jsonType, format string) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{jsonType}, Format: format}}
	}
	bytes, list, root := of("object", ""), of("array", ""), of("object", "")
	value, port := of("string", "byte"), of("object", "")
	bytes.AdditionalProperties = &spec.SchemaOrBool{Schema: &value}
	port.Properties = map[string]spec.Schema{"port": of("integer", "int32")}
	list.Items = &spec.SchemaOrArray{Schema: &port}
	root.Properties = map[string]spec.Schema{"replicas": of("integer", "int32"), "size": of("integer", "int64"), "data": bytes, "ports": list}
	return &Target{GVK: schema.GroupVersionKind{Version: "v1", Kind: "Thing"}, Root: "Thing", Schemas: map[string]*spec.Schema{"Thing": &root}}
}

const (
	mustBe32     = "must be an integer of 32 bits, from -2147483648 to 2147483647"
	mustBeBase64 = "must be base64"
)

// Members cut an integer that does not fit: another number would run there.
func TestNumbersAndBytesThatMembersCannotReadAreFound(t *testing.T) {
	tree, err := rawjson.Value(`{"replicas":4294967298,"size":4294967298,"data":{"good":"aGk=","bad":"!!"},"ports":[{"port":80},{"port":-2147483649}]}`).Tree()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range Compare(formats(), tree.(map[string]any)).WrongTypes {
		got = append(got, e.Field+": "+e.Detail)
	}
	want := []string{"spec.template.data[bad]: " + mustBeBase64, "spec.template.ports[1].port: " + mustBe32, "spec.template.replicas: " + mustBe32}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOverridesAreComparedWithTheSchemaOfTheirPlace(t *testing.T) {
	for name, test := range map[string]struct {
		steps []string
		value string
		want  string
	}{
		"a number that fits":        {[]string{"replicas"}, `3`, ""},
		"one that does not":         {[]string{"replicas"}, `4294967299`, "v: " + mustBe32},
		"another type":              {[]string{"replicas"}, `"3"`, "v: must be an integer"},
		"null":                      {[]string{"replicas"}, `null`, ""},
		"in an item of a list":      {[]string{"ports", "0", "port"}, `4294967376`, "v: " + mustBe32},
		"a new item of a list":      {[]string{"ports", "-"}, `{"port":4294967376}`, "v.port: " + mustBe32},
		"the whole list":            {[]string{"ports"}, `[{"port":80},{"port":4294967376}]`, "v[1].port: " + mustBe32},
		"a key of a map":            {[]string{"data", "x"}, `"!!"`, "v: " + mustBeBase64},
		"a field that there is not": {[]string{"other", "replicas"}, `4294967299`, ""},
		"a step into a number":      {[]string{"replicas", "x"}, `4294967299`, ""},
		"no item of a list":         {[]string{"ports", "x", "port"}, `4294967299`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			value, err := rawjson.Value(test.value).Tree()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, e := range CompareAt(formats(), test.steps, value, field.NewPath("v")) {
				got += fmt.Sprintf("%s: %s", e.Field, e.Detail)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if errs := CompareAt(nil, test.steps, value, field.NewPath("v")); errs != nil {
				t.Errorf("without a schema got %v", errs)
			}
		})
	}
}
