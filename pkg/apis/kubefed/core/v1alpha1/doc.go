// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.kubefed.core.v1alpha1
// +groupName=core.kubefed.io
// +groupGoName=KubeFedCore

// Package v1alpha1 holds the records that KubeFed's controllers keep of their own work.
// They are stored for stock controllers; nothing of ours writes them.
package v1alpha1
