package serving_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/schema/schematest"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
)

var deployments = federated.Kind{
	Kind: "FederatedDeployment", Resource: "federateddeployments", Namespaced: true,
	Target: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, TargetNamespaced: true,
}

// widgets sort before deployments, as whoever comes first might define what both have.
var widgets = federated.Kind{Kind: "FederatedWidget", Resource: "federatedwidgets", Namespaced: true, Target: schematest.Kind, TargetNamespaced: true}

// memberSchemas are those of Deployments, as Kubernetes has them, and of what a member answers.
type memberSchemas struct{ document []byte }

func (s *memberSchemas) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*targetschema.Target {
	out, _ := targetschema.Read(s.document, []schema.GroupVersionKind{schematest.Kind})
	out[deployments.Target] = deploymentSchema()
	return out
}

func deploymentSchema() *targetschema.Target {
	object := func(properties map[string]spec.Schema) *spec.Schema {
		return &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: properties}}
	}
	list := spec.ArrayProperty(object(map[string]spec.Schema{"name": *spec.StringProperty(), "image": *spec.StringProperty()}))
	list.AddExtension("x-kubernetes-list-type", "map")
	list.AddExtension("x-kubernetes-list-map-keys", []any{"name"})
	const root, inner = "io.k8s.api.apps.v1.Deployment", "io.k8s.api.apps.v1.DeploymentSpec"
	return &targetschema.Target{GVK: deployments.Target, Root: root, Schemas: map[string]*spec.Schema{
		root:  object(map[string]spec.Schema{"spec": *spec.RefProperty("#/components/schemas/" + inner)}),
		inner: object(map[string]spec.Schema{"replicas": *spec.Int32Property(), "containers": *list}),
	}}
}

// install makes the server take the schemas of its kinds anew, as the controller does.
func (s *memberSchemas) install(t *testing.T, a *api, document []byte) {
	t.Helper()
	s.document = document
	if err := a.server.Serve([]federated.Kind{widgets, deployments}, nil); err != nil {
		t.Fatal(err)
	}
}

// checkDeployments does with FederatedDeployments what clients do, which has to work whatever
// the schema of another kind is.
func checkDeployments(a *api, name string) {
	a.t.Helper()
	container := func(name string) object {
		return object{"placement": object{}, "template": object{"spec": object{"containers": []any{object{"name": name, "image": "i"}}}}}
	}
	made := anchored(federatedDeployment("v1beta2", name, object{"template": object{"spec": object{"replicas": 1}}}))
	if obj := a.must(request{method: http.MethodPost, version: "v1beta2", manager: "creator", contentType: jsonBody, body: made}); len(entries(a.t, obj)) != 1 {
		a.t.Errorf("who created the object owns nothing: %v", obj)
	}
	for manager, version := range map[string]string{"one": "v1beta1", "two": "v1beta2"} {
		a.apply(version, name, manager, true, container(manager))
	}
	obj := a.get("v1beta2", name)
	template := specOf(obj)["template"].(object)["spec"].(object)
	if got := len(template["containers"].([]any)); got != 2 || len(entries(a.t, obj)) != 3 {
		a.t.Errorf("got %d containers of two appliers, and owners %v", got, entries(a.t, obj))
	}
	a.must(request{method: http.MethodDelete, version: "v1beta2", name: name})
}

// checkDocuments makes the documents, and what admission policies that apply make of them.
func checkDocuments(t *testing.T, server *serving.Server) {
	t.Helper()
	for _, version := range []schema.GroupVersion{federated.V1beta1, federated.V1beta2} {
		doc, err := server.OpenAPIV3(version)
		if err != nil {
			t.Fatalf("OpenAPI v3 of %s: %v", version, err)
		}
		if _, err := managedfields.NewTypeConverter(doc.Components.Schemas, false); err != nil {
			t.Fatalf("types of %s: %v", version, err)
		}
	}
	if _, err := server.OpenAPIV2(&spec.Swagger{SwaggerProps: spec.SwaggerProps{Paths: &spec.Paths{}}}); err != nil {
		t.Fatalf("OpenAPI v2: %v", err)
	}
}

// checkWidgets sends what clients send of the kind whose schema is as strange as can be: it gets
// an answer that is no fault of the server's.
func checkWidgets(a *api, name string) {
	a.t.Helper()
	for _, template := range []any{decoded(schematest.Template), object{"metadata": "x", "spec": object{"unknown": 1, "ports": []any{object{}}}}} {
		for _, r := range []request{
			{method: http.MethodPost, version: "v1beta2", manager: "creator", contentType: jsonBody},
			{method: http.MethodPatch, version: "v1beta1", manager: "one", force: true, contentType: applyPatch},
			{method: http.MethodPatch, version: "v1beta2", manager: "two", force: true, contentType: applyPatch},
			{method: http.MethodDelete, version: "v1beta2"},
		} {
			r.name, r.resource = name, widgets.Resource
			if r.method != http.MethodDelete {
				r.body = object{"apiVersion": "types.kubefed.io/" + r.version, "kind": widgets.Kind,
					"metadata": object{"name": name, "namespace": namespace}, "spec": object{"template": template, "placement": object{}}}
			}
			// To values that are not as the schema says the library answers 500, as Kubernetes does.
			const untyped = "failed to create typed patch object"
			code, answer := a.do(r)
			if message := fmt.Sprint(answer["message"]); code >= http.StatusInternalServerError && !strings.HasPrefix(message, untyped) {
				a.t.Errorf("%s in %s of %v: got %d %s", r.method, r.version, template, code, message)
			}
		}
	}
}

func TestAKindWithABrokenSchemaIsServedWithoutOneAndHurtsNoOther(t *testing.T) {
	schemas := &memberSchemas{document: []byte(`{}`)}
	a := serve(t, serving.Config{Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), Schemas: schemas}, widgets, deployments)
	for sentence, definitions := range map[string]string{
		"a reference to nothing": `"a":{"type":"object",KIND,"properties":{"spec":{"$ref":"#/components/schemas/nope"}}}`,
		"no type":                `"a":{"type":"object",KIND,"properties":{"spec":{"type":""}}}`,
		"null":                   `"a":null`,
		"itself":                 `"a":{"type":"object",KIND,"allOf":[{"$ref":"#/components/schemas/a"}],"properties":{"spec":{"allOf":[{"$ref":"#/components/schemas/a"}]}}}`,
		"another kind's name": `"a":{"type":"object",KIND,"properties":{"spec":{"$ref":"#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}}},
			"io.k8s.api.apps.v1.DeploymentSpec":{"type":"object","properties":{"replicas":{"type":"string"},"containers":{"type":"string"}}}`,
		"another kind's model": `"a":{"type":"object",KIND,"properties":{"spec":{"$ref":"#/components/schemas/io.kubefed.types.v1beta2.FederatedDeployment"}}},
			"io.kubefed.types.v1beta2.FederatedDeployment":{"type":"object","x-kubernetes-group-version-kind":[{"group":"types.kubefed.io","version":"v1beta2","kind":"FederatedDeployment"}]}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			b := *a
			b.t = t
			schemas.install(t, &b, fmt.Appendf(nil, `{"components":{"schemas":{%s}}}`, withKind(definitions)))
			checkDeployments(&b, "web")
			checkWidgets(&b, "widget")
			checkDocuments(t, b.server)
		})
	}
}

// Whatever a member says of its kind, in a seeded random walk from a real schema.
func TestMutatedSchemasHurtNoOtherKind(t *testing.T) {
	schemas := &memberSchemas{document: []byte(`{}`)}
	a := serve(t, serving.Config{Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), Schemas: schemas}, widgets, deployments)
	for i := range 15 {
		seed := rand.Uint64()
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			b := *a
			b.t = t
			random := rand.New(rand.NewPCG(seed, 0))
			schemas.install(t, &b, schematest.Mutate(random, schematest.Document()))
			checkDeployments(&b, fmt.Sprintf("web-%d", i))
			checkWidgets(&b, fmt.Sprintf("widget-%d", i))
			checkDocuments(t, b.server)
			if t.Failed() {
				t.Logf("the schema was %s", schemas.document)
			}
		}) {
			return
		}
	}
}

func withKind(definitions string) string {
	return strings.ReplaceAll(definitions, "KIND", `"x-kubernetes-group-version-kind":[{"group":"example.com","version":"v1","kind":"Widget"}]`)
}

func decoded(document string) any {
	var out any
	if err := json.Unmarshal([]byte(document), &out); err != nil {
		panic(err) // it is written down in a test
	}
	return out
}
