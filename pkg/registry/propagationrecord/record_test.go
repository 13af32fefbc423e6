package propagationrecord

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

func stored() *v1alpha1.PropagatedVersion {
	return &v1alpha1.PropagatedVersion{
		ObjectMeta: metav1.ObjectMeta{Name: "configmap-cm", Generation: 1},
		Status:     v1alpha1.PropagatedVersionStatus{TemplateVersion: "abc"},
	}
}

func TestWrites(t *testing.T) {
	base := objectstore.NewBase(runtime.NewScheme(), objectstore.Namespaced, v1alpha1.SchemeGroupVersion)
	object := strategy[*v1alpha1.PropagatedVersion]{base, func(v *v1alpha1.PropagatedVersion) *v1alpha1.PropagatedVersionStatus { return &v.Status }}
	status := statusStrategy[*v1alpha1.PropagatedVersion]{base}
	change := func(v *v1alpha1.PropagatedVersion) {
		v.Labels, v.Status.TemplateVersion = map[string]string{"a": "b"}, "def"
	}
	for name, test := range map[string]struct {
		prepare      func(v, old *v1alpha1.PropagatedVersion)
		change, want func(*v1alpha1.PropagatedVersion)
	}{
		"a new record has no status yet, as with a custom resource": {
			prepare: func(v, _ *v1alpha1.PropagatedVersion) { object.PrepareForCreate(t.Context(), v) },
			change:  func(*v1alpha1.PropagatedVersion) {},
			want:    func(v *v1alpha1.PropagatedVersion) { v.Status = v1alpha1.PropagatedVersionStatus{} }},
		"a write of the object keeps the status": {
			prepare: func(v, old *v1alpha1.PropagatedVersion) { object.PrepareForUpdate(t.Context(), v, old) },
			change:  change,
			want:    func(v *v1alpha1.PropagatedVersion) { v.Labels = map[string]string{"a": "b"} }},
		"a write of the status keeps the metadata": {
			prepare: func(v, old *v1alpha1.PropagatedVersion) { status.PrepareForUpdate(t.Context(), v, old) },
			change:  change,
			want:    func(v *v1alpha1.PropagatedVersion) { v.Status.TemplateVersion = "def" }},
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
