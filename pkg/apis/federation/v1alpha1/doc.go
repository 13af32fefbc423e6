// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.koinon.federation.v1alpha1
// +groupName=federation.koinon.io

// Package v1alpha1 divides the fleet: cells, and the members as people see them. It also
// names the labels that tie namespaces, clusters and cells to a tenant.
package v1alpha1
