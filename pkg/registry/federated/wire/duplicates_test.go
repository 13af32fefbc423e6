package wire

import (
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

func TestKeysThatComeTwiceAreToldUpToABound(t *testing.T) {
	patches := make([]v1beta2.OverridePatch, 10_000)
	for i := range patches {
		patches[i].Value = rawjson.Value(`{"a":1,"a":2,"b":1,"b":2,"c":1,"c":2}`)
	}
	obj := &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{Overrides: []v1beta2.Override{{TopologyOverrides: patches}}}}
	if got := len(duplicateFields(obj)); got != mistakes.Max {
		t.Errorf("got %d, want %d", got, mistakes.Max)
	}
}
