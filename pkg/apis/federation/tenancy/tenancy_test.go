package tenancy_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

var update = flag.Bool("update", false, "write the table into the docs")

func tenant(name, group string) tenancy.Tenant {
	return tenancy.Of(map[string]string{v1alpha1.TenantLabel: name, v1alpha1.WorkspaceGroupLabel: group})
}

// The cases are written out here, and not taken from Table: that would be the rule against
// itself.
func TestTheRule(t *testing.T) {
	for name, test := range map[string]struct {
		namespace, member tenancy.Tenant
		cluster, unit     bool
	}{
		"no labels anywhere: everything works":                     {tenant("", ""), tenant("", ""), true, true},
		"a tenant's member is closed to those who have none":       {tenant("", ""), tenant("a", ""), false, false},
		"a whole cluster of nobody is not a tenant's; cells share": {tenant("a", ""), tenant("", ""), false, true},
		"the same tenant":           {tenant("a", ""), tenant("a", ""), true, true},
		"another tenant":            {tenant("a", ""), tenant("b", ""), false, false},
		"the same tenant and group": {tenant("a", "x"), tenant("a", "x"), true, true},
		"another group":             {tenant("a", "x"), tenant("a", "y"), false, false},
		"a member that does not carry the namespace's group":      {tenant("a", "x"), tenant("a", ""), false, false},
		"a group's member is not for all of the tenant":           {tenant("a", ""), tenant("a", "y"), false, false},
		"a group of the same name in another tenant":              {tenant("a", "x"), tenant("b", "x"), false, false},
		"a group without a tenant is a group of its own":          {tenant("", "x"), tenant("", ""), false, true},
		"a group without a tenant is not the tenant's same group": {tenant("", "x"), tenant("a", "x"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for use, want := range map[tenancy.Use]bool{tenancy.WholeCluster: test.cluster, tenancy.Unit: test.unit} {
				if got := tenancy.Allows(test.namespace, test.member, use); got != want {
					t.Errorf("use %d: got %v, want %v", use, got, want)
				}
				if refusal := tenancy.Refusal("shop", test.namespace, test.member, use); (refusal == "") != want {
					t.Errorf("use %d: got refusal %q, want one: %v", use, refusal, !want)
				}
			}
		})
	}
}

func TestRefusalsNameTheLabelThatDiffers(t *testing.T) {
	for want, got := range map[string]string{
		`has the label federation.koinon.io/tenant=b, and namespace "shop" has a: both must be the same`:                 tenancy.Refusal("shop", tenant("a", "x"), tenant("b", ""), tenancy.Unit),
		`has no label federation.koinon.io/workspace-group, and namespace "shop" has x: both must be the same`:           tenancy.Refusal("shop", tenant("a", "x"), tenant("a", ""), tenancy.Unit),
		`has the label federation.koinon.io/tenant=a, and an object without a namespace has none: both must be the same`: tenancy.Refusal("", tenant("", ""), tenant("a", ""), tenancy.WholeCluster),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestACellIsItsNamespacesUnlessItsLabelsSayOtherwise(t *testing.T) {
	namespace := tenant("a", "x")
	for name, test := range map[string]struct {
		labels  map[string]string
		refused bool
	}{
		"without labels":               {nil, false},
		"with the namespace's tenant":  {tenant("a", "").Labels(), false},
		"with both of the namespace's": {namespace.Labels(), false},
		"with another tenant":          {tenant("b", "").Labels(), true},
		"with another group":           {tenant("", "y").Labels(), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tenancy.UnitRefusal("shop", namespace, test.labels); (got != "") != test.refused {
				t.Errorf("got refusal %q, want one: %v", got, test.refused)
			}
		})
	}
}

func TestTheDocsHaveTheTable(t *testing.T) {
	const (
		file       = "../../../../docs/propagation.md"
		begin, end = "<!-- The table of package tenancy; its test writes it with -update. -->\n", "<!-- End of the table. -->"
	)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	want := "\n" + tenancy.Markdown() + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got); run this test with -update:\n%s", file, diff)
	}
}
