package render

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

func TestRetain(t *testing.T) {
	for name, test := range map[string]struct {
		kind                 schema.GroupVersionKind
		retainReplicas       bool
		template, live, want string
		needsLive            bool
	}{
		"a cluster IP that the template names is the member's": {
			kind:     schema.GroupVersionKind{Version: "v1", Kind: "Service"},
			template: `{"spec":{"clusterIP":"10.0.0.1","type":"ClusterIP"}}`, live: `{"spec":{"clusterIP":"10.9.9.9"}}`,
			want: `{"clusterIP":"10.9.9.9","type":"ClusterIP"}`, needsLive: true,
		},
		"a cluster IP that the template does not name is not claimed": {
			kind:     schema.GroupVersionKind{Version: "v1", Kind: "Service"},
			template: `{"spec":{"type":"ClusterIP"}}`, live: `{"spec":{"clusterIP":"10.9.9.9"}}`,
			want: `{"type":"ClusterIP"}`, needsLive: true,
		},
		"a job's selector is the member's": {
			kind:     schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"},
			template: `{"spec":{"selector":{"a":"1"}}}`, live: `{"spec":{"selector":{"a":"2"}}}`,
			want: `{"selector":{"a":"2"}}`, needsLive: true,
		},
		"replicas are the member's on request": {
			kind: deployment, retainReplicas: true,
			template: `{"spec":{"replicas":1}}`, live: `{"spec":{"replicas":7}}`,
			want: `{"replicas":7}`, needsLive: true,
		},
		"replicas are ours otherwise": {
			kind: deployment, template: `{"spec":{"replicas":1}}`, live: `{"spec":{"replicas":7}}`,
			want: `{"replicas":1}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Render(Input{
				Template: rawjson.Value(test.template), Kind: test.kind, RetainReplicas: test.retainReplicas,
				Name: "web", Namespace: "shop", Source: "shop/web", TargetName: "rz00a",
			})
			if err != nil {
				t.Fatal(err)
			}
			if m.NeedsLive() != test.needsLive {
				t.Errorf("NeedsLive: got %v, want %v", m.NeedsLive(), test.needsLive)
			}
			live := map[string]any{}
			if err := json.Unmarshal([]byte(test.live), &live); err != nil {
				t.Fatal(err)
			}
			data, err := m.Retain(live, "42")
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Metadata metav1.ObjectMeta
				Spec     json.RawMessage
			}
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got.Spec)); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if got.Metadata.ResourceVersion != "42" {
				t.Errorf("got resourceVersion %q, want the one given", got.Metadata.ResourceVersion)
			}
		})
	}
}
