package placement

import (
	"fmt"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// Tenant is what the tenant labels of a namespace, cluster or cell say. The zero value
// belongs to nobody.
type Tenant struct {
	Name           string
	WorkspaceGroup string
}

// TenantOf reads the two tenant labels; a missing label is an empty field.
func TenantOf(labels map[string]string) Tenant {
	return Tenant{
		Name:           labels[federationv1alpha1.TenantLabel],
		WorkspaceGroup: labels[federationv1alpha1.WorkspaceGroupLabel],
	}
}

// Labels returns the labels that TenantOf reads; a tenant of nobody has none.
func (t Tenant) Labels() map[string]string {
	labels := map[string]string{}
	if t.Name != "" {
		labels[federationv1alpha1.TenantLabel] = t.Name
	}
	if t.WorkspaceGroup != "" {
		labels[federationv1alpha1.WorkspaceGroupLabel] = t.WorkspaceGroup
	}
	return labels
}

// Owns reports whether a cluster with other's labels is one that t's namespaces may
// reach: both labels are equal, or absent on both sides.
func (t Tenant) Owns(other Tenant) bool { return t == other }

// MayUse reports whether cells of t may lie in a member with other's labels: each label
// that the member carries is t's. One that carries none is shared by all.
func (t Tenant) MayUse(other Tenant) bool {
	return (other.Name == "" || other.Name == t.Name) &&
		(other.WorkspaceGroup == "" || other.WorkspaceGroup == t.WorkspaceGroup)
}

// String names the tenant in messages for people.
func (t Tenant) String() string {
	switch {
	case t == Tenant{}:
		return "no tenant"
	case t.WorkspaceGroup == "":
		return fmt.Sprintf("tenant %q", t.Name)
	default:
		return fmt.Sprintf("tenant %q, workspace group %q", t.Name, t.WorkspaceGroup)
	}
}
