package host

import (
	rbacv1 "k8s.io/api/rbac/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
)

// addClusterRoles has cluster roles made at every start in the way in which Kubernetes makes
// its own. Those that are labelled for it become part of view, edit and admin.
func addClusterRoles(server *genericapiserver.GenericAPIServer, roles []rbacv1.ClusterRole) error {
	if len(roles) == 0 {
		return nil
	}
	policy := &rbacrest.PolicyData{ClusterRoles: roles}
	return server.AddPostStartHook("koinon-cluster-roles", policy.EnsureRBACPolicy())
}
