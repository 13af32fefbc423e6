package openapi

import (
	"github.com/emicklei/go-restful/v3"
	"k8s.io/apimachinery/pkg/runtime"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// DocumentV3 returns the document of the routes of one version. Objects inside templates may
// have fields that it does not know, as they may when they are stored: mutating admission
// policies that apply would fail with an object that has some.
func (m Models) DocumentV3(services []*restful.WebService) (*spec3.OpenAPI, error) {
	config := genericapiserver.DefaultOpenAPIV3Config(m.lenient().v3, openapinamer.NewDefinitionNamer(runtime.NewScheme()))
	config.GetDefinitionName = m.definitionName
	config.Info.Title = "Koinon"
	return builder3.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), config)
}

// ScaleDocumentV3 returns a document of autoscaling/v1 that has nothing but the model of
// Scale. Mutating admission policies look there for it, and a host without workloads does not
// serve that group.
func (m Models) ScaleDocumentV3() (*spec3.OpenAPI, error) {
	info := &spec.Info{InfoProps: spec.InfoProps{Title: "Koinon", Version: "unversioned"}}
	config := &common.OpenAPIV3Config{Info: info, GetDefinitions: m.v3, GetDefinitionName: m.definitionName}
	models, err := builder3.BuildOpenAPIDefinitionsForResources(config, scaleModelName)
	if err != nil {
		return nil, err
	}
	return &spec3.OpenAPI{Version: "3.0.0", Info: info, Paths: &spec3.Paths{Paths: map[string]*spec3.Path{}}, Components: &spec3.Components{Schemas: models}}, nil
}

// DocumentV2 returns the document of the routes of both versions.
func (m Models) DocumentV2(services []*restful.WebService) (*spec.Swagger, error) {
	config := genericapiserver.DefaultOpenAPIConfig(m.v2, openapinamer.NewDefinitionNamer(runtime.NewScheme()))
	config.GetDefinitionName = m.definitionName
	config.Info.Title = "Koinon"
	return builder.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), config)
}
