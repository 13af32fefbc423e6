// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.kubefed.types.v1beta1
// +groupName=types.kubefed.io

// Package v1beta1 is the cluster shape of federated objects: exactly KubeFed's wire
// format. It is converted from and to v1beta2, which is what is stored.
//
// One Go type stands for every federated kind, so nothing is registered in a scheme
// under a real name here: the kind is in each object's TypeMeta, and which kinds there
// are is decided by FederatedTypeConfigs at run time.
package v1beta1
