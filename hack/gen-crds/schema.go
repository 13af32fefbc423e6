package main

import (
	"fmt"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/generated/openapi"
)

// schemaOf returns the structural schema of a type, without references.
func schemaOf(shape any) (*apiextensionsv1.JSONSchemaProps, error) {
	named, ok := shape.(interface{ OpenAPIModelName() string })
	if !ok {
		return nil, fmt.Errorf("%T has no model name: run hack/update-codegen.sh", shape)
	}
	r := resolver(openapi.GetOpenAPIDefinitions(func(name string) spec.Ref { return spec.MustCreateRef(name) }))
	out, err := r.model(named.OpenAPIModelName())
	if err != nil {
		return nil, err
	}
	template := out.Properties["spec"].Properties["template"]
	template.Type = "object"
	out.Properties["spec"].Properties["template"] = template
	return out, nil
}

// resolver replaces references by what they refer to.
type resolver map[string]common.OpenAPIDefinition

// model returns the schema of a named type.
func (r resolver) model(name string) (*apiextensionsv1.JSONSchemaProps, error) {
	preserve := true
	switch name {
	case metav1.ObjectMeta{}.OpenAPIModelName():
		// A CRD may not describe metadata: the server knows it.
		return &apiextensionsv1.JSONSchemaProps{Type: "object"}, nil
	case rawjson.Value{}.OpenAPIModelName():
		return &apiextensionsv1.JSONSchemaProps{Nullable: true, XPreserveUnknownFields: &preserve}, nil
	}
	definition, ok := r[name]
	if !ok {
		return nil, fmt.Errorf("no OpenAPI definition of %s: run hack/update-codegen.sh", name)
	}
	return r.schema(&definition.Schema)
}

func (r resolver) schema(in *spec.Schema) (*apiextensionsv1.JSONSchemaProps, error) {
	if ref := in.Ref.String(); ref != "" {
		out, err := r.model(ref)
		if err == nil && in.Description != "" {
			out.Description = in.Description
		}
		return out, err
	}
	out := &apiextensionsv1.JSONSchemaProps{Description: in.Description, Format: in.Format, Required: slices.Sorted(slices.Values(in.Required))}
	if len(in.Type) > 0 {
		out.Type = in.Type[0]
	}
	listExtensions(in, out)
	for name, property := range in.Properties {
		p, err := r.schema(&property)
		if err != nil {
			return nil, err
		}
		if out.Properties == nil {
			out.Properties = map[string]apiextensionsv1.JSONSchemaProps{}
		}
		out.Properties[name] = *p
	}
	var err error
	if in.Items != nil && in.Items.Schema != nil {
		out.Items = &apiextensionsv1.JSONSchemaPropsOrArray{}
		if out.Items.Schema, err = r.schema(in.Items.Schema); err != nil {
			return nil, err
		}
	}
	if in.AdditionalProperties != nil && in.AdditionalProperties.Schema != nil {
		out.AdditionalProperties = &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true}
		out.AdditionalProperties.Schema, err = r.schema(in.AdditionalProperties.Schema)
	}
	return out, err
}

// listExtensions copies how server-side apply merges the value.
func listExtensions(in *spec.Schema, out *apiextensionsv1.JSONSchemaProps) {
	if listType, ok := in.Extensions.GetString("x-kubernetes-list-type"); ok {
		out.XListType = &listType
	}
	if mapType, ok := in.Extensions.GetString("x-kubernetes-map-type"); ok {
		out.XMapType = &mapType
	}
	if keys, ok := in.Extensions["x-kubernetes-list-map-keys"].([]any); ok {
		for _, key := range keys {
			out.XListMapKeys = append(out.XListMapKeys, fmt.Sprint(key))
		}
	}
}
