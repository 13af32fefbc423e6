// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.koinon.edge.v1alpha1
// +groupName=edge.koinon.io

// Package v1alpha1 names groups of nodes at the edge, so that objects can be placed on
// them.
package v1alpha1
