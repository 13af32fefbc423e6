package strategy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/warning"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/guard"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// told records warnings.
type told []string

func (w *told) AddWarning(_, text string) { *w = append(*w, text) }

func held() *typesv1beta2.FederatedObject {
	o := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Finalizers: []string{corev1beta1.SyncFinalizer}}}
	o.Status = &typesv1beta2.FederatedObjectStatus{Targets: []typesv1beta2.TargetStatus{{Name: "m1", Hash: "abc"}}}
	return o
}

func TestWhoTakesTheFinalizerAwayIsToldThatItStays(t *testing.T) {
	for sentence, test := range map[string]struct {
		change func(*typesv1beta2.FederatedObject)
		want   told
	}{
		"one who takes it away":   {func(o *typesv1beta2.FederatedObject) { o.Finalizers = nil }, told{guard.Kept}},
		"one who leaves it there": {func(o *typesv1beta2.FederatedObject) { o.Labels = map[string]string{"a": "b"} }, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			var got told
			ctx := warning.WithWarningRecorder(t.Context(), &got)
			old := held()
			changed := old.DeepCopy()
			test.change(changed)
			newStrategy().PrepareForUpdate(ctx, changed, old)
			if !slices.Contains(changed.Finalizers, corev1beta1.SyncFinalizer) {
				t.Errorf("got finalizers %v", changed.Finalizers)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// The library hands out copies of what is in the watch cache that share its lists.
func TestADeletionLeavesTheListOfACacheAsItIs(t *testing.T) {
	list := append(make([]string, 0, 4), "a/a")
	object := held()
	object.Finalizers = list
	newStrategy().CheckGracefulDelete(t.Context(), object, &metav1.DeleteOptions{})
	if diff := cmp.Diff([]string{"a/a", corev1beta1.SyncFinalizer}, object.Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
	if got := list[:2][1]; got != "" {
		t.Errorf("%s was written into the list of the cache", got)
	}
}
