package quickstart

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestPropagated(t *testing.T) {
	done := []v1beta2.Condition{{Type: v1beta2.ConditionPropagation, Status: metav1.ConditionTrue}}
	tests := map[string]struct {
		status v1beta2.FederatedObjectStatus
		want   string
	}{
		"every target runs it": {
			status: v1beta2.FederatedObjectStatus{ObservedGeneration: 2, Conditions: done, Targets: []v1beta2.TargetStatus{{Name: "a"}}},
		},
		"the status is of an earlier generation": {
			status: v1beta2.FederatedObjectStatus{ObservedGeneration: 1, Conditions: done, Targets: []v1beta2.TargetStatus{{Name: "a"}}},
			want:   "its latest change was not looked at yet",
		},
		"placed nowhere": {
			status: v1beta2.FederatedObjectStatus{ObservedGeneration: 2, Conditions: done},
			want:   "it has no targets",
		},
		"a target that failed": {
			status: v1beta2.FederatedObjectStatus{ObservedGeneration: 2, Targets: []v1beta2.TargetStatus{
				{Name: "a"}, {Name: "b", State: v1beta2.TargetCreationFailed, Message: "no room"},
			}},
			want: "target b is CreationFailed: no room",
		},
		"not said to be done": {
			status: v1beta2.FederatedObjectStatus{ObservedGeneration: 2, Targets: []v1beta2.TargetStatus{{Name: "a"}}},
			want:   "its condition Propagation is not True",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			object := &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: &test.status}
			got := ""
			if err := propagated(object); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestPrintTable(t *testing.T) {
	var out bytes.Buffer
	printTable(&out, []row{
		{kind: "FederatedDeployment", name: "web", ready: "2/2", target: v1beta2.TargetStatus{Name: "rz00a", Cluster: "m1", Namespace: "shop-rz00a"}},
		{kind: "FederatedConfigMap", name: "settings", target: v1beta2.TargetStatus{Name: "m9", State: v1beta2.TargetNotFound}},
	})
	want := `KIND                  NAME       TARGET   MEMBER   NAMESPACE    READY   STATE
FederatedDeployment   web        rz00a    m1       shop-rz00a   2/2     OK
FederatedConfigMap    settings   m9       -        -            -       TargetNotFound
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
