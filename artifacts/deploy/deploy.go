// Package deploy holds the manifests that install Koinon in a host cluster, for kustomize
// and for "koinon install-manifests". They hold the values that they are made with; see
// Namespace, Image and DatastoreSecret.
package deploy

import "embed"

// What stands in the manifests where an installation may have something else.
const (
	Namespace = "kube-federation-system"
	// Image is of no release: "install-manifests --image" or kustomize's "images" say which.
	Image           = "ghcr.io/koinon-io/koinon:v0.0.0"
	DatastoreSecret = "koinon-datastore"
)

// Files are the names of the manifests in the order in which to apply them.
var Files = []string{"namespace.yaml", "rbac.yaml", "rbac-users.yaml", "server.yaml", "networkpolicy.yaml"}

// FS has the manifests.
//
//go:embed namespace.yaml rbac.yaml rbac-users.yaml server.yaml networkpolicy.yaml
var FS embed.FS
