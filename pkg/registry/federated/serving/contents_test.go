package serving_test

import (
	"testing"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
)

// Whether a type is Disabled is told with its objects as its FederatedTypeConfig has it now, although the kind is served as before.
func TestWhatIsInANamespaceIsToldWithWhetherItsTypeIsDisabled(t *testing.T) {
	a := newAPI(t, nil)
	guarded(a, "web")
	kinds := a.server.Kinds()
	for _, want := range []bool{false, true, false} {
		if err := a.server.Serve(kinds, map[federated.Kind]serving.Settings{kinds[0]: {Disabled: want}}); err != nil {
			t.Fatal(err)
		}
		visited := 0
		if err := a.server.InNamespace(t.Context(), namespace, func(o *typesv1beta2.FederatedObject, disabled bool) error {
			if visited++; disabled != want {
				t.Errorf("%s: disabled is %v, want %v", o.Name, disabled, want)
			}
			return nil
		}); err != nil || visited != 1 {
			t.Errorf("%d objects were visited, want 1: %v", visited, err)
		}
	}
}
