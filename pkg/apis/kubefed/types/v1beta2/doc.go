// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.kubefed.types.v1beta2
// +groupName=types.kubefed.io

// Package v1beta2 is the topology shape of federated objects: template, placement and
// overrides by cluster, cell or edge unit. It is the preferred and the stored version.
//
// One Go type stands for every federated kind, so nothing is registered in a scheme
// under a real name here: the kind is in each object's TypeMeta, and which kinds there
// are is decided by FederatedTypeConfigs at run time.
package v1beta2
