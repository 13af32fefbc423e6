package validation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
)

func expect(t *testing.T, got field.ErrorList, want ...string) {
	t.Helper()
	var lines []string
	for _, err := range got {
		lines = append(lines, err.Error())
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(lines, "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func cell(change func(*v1alpha1.Cell)) *v1alpha1.Cell {
	c := &v1alpha1.Cell{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rz00a"},
		Spec:       v1alpha1.CellSpec{ClusterName: "m1", MemberNamespace: "shop-rz00a"},
	}
	if change != nil {
		change(c)
	}
	return c
}

func TestCell(t *testing.T) {
	const dns = `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an ` +
		`alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`
	long := strings.Repeat("x", 60)
	for name, test := range map[string]struct {
		change func(*v1alpha1.Cell)
		want   []string
	}{
		"a cell is fine": {},
		"a name with a dot": {
			change: func(c *v1alpha1.Cell) { c.Name = "rz00a.b" },
			want:   []string{`metadata.name: Invalid value: "rz00a.b": must not contain a dot: the name and the namespace, joined by a dot, are the name of a KubeFedCluster`}},
		"a name that is none": {
			change: func(c *v1alpha1.Cell) { c.Name = "RZ" },
			want:   []string{`metadata.name: Invalid value: "RZ": ` + dns}},
		"no member": {
			change: func(c *v1alpha1.Cell) { c.Spec.ClusterName = "" },
			want:   []string{`spec.clusterName: Required value: must be the name of a KubeFedCluster`}},
		"a member that is a cell": {
			change: func(c *v1alpha1.Cell) { c.Spec.ClusterName = "rz01a.shop" },
			want:   []string{`spec.clusterName: Invalid value: "rz01a.shop": must be the name of a KubeFedCluster that is a member; names with a dot are those of cells and edge units`}},
		"no namespace": {
			change: func(c *v1alpha1.Cell) { c.Spec.MemberNamespace = "" },
			want:   []string{`spec.memberNamespace: Required value: must be the name of a namespace in the member`}},
		"a namespace that is none": {
			change: func(c *v1alpha1.Cell) { c.Spec.MemberNamespace = "a.b" },
			want:   []string{`spec.memberNamespace: Invalid value: "a.b": must not contain dots`}},
		"a default that is too long": {
			change: func(c *v1alpha1.Cell) { c.Name, c.Spec.MemberNamespace = long, "shop-"+long },
			want:   []string{`spec.memberNamespace: Invalid value: "shop-` + long + `": the default, <namespace>-<name>, is longer than 63 characters: set a shorter name`}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, validation.Cell(cell(test.change)), test.want...)
		})
	}
}

func TestCellMovesUnlessItIsBeingDeleted(t *testing.T) {
	moved := cell(func(c *v1alpha1.Cell) { c.Spec.ClusterName, c.Spec.MemberNamespace = "m2", "other" })
	expect(t, validation.CellUpdate(moved, cell(nil)))
	expect(t, validation.CellUpdate(moved, cell(func(c *v1alpha1.Cell) { c.DeletionTimestamp = &metav1.Time{} })),
		`spec.clusterName: Invalid value: "m2": may not be changed from "m1" while the cell is being deleted`,
		`spec.memberNamespace: Invalid value: "other": may not be changed from "shop-rz00a" while the cell is being deleted`)
}

func TestDeletionPolicy(t *testing.T) {
	expect(t, validation.Cell(cell(func(c *v1alpha1.Cell) { c.Spec.DeletionPolicy = v1alpha1.DeletionDrains })))
	expect(t, validation.Cell(cell(func(c *v1alpha1.Cell) { c.Spec.DeletionPolicy = "Orphan" })),
		`spec.deletionPolicy: Unsupported value: "Orphan": supported values: "Refuse", "Drain"`)
}
