// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.kubefed.scheduling.v1alpha1
// +groupName=scheduling.kubefed.io
// +groupGoName=KubeFedScheduling

// Package v1alpha1 holds KubeFed's preferences for dividing replicas among clusters, in
// its wire format.
package v1alpha1
