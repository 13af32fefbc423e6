// +k8s:deepcopy-gen=package
// +k8s:defaulter-gen=TypeMeta
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.kubefed.core.v1beta1
// +groupName=core.kubefed.io
// +groupGoName=KubeFedCore

// Package v1beta1 holds what a control plane is configured with, in KubeFed's wire
// format: members (KubeFedCluster), federated kinds (FederatedTypeConfig) and settings
// (KubeFedConfig). Fields that KubeFed has are all here, whether or not they are used,
// so that stock clients lose nothing; fields of our own are optional.
package v1beta1
