package tenancy

import (
	"fmt"
	"strings"
)

// Case is one line of the rule's table.
type Case struct {
	Namespace, Member Tenant
	// Cluster and Unit are what Allows answers.
	Cluster, Unit bool
}

// Table returns the rule for every pair of tenants that differ in kind.
func Table() []Case {
	tenants := []Tenant{{}, {Name: "a"}, {Name: "a", WorkspaceGroup: "x"}}
	members := append(tenants, Tenant{Name: "a", WorkspaceGroup: "y"}, Tenant{Name: "b"})
	var cases []Case
	for _, namespace := range tenants {
		for _, member := range members {
			cases = append(cases, Case{
				Namespace: namespace, Member: member,
				Cluster: Allows(namespace, member, WholeCluster),
				Unit:    Allows(namespace, member, Unit),
			})
		}
	}
	return cases
}

// Markdown renders Table as the docs have it.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| labels of the namespace | labels of the member | objects in the whole cluster | cells and edge units in the member |\n|---|---|---|---|\n")
	for _, c := range Table() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Namespace, c.Member, answer(c.Cluster), answer(c.Unit))
	}
	return b.String()
}

func answer(allowed bool) string {
	if allowed {
		return "yes"
	}
	return "refused"
}

// String shows the two labels for people, and is what v1alpha1.LeaveCopiesAnnotation says.
func (t Tenant) String() string {
	switch {
	case t == Tenant{}:
		return "none"
	case t.WorkspaceGroup == "":
		return "tenant=" + t.Name
	case t.Name == "":
		return "workspace-group=" + t.WorkspaceGroup
	default:
		return "tenant=" + t.Name + ", workspace-group=" + t.WorkspaceGroup
	}
}
