// Package v1alpha1 has what Koinon writes of ClusterProfiles, the Cluster Inventory API of SIG
// Multicluster (KEP-4322) with the access providers of KEP-5339. The API is not ours: a CRD serves it,
// and fields that are not here may be there. So these are no API objects, but the shape of what is
// merged into one.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SchemeGroupVersion is the version that is read and written.
var SchemeGroupVersion = schema.GroupVersion{Group: "multicluster.x-k8s.io", Version: "v1alpha1"}

// ClusterProfileKind and ClusterProfiles are the kind and its resource.
const (
	ClusterProfileKind = "ClusterProfile"
	ClusterProfiles    = "clusterprofiles"
)

// ClusterManagerLabel on a profile has the name of its cluster manager.
const ClusterManagerLabel = "x-k8s.io/cluster-manager"

// ControlPlaneHealthy is the condition that says whether the cluster's control plane is well.
const ControlPlaneHealthy = "ControlPlaneHealthy"

// RegionProperty and ZoneProperty are well-known names of properties.
const (
	RegionProperty = "topology.kubernetes.io/region"
	ZoneProperty   = "topology.kubernetes.io/zone"
)

// MaxPropertyValue is how long the value of a property may be; it must not be empty.
const MaxPropertyValue = 1024

// ClusterProfileStatus is what a cluster manager knows of a cluster.
type ClusterProfileStatus struct {
	// Conditions has ControlPlaneHealthy.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Version of the cluster.
	Version ClusterVersion `json:"version,omitzero"`
	// Properties tell more of it.
	Properties []Property `json:"properties,omitempty"`
	// AccessProviders are ways to the cluster. It was called credentialProviders before v0.1.0 of the
	// Cluster Inventory API.
	AccessProviders []AccessProvider `json:"accessProviders,omitempty"`
}

// ClusterVersion has the versions of a cluster's parts.
type ClusterVersion struct {
	// Kubernetes is what the API server reports.
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Property is one thing that is known of a cluster.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// AccessProvider is one way to a cluster. Name is that of a program which the reader has configured to
// fetch a credential.
type AccessProvider struct {
	Name    string  `json:"name"`
	Cluster Cluster `json:"cluster"`
}

// Cluster is a cluster as kubeconfigs have it.
type Cluster struct {
	// Server is the URL of the API server.
	Server string `json:"server"`
	// CertificateAuthorityData are the authorities of its certificate, in PEM.
	CertificateAuthorityData []byte `json:"certificate-authority-data,omitempty"`
}
