package edgeunit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
)

func stored() *v1alpha1.EdgeUnit {
	return &v1alpha1.EdgeUnit{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "store7", Generation: 3},
		Spec: v1alpha1.EdgeUnitSpec{
			ClusterName: "m1", MemberNamespace: "ns1", NodeSelector: map[string]string{"rack": "3"},
		},
		Status: v1alpha1.EdgeUnitStatus{KubeFedCluster: "store7.shop.edgeunit"},
	}
}

func TestWhatIsLeftOutFollowsFromTheName(t *testing.T) {
	object := newStrategy(runtime.NewScheme(), nil)
	create := func(u, _ *v1alpha1.EdgeUnit) { object.PrepareForCreate(t.Context(), u) }
	update := func(u, old *v1alpha1.EdgeUnit) { object.PrepareForUpdate(t.Context(), u, old) }
	for name, test := range map[string]struct {
		prepare      func(u, old *v1alpha1.EdgeUnit)
		change, want func(*v1alpha1.EdgeUnit)
	}{
		"a new edge unit gets its namespace and its nodes from its name": {
			prepare: create,
			change:  func(u *v1alpha1.EdgeUnit) { u.Spec.MemberNamespace, u.Spec.NodeSelector = "", nil },
			want: func(u *v1alpha1.EdgeUnit) {
				u.Spec.MemberNamespace = "shop-store7"
				u.Spec.NodeSelector = map[string]string{"edge.koinon.io/unit": "store7"}
				u.Status, u.Generation = v1alpha1.EdgeUnitStatus{}, 1
			}},
		"a namespace that is left out stays, nodes that are left out are the default": {
			prepare: update,
			change:  func(u *v1alpha1.EdgeUnit) { u.Spec.MemberNamespace, u.Spec.NodeSelector = "", nil },
			want: func(u *v1alpha1.EdgeUnit) {
				u.Spec.NodeSelector, u.Generation = map[string]string{"edge.koinon.io/unit": "store7"}, 4
			}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := stored(), stored()
			test.change(got)
			test.want(want)
			test.prepare(got, stored())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}
