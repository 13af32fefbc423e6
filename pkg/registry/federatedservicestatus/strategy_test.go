package federatedservicestatus

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

func TestGenerationCountsChangesOfTheContent(t *testing.T) {
	strategy := newStrategy(runtime.NewScheme())
	object := &v1alpha1.FederatedServiceStatus{}
	strategy.PrepareForCreate(t.Context(), object)
	same := object.DeepCopy()
	same.Labels = map[string]string{"a": "b"}
	strategy.PrepareForUpdate(t.Context(), same, object)
	changed := object.DeepCopy()
	changed.ClusterStatus = []v1alpha1.FederatedServiceClusterStatus{{ClusterName: "m1", Status: rawjson.Value(`{}`)}}
	strategy.PrepareForUpdate(t.Context(), changed, object)
	if object.Generation != 1 || same.Generation != 1 || changed.Generation != 2 {
		t.Errorf("created, labelled, changed: got generations %d, %d, %d, want 1, 1, 2",
			object.Generation, same.Generation, changed.Generation)
	}
}
