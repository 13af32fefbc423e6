package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheRolesOfUsersAreThoseOfTheManifest(t *testing.T) {
	roles, err := userRoles()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	for _, role := range roles {
		got[role.Name] = role.Labels
		if len(role.Rules) == 0 {
			t.Errorf("%s gives no rights", role.Name)
		}
	}
	want := map[string]map[string]string{
		"koinon:view":  {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
		"koinon:edit":  {"rbac.authorization.k8s.io/aggregate-to-edit": "true"},
		"koinon:admin": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}
