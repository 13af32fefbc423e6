// Package v1alpha1 has ClusterProfiles as KEP-4322 defines them, with the access providers of KEP-5339.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
)

// GroupVersion is the version that is read.
var GroupVersion = schema.GroupVersion{Group: "multicluster.x-k8s.io", Version: "v1alpha1"}

// AddToScheme makes the kinds known.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ClusterProfile{}, &ClusterProfileList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// ClusterProfile tells of one cluster.
type ClusterProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClusterProfileSpec   `json:"spec"`
	Status ClusterProfileStatus `json:"status,omitempty"`
}

// ClusterProfileSpec says whose the profile is.
type ClusterProfileSpec struct {
	DisplayName    string         `json:"displayName,omitempty"`
	ClusterManager ClusterManager `json:"clusterManager"`
}

// ClusterManager is who keeps the profile.
type ClusterManager struct {
	Name string `json:"name"`
}

// ClusterProfileStatus is what the manager knows of the cluster.
type ClusterProfileStatus struct {
	Conditions      []metav1.Condition `json:"conditions,omitempty"`
	Version         ClusterVersion     `json:"version,omitempty"`
	Properties      []Property         `json:"properties,omitempty"`
	AccessProviders []AccessProvider   `json:"accessProviders,omitempty"`
}

// ClusterVersion has the versions of the cluster's parts.
type ClusterVersion struct {
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Property is one thing that is known of the cluster.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// AccessProvider is one way to the cluster: the kind of credential that it takes, and its cluster as in a kubeconfig.
type AccessProvider struct {
	Name    string              `json:"name"`
	Cluster clientcmdv1.Cluster `json:"cluster,omitempty"`
}

// ClusterProfileList is a list of them.
type ClusterProfileList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterProfile `json:"items"`
}
