package schema

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/registry/federated/schema/schematest"
)

var foo = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Foo"}

// fooDocument is a document with a Foo of some fields, and other definitions.
func fooDocument(fields, others string) string {
	return `{"openapi":"3.0.0","components":{"schemas":{"com.example.v1.Foo":{"type":"object",
		"x-kubernetes-group-version-kind":[{"group":"example.com","version":"v1","kind":"Foo"}],` + fields + `}` + others + `}}}`
}

// nested is a schema with as many objects around one another.
func nested(depth int) string {
	return strings.Repeat(`{"properties":{"a":`, depth) + `{"type":"string"}` + strings.Repeat(`}}`, depth)
}

// definitions are as many, d0 and so on, each of which body makes of its number.
func definitions(count int, body func(i int) string) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, `,"d%d":%s`, i, body(i))
	}
	return b.String()
}

func propertiesOf(count int, property string) string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf(`"p%d":%s`, i, property)
	}
	return `"properties":{` + strings.Join(names, ",") + `}`
}

func refTo(name string) string { return `{"$ref":"#/components/schemas/` + name + `"}` }

func TestASchemaThatCannotBeUsedIsRefusedInASentence(t *testing.T) {
	for sentence, test := range map[string]struct{ document, problem string }{
		"a reference to nothing":        {fooDocument(`"properties":{"spec":`+refTo("nope")+`}`, ""), `definition "com.example.v1.Foo" refers to "nope", which the document does not have`},
		"a reference to another server": {fooDocument(`"properties":{"spec":{"$ref":"http://elsewhere/x.json#/a"}}`, ""), `com.example.v1.Foo.properties.spec.$ref: "http://elsewhere/x.json#/a" refers to no definition of the document, must be #/components/schemas/NAME`},
		"a reference without a name":    {fooDocument(`"properties":{"spec":`+refTo("")+`}`, ""), `com.example.v1.Foo.properties.spec.$ref: "#/components/schemas/" refers to no definition`},
		"a name with a path":            {fooDocument(`"properties":{"spec":`+refTo("a~1b")+`}`, `,"a/b":{}`), `refers to no definition`},
		"a definition that is a reference": {fooDocument(`"properties":{"spec":`+refTo("d0")+`}`, definitions(2, func(i int) string { return refTo("d" + strconv.Itoa(1-i)) })),
			`definition "d0" is nothing but a reference`},
		"a type without a name":    {fooDocument(`"properties":{"spec":{"type":""}}`, ""), `com.example.v1.Foo.properties.spec.type: "" is no type, must be one of array, boolean, integer, number, object, string`},
		"several types":            {fooDocument(`"properties":{"spec":{"type":["string","number"]}}`, ""), `com.example.v1.Foo.properties.spec.type: has 2 types, must be one`},
		"a list without items":     {fooDocument(`"properties":{"spec":{"type":"array"}}`, ""), "`items` must be specified on arrays"},
		"a tuple":                  {fooDocument(`"properties":{"spec":{"type":"array","items":[{},{}]}}`, ""), `com.example.v1.Foo.properties.spec.items: must be one schema, which all items have`},
		"a kind that is no object": {strings.Replace(fooDocument(`"properties":{}`, ""), `"object"`, `"string"`, 1), `"com.example.v1.Foo" is not of the type object`},
		"a key that items lack": {fooDocument(`"properties":{"spec":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"]}}`, ""),
			`com.example.v1.Foo.properties.spec: its items are known by the key "name", but have no such property`},
		"a list of no known type": {fooDocument(`"properties":{"spec":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"bag"}}`, ""), `unknown list type bag`},
		"a map of no known type":  {fooDocument(`"properties":{"spec":{"type":"object","x-kubernetes-map-type":"weird"}}`, ""), `unknown map type weird`},
		"what is nested too deep": {fooDocument(`"properties":{"spec":`+nested(maxSchemaDepth)+`}`, ""), `definition "com.example.v1.Foo" is nested deeper than 128`},
		"too many definitions": {fooDocument(propertiesOf(1, refTo("d0")), definitions(maxDefinitions+1, func(i int) string {
			return `{"type":"object","properties":{"next":` + refTo("d"+strconv.Itoa(min(i+1, maxDefinitions))) + `}}`
		})), `refers to more than 1000 definitions`},
		"too many properties":  {fooDocument(propertiesOf(maxProperties+1, `{}`), ""), `com.example.v1.Foo: has 1001 properties, must have at most 1000`},
		"too many bytes":       {fooDocument(`"description":"`+strings.Repeat("x", maxKindBytes)+`"`, ""), `have more than 2 MiB`},
		"too large a document": {strings.Repeat(" ", maxDocumentBytes+1), `the OpenAPI document has more than 16 MiB`},
		"no document":          {`<html>`, `the OpenAPI document cannot be read`},
		"a document that ends": {fooDocument("", "")[:90], `the OpenAPI document cannot be read`},
		"what grows with every reference": {fooDocument(propertiesOf(1, refTo("d0")), definitions(40, func(i int) string {
			return `{"type":"object",` + propertiesOf(2, refTo("d"+strconv.Itoa(min(i+1, 39)))) + `}`
		})), `it has more than 100000 parts once its references are followed`},
		"definitions that all refer to one another": {fooDocument(propertiesOf(1, refTo("d0")), definitions(20, func(int) string {
			all := make([]string, 20)
			for i := range all {
				all[i] = fmt.Sprintf(`"p%d":%s`, i, refTo("d"+strconv.Itoa(i)))
			}
			return `{"type":"object","properties":{` + strings.Join(all, ",") + `}}`
		})), `it has more than 100000 parts once its references are followed`},
	} {
		t.Run(sentence, func(t *testing.T) {
			targets, problems := Read([]byte(test.document), []schema.GroupVersionKind{foo})
			if targets[foo] != nil || !strings.Contains(problems[foo], test.problem) {
				t.Errorf("got %v and %q, want %q", targets[foo], problems[foo], test.problem)
			}
			if strings.Contains(problems[foo], "\n") || len(problems[foo]) > 600 {
				t.Errorf("not a sentence: %q", problems[foo])
			}
		})
	}
}

func TestASchemaThatRefersToItselfIsTaken(t *testing.T) {
	targets, problems := Read([]byte(fooDocument(`"properties":{"spec":`+refTo("com.example.v1.Foo")+`,"next":{"allOf":[`+refTo("d0")+`]}}`,
		definitions(1, func(int) string { return `{"type":"object","properties":{"more":` + refTo("d0") + `}}` }))), []schema.GroupVersionKind{foo})
	if targets[foo] == nil {
		t.Fatal(problems[foo])
	}
	got := Compare(targets[foo], tree(t, `{"spec":{"spec":{"spec":{"sepc":1}}},"next":{"more":{"more":{"moer":1}}}}`)).UnknownFields
	if len(got) != 2 || got[0].Field != "spec.template.next.more.more.moer" || got[1].Field != "spec.template.spec.spec.spec.sepc" {
		t.Errorf("got %v", got)
	}
}

// A member describes its own kinds, and nobody else's.
func TestNoServerDefinesWhatBelongsToOthers(t *testing.T) {
	bar := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Bar"}
	const claims = `"x-kubernetes-group-version-kind":[{"group":"types.kubefed.io","version":"v1beta2","kind":"FederatedSecret"},{"group":"example.com","version":"v1","kind":"Bar"}]`
	targets, problems := Read([]byte(fooDocument(`"properties":{"spec":`+refTo("io.k8s.api.core.v1.PodSpec")+`}`,
		`,"io.k8s.api.core.v1.PodSpec":{"type":"object","properties":{"a":{"type":"string"}},`+claims+`},"broken":{"type":7}`)), []schema.GroupVersionKind{foo, bar})
	if targets[foo] == nil || targets[bar] == nil {
		t.Fatal(problems)
	}
	for _, target := range targets {
		for name, s := range target.Schemas {
			if own := "io.kubefed.targets.example.com.v1." + target.GVK.Kind; name != own && !strings.HasPrefix(name, own+"_") {
				t.Errorf("%s defines %s", target.GVK.Kind, name)
			}
			if len(s.Extensions) > 0 {
				t.Errorf("%s says of itself %v", name, s.Extensions)
			}
		}
	}
}

// Templates that have something of everything: a schema that was mutated meets all of it.
var templates = []string{`{}`, `{"spec":null}`, schematest.Template, `{"metadata":[],"spec":{"replicas":"x","ports":[1,{"name":{}},null],"free":[[]],"unknown":{"a":[1.5]}}}`}

// checkRead reads a document and does with it what is done at every write.
func checkRead(t *testing.T, document []byte) (usable bool) {
	t.Helper()
	targets, problems := Read(document, []schema.GroupVersionKind{schematest.Kind})
	target := targets[schematest.Kind]
	if target != nil && problems[schematest.Kind] != "" {
		t.Fatalf("usable, and not: %s", problems[schematest.Kind])
	}
	for _, template := range templates {
		problems := Compare(target, tree(t, template))
		for _, e := range slices.Concat(problems.UnknownFields, problems.WrongTypes) {
			_ = e.Error()
		}
	}
	IsScalable(schematest.Kind, func() *Target { return target })
	return target != nil
}

func TestMutatedSchemasAreReadOrRefused(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random, usable, refused := rand.New(rand.NewPCG(seed, 0)), 0, 0
	for range 1500 {
		if checkRead(t, schematest.Mutate(random, schematest.Document())) {
			usable++
		} else {
			refused++
		}
	}
	if usable == 0 || refused == 0 {
		t.Errorf("%d documents were usable and %d refused: the mutations are of no use", usable, refused)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(schematest.Document())
	f.Add([]byte(fooDocument(`"properties":{"spec":`+refTo("nope")+`}`, "")))
	f.Add([]byte(`{"components":{"schemas":{"a":null}}}`))
	f.Fuzz(func(t *testing.T, document []byte) { checkRead(t, document) })
}

func TestADefinitionThatIsNullHurtsNobody(t *testing.T) {
	var document map[string]any
	if err := json.Unmarshal(schematest.Document(), &document); err != nil {
		t.Fatal(err)
	}
	document["components"].(map[string]any)["schemas"].(map[string]any)["null"] = nil
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if !checkRead(t, data) {
		t.Error("a null beside it made a schema unusable")
	}
}
