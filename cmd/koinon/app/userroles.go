package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/koinon-io/koinon/artifacts/deploy"
)

// userRolesFile says what view, edit and admin mean for federated objects. It is installed in
// a host cluster as it is; an embedded host gets the roles that are in it.
const userRolesFile = "rbac-users.yaml"

// userRoles are the cluster roles of the manifest, in its order.
func userRoles() ([]rbacv1.ClusterRole, error) {
	content, err := deploy.FS.ReadFile(userRolesFile)
	if err != nil {
		return nil, fmt.Errorf("read the roles of users: %w", err)
	}
	var roles []rbacv1.ClusterRole
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var role rbacv1.ClusterRole
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			return roles, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the roles of users in %s: %w", userRolesFile, err)
		}
		if role.Kind != "ClusterRole" {
			return nil, fmt.Errorf("read the roles of users in %s: %s %q is no ClusterRole", userRolesFile, role.Kind, role.Name)
		}
		roles = append(roles, role)
	}
}
