package render

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// An object that is older than the rule of admission comes to the engine.
func TestAnOverrideOfAReservedLabelOfANamespaceIsNotSent(t *testing.T) {
	for path, value := range map[string]string{
		"/metadata/labels/pod-security.kubernetes.io~1enforce": `"privileged"`,
		"/metadata/labels/federation.koinon.io~1tenant":        `"b"`,
		"/metadata/labels": `{"pod-security.kubernetes.io/enforce":"privileged"}`,
		"/metadata":        `{}`,
	} {
		in := input(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
		in.Overrides = []v1beta2.Override{{TopologyName: "rz00a", TopologyOverrides: []v1beta2.OverridePatch{{Op: "add", Path: path, Value: rawjson.Value(value)}}}}
		if _, err := Render(in); err != nil {
			t.Errorf("override %s of a Deployment: %v", path, err)
		}
		in.Kind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
		var refused *OverrideError
		if m, err := Render(in); !errors.As(err, &refused) {
			t.Errorf("override %s: got %v and error %v, want an OverrideError", path, m, err)
		}
	}
}
