package app

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheRolesOfUsersGiveNoRightsInMembers(t *testing.T) {
	roles, err := userRoles()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		for _, rule := range role.Rules {
			for _, verb := range []string{"*", "bind", "escalate"} {
				if slices.Contains(rule.Verbs, verb) {
					t.Errorf("%s has the verb %s", role.Name, verb)
				}
			}
			for _, resource := range rule.Resources {
				if resource == "*" || strings.Contains(resource, "role") {
					t.Errorf("%s has %s", role.Name, resource)
				}
			}
		}
	}
}

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
		// They are given to programs.
		"koinon:tunnel": nil, "koinon:tunnel-kubelets": nil, "koinon:tunnel-connections": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}
