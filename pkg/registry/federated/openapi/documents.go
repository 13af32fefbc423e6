package openapi

import (
	"github.com/emicklei/go-restful/v3"
	"k8s.io/apimachinery/pkg/runtime"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// DocumentV3 returns the document of the routes of one version.
func (m Models) DocumentV3(services []*restful.WebService) (*spec3.OpenAPI, error) {
	config := genericapiserver.DefaultOpenAPIV3Config(m.v3, openapinamer.NewDefinitionNamer(runtime.NewScheme()))
	config.GetDefinitionName = m.definitionName
	config.Info.Title = "Koinon"
	return builder3.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), config)
}

// DocumentV2 returns the document of the routes of both versions.
func (m Models) DocumentV2(services []*restful.WebService) (*spec.Swagger, error) {
	config := genericapiserver.DefaultOpenAPIConfig(m.v2, openapinamer.NewDefinitionNamer(runtime.NewScheme()))
	config.GetDefinitionName = m.definitionName
	config.Info.Title = "Koinon"
	return builder.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), config)
}
