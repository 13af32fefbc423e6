package host

import (
	"k8s.io/kube-openapi/pkg/common"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
)

// OpenAPIDefinitions returns the definitions of Kubernetes' own kinds, workloads included.
// Each call builds all of them anew, which is some megabytes of work.
func OpenAPIDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return generatedopenapi.GetOpenAPIDefinitions(ref)
}
