package render

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// An object that is older than the rule of admission comes to the engine.
func TestAnOverrideOfANamespaceIsNotSent(t *testing.T) {
	for path, value := range map[string]string{
		"/metadata/labels/pod-security.kubernetes.io~1enforce":               `"privileged"`,
		"/metadata/labels/name":                                              `"kube-system"`,
		"/metadata/labels":                                                   `{}`,
		"/metadata/annotations/scheduler.alpha.kubernetes.io~1node-selector": `"pool=gpu"`,
		"/metadata": `{}`,
		"/spec":     `{"finalizers":["example.com/for-ever"]}`,
	} {
		in := input(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
		in.Overrides = []v1beta2.Override{{TopologyName: "rz00a", TopologyOverrides: []v1beta2.OverridePatch{{Op: "add", Path: path, Value: rawjson.Value(value)}}}}
		if _, err := render(t, in); err != nil {
			t.Errorf("override %s of a Deployment: %v", path, err)
		}
		in.Kind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
		var refused *OverrideError
		if m, err := render(t, in); !errors.As(err, &refused) {
			t.Errorf("override %s: got %v and error %v, want an OverrideError", path, m, err)
		}
	}
}

func TestTheFinalizersOfANamespaceAreTheMembersOwn(t *testing.T) {
	in := input(`{"spec":{"finalizers":["example.com/for-ever"]},"metadata":{"finalizers":["example.com/for-ever"],"ownerReferences":[{"name":"gone"}]}}`)
	in.Kind, in.Namespace = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, ""
	m, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(m.JSON), "for-ever") || strings.Contains(string(m.JSON), "gone") {
		t.Errorf("sent is %s", m.JSON)
	}
}

// API servers set that label to the name: another value would be drift for ever.
func TestTheNameInTheLabelsOfANamespaceIsThatInTheMember(t *testing.T) {
	in := input(`{"metadata":{"labels":{"kubernetes.io/metadata.name":"shop"}}}`)
	in.Kind, in.ObjectName, in.Namespace = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "shop-rz00a", ""
	m, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	live := map[string]string{"kubernetes.io/metadata.name": "shop-rz00a", "kubefed.io/managed": "true"}
	if !m.Has(live, m.Annotations) {
		t.Errorf("got labels %v, which a namespace in a member never has", m.Labels)
	}
}
