package api_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/koinon-io/koinon/test/testbed"
)

// The roles say of federated kinds what artifacts/deploy/rbac-users.yaml says in a host
// cluster.
func TestViewEditAndAdminCoverFederatedKinds(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("roles")
	for _, role := range []string{"view", "edit", "admin"} {
		f.kubectl("create", "-n", namespace, "rolebinding", role, "--clusterrole="+role, "--user=user-of-"+role)
	}
	may := func(role, verb, resource string) bool {
		return testbed.RunKubectl(t, f.server.Kubeconfig(), "", "auth", "can-i", verb, resource, "-n", namespace, "--as=user-of-"+role).Err == nil
	}
	f.eventually("the roles are aggregated", func(context.Context) error {
		if !may("admin", "create", "federatednamespaces.types.kubefed.io") || !may("edit", "create", "federatedconfigmaps.types.kubefed.io") || !may("view", "list", "cells.federation.koinon.io") {
			return fmt.Errorf("they are not")
		}
		return nil
	})
	for _, test := range []struct {
		role, verb, resource string
		want                 bool
	}{
		{"view", "list", "federateddeployments.types.kubefed.io", true},
		{"view", "get", "federatedsecrets.types.kubefed.io", false},
		{"view", "create", "federateddeployments.types.kubefed.io", false},
		{"view", "list", "cells.federation.koinon.io", true},
		{"edit", "delete", "federateddeployments.types.kubefed.io", true},
		{"edit", "get", "federatedsecrets.types.kubefed.io", true},
		{"edit", "create", "replicaschedulingpreferences.scheduling.kubefed.io", true},
		{"edit", "create", "federatednamespaces.types.kubefed.io", false},
		{"edit", "create", "federatedclusterroles.types.kubefed.io", false},
		{"admin", "get", "federatedsecrets.types.kubefed.io", true},
		{"admin", "create", "cells.federation.koinon.io", false},
		{"admin", "create", "kubefedclusters.core.kubefed.io", false},
	} {
		if got := may(test.role, test.verb, test.resource); got != test.want {
			t.Errorf("%s may %s %s: %v, want %v", test.role, test.verb, test.resource, got, test.want)
		}
	}
}
