package cell

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/membernamespace"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

// directory knows the member m1, and no labels.
type directory struct{}

func (directory) Member(_ context.Context, name string) (*corev1beta1.KubeFedCluster, error) {
	if name != "m1" {
		return nil, apierrors.NewNotFound(corev1beta1.Resource("kubefedclusters"), name)
	}
	return &corev1beta1.KubeFedCluster{}, nil
}

func (directory) NamespaceLabels(context.Context, string) (map[string]string, error) { return nil, nil }

func newTestStrategy(t *testing.T) strategy {
	t.Helper()
	book, err := seats.NewBook(directory{}, directory{}, membernamespace.Pages{})
	if err != nil {
		t.Fatal(err)
	}
	return newStrategy(runtime.NewScheme(), book)
}

func stored() *v1alpha1.Cell {
	return &v1alpha1.Cell{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rz00a", Generation: 3},
		Spec:       v1alpha1.CellSpec{ClusterName: "m1", MemberNamespace: "ns1"},
		Status:     v1alpha1.CellStatus{KubeFedCluster: "rz00a.shop"},
	}
}

func TestCreate(t *testing.T) {
	for name, test := range map[string]struct{ memberNamespace, want string }{
		"a namespace that is set is kept":       {memberNamespace: "ns1", want: "ns1"},
		"a namespace that is left out is named": {want: "shop-rz00a"},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := stored(), stored()
			got.Spec.MemberNamespace = test.memberNamespace
			want.Spec.MemberNamespace, want.Status, want.Generation = test.want, v1alpha1.CellStatus{}, 1
			newTestStrategy(t).PrepareForCreate(t.Context(), got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANamespaceThatIsLeftOutStays(t *testing.T) {
	got := stored()
	got.Spec.MemberNamespace = ""
	newTestStrategy(t).PrepareForUpdate(t.Context(), got, stored())
	if diff := cmp.Diff(stored(), got); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestAMissingMemberIsWarnedAbout(t *testing.T) {
	want := []string{`spec.clusterName: there is no KubeFedCluster "m9" yet; the cell is not ready until there is one`}
	cell := stored()
	if got := newTestStrategy(t).WarningsOnCreate(t.Context(), cell); got != nil {
		t.Errorf("got %q, want no warning", got)
	}
	cell.Spec.ClusterName = "m9"
	if diff := cmp.Diff(want, newTestStrategy(t).WarningsOnCreate(t.Context(), cell)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
