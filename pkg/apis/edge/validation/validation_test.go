package validation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/edge/validation"
)

func unit(change func(*v1alpha1.EdgeUnit)) *v1alpha1.EdgeUnit {
	u := &v1alpha1.EdgeUnit{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "store7"},
		Spec: v1alpha1.EdgeUnitSpec{
			ClusterName: "m1", MemberNamespace: "shop-store7",
			NodeSelector: map[string]string{v1alpha1.UnitLabel: "store7"},
		},
	}
	if change != nil {
		change(u)
	}
	return u
}

func TestEdgeUnit(t *testing.T) {
	const immutable = `may not be changed from "m1": delete the object and create another`
	for name, test := range map[string]struct {
		change func(*v1alpha1.EdgeUnit)
		want   []string
	}{
		"an edge unit is fine": {},
		"nodes may change": {
			change: func(u *v1alpha1.EdgeUnit) { u.Spec.NodeSelector = map[string]string{"rack": "3"} }},
		"a name with a dot": {
			change: func(u *v1alpha1.EdgeUnit) { u.Name = "store.7" },
			want:   []string{`metadata.name: Invalid value: "store.7": must not contain a dot: the name and the namespace, joined by a dot, are the name of a KubeFedCluster`}},
		"no nodes": {
			change: func(u *v1alpha1.EdgeUnit) { u.Spec.NodeSelector = nil },
			want:   []string{`spec.nodeSelector: Required value: must have a label: an empty selector would be every node`}},
		"another member": {
			change: func(u *v1alpha1.EdgeUnit) { u.Spec.ClusterName = "m2" },
			want:   []string{`spec.clusterName: Invalid value: "m2": ` + immutable}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, validation.EdgeUnitUpdate(unit(test.change), unit(nil)), test.want...)
		})
	}
}

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
