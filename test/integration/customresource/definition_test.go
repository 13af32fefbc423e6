package customresource_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// object is one as a client has it.
type object = map[string]any

const federatedDeployments = "/apis/types.kubefed.io/v1beta2/namespaces/default/federateddeployments"

// deploymentConfig makes Koinon serve FederatedDeployments.
const deploymentConfig = `
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: deployments.apps, namespace: kube-federation-system}
spec:
  targetType: {group: apps, version: v1, kind: Deployment, pluralName: deployments, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedDeployment, pluralName: federateddeployments, scope: Namespaced}
  propagation: Enabled
`

// definitionOf returns a CustomResourceDefinition, as JSON, of FederatedDeployments in v1beta2
// with the schema that a Koinon publishes of them: document is its OpenAPI v3.
//
// Defaults and required fields of a Deployment are left out, since a template need not be a
// whole one; the type of the topology has the default that our server gives it.
func definitionOf(t *testing.T, document []byte) string {
	t.Helper()
	var openAPI struct {
		Components struct{ Schemas schemas }
	}
	if err := json.Unmarshal(document, &openAPI); err != nil {
		t.Fatal(err)
	}
	models := openAPI.Components.Schemas
	root := models["io.kubefed.types.v1beta2.FederatedDeployment"]
	if root == nil {
		t.Fatalf("the document has no FederatedDeployment: it has %v", slices.Sorted(maps.Keys(models)))
	}
	structural := models.structural(root)
	properties := structural["properties"].(object)
	properties["metadata"] = object{"type": "object"}
	properties["spec"].(object)["properties"].(object)["topologyType"].(object)["default"] = "cluster"
	definition, err := json.Marshal(object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": object{"name": "federateddeployments.types.kubefed.io"},
		"spec": object{
			"group": "types.kubefed.io", "scope": "Namespaced",
			"names": object{"kind": "FederatedDeployment", "plural": "federateddeployments", "singular": "federateddeployment"},
			"versions": []any{object{
				"name": "v1beta2", "served": true, "storage": true,
				"schema": object{"openAPIV3Schema": structural},
				"subresources": object{
					"status": object{},
					"scale":  object{"specReplicasPath": ".spec.template.spec.replicas", "statusReplicasPath": ".status.replicas"},
				},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(definition)
}

// schemas are the models of a document, by name.
type schemas map[string]object

// structural is a schema as CustomResourceDefinitions want it: without references, and with
// types everywhere.
func (s schemas) structural(schema object) object {
	schema = s.resolve(schema)
	out := object{}
	for _, key := range []string{"type", "format", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"} {
		if value, ok := schema[key]; ok {
			out[key] = value
		}
	}
	switch {
	case schema["oneOf"] != nil: // a quantity, or an int-or-string
		return object{"x-kubernetes-int-or-string": true}
	case schema["type"] == nil:
		return object{"x-kubernetes-preserve-unknown-fields": true}
	}
	if properties, ok := schema["properties"].(object); ok {
		structural := object{}
		for name, property := range properties {
			structural[name] = s.structural(property.(object))
		}
		out["properties"] = structural
	}
	if items, ok := schema["items"].(object); ok {
		inner := s.structural(items)
		if keys, ok := out["x-kubernetes-list-map-keys"]; ok {
			inner["required"] = keys
		}
		out["items"] = inner
	}
	if more, ok := schema["additionalProperties"].(object); ok {
		out["additionalProperties"] = s.structural(more)
	}
	if out["type"] == "object" && out["properties"] == nil && out["additionalProperties"] == nil {
		out["x-kubernetes-preserve-unknown-fields"] = true
	}
	return out
}

// resolve follows references. What stands beside one, such as how a list merges, is kept.
func (s schemas) resolve(schema object) object {
	reference, _ := schema["$ref"].(string)
	if all, ok := schema["allOf"].([]any); ok && len(all) == 1 {
		reference, _ = all[0].(object)["$ref"].(string)
	}
	if reference == "" {
		return schema
	}
	name := strings.TrimPrefix(reference, "#/components/schemas/")
	model, ok := s[name]
	if !ok {
		panic(fmt.Sprintf("the document has no %s", name))
	}
	resolved := maps.Clone(s.resolve(model))
	for key, value := range schema {
		if strings.HasPrefix(key, "x-kubernetes-") {
			resolved[key] = value
		}
	}
	return resolved
}
