package strategy

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhatRanToItsEndIsShownAsUpToDate(t *testing.T) {
	got := summarize(&typesv1beta2.FederatedObjectStatus{Targets: []typesv1beta2.TargetStatus{
		{Name: "m1", State: typesv1beta2.TargetEnded}, {Name: "m2"}, {Name: "m3", State: typesv1beta2.TargetContested}, {Name: "m4", State: typesv1beta2.TargetMasked},
	}})
	want := summary{targets: "4", propagated: "Unknown", healthy: "Unknown", ready: "-", masked: "1", upToDate: "2/4", firstTrouble: "m3: Contested"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReplicasThatAreReadyAreShown(t *testing.T) {
	status := &typesv1beta2.FederatedObjectStatus{
		Conditions: []typesv1beta2.Condition{{Type: typesv1beta2.ConditionPropagation, Status: "True"}, {Type: typesv1beta2.ConditionHealthy, Status: "False"}},
		Workload:   &typesv1beta2.WorkloadStatus{DesiredReplicas: 6, ReadyReplicas: 5, Replicas: 7},
		Targets:    []typesv1beta2.TargetStatus{{Name: "m1", Health: "Healthy"}, {Name: "m2", Health: "Progressing", HealthMessage: "Ready: 2/3"}},
	}
	o := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Status: status}
	for name, test := range map[string]struct {
		kind          schema.GroupKind
		columns, wide string
	}{
		"a workload has a column for them": {schema.GroupKind{Group: "apps", Kind: "Deployment"},
			"Name=web Topology= Targets=2 Propagated=True Ready=5/6 Masked=0 Age=<unknown>", "Up-to-date=2/2 Healthy=False Not-ready=m2: Progressing, Ready: 2/3"},
		"another kind has one in wide tables": {schema.GroupKind{Group: "example.com", Kind: "Database"},
			"Name=web Topology= Targets=2 Propagated=True Masked=0 Age=<unknown>", "Up-to-date=2/2 Healthy=False Not-ready=m2: Progressing, Ready: 2/3 Ready=5/6"},
	} {
		table, err := newTableConvertor(test.kind).ConvertToTable(t.Context(), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		var columns, wide []string
		for i, c := range table.ColumnDefinitions {
			if text := fmt.Sprintf("%s=%v", c.Name, table.Rows[0].Cells[i]); c.Priority == 0 {
				columns = append(columns, text)
			} else {
				wide = append(wide, text)
			}
		}
		if got := strings.Join(columns, " "); got != test.columns {
			t.Errorf("%s: got %s, want %s", name, got, test.columns)
		}
		if got := strings.Join(wide, " "); got != test.wide {
			t.Errorf("%s: got wide %s, want %s", name, got, test.wide)
		}
	}
}

func TestTheScaleHasTheReplicasOfAllTargets(t *testing.T) {
	for name, test := range map[string]struct {
		status *typesv1beta2.FederatedObjectStatus
		want   int32
	}{
		"none yet":                   {nil, 0},
		"as our engine adds them up": {&typesv1beta2.FederatedObjectStatus{Workload: &typesv1beta2.WorkloadStatus{Replicas: 7}, Targets: []typesv1beta2.TargetStatus{{RemoteStatus: []byte(`{"replicas":2}`)}}}, 7},
		"as another engine has their statuses told": {&typesv1beta2.FederatedObjectStatus{Targets: []typesv1beta2.TargetStatus{{RemoteStatus: []byte(`{"replicas":2}`)}, {RemoteStatus: []byte(`{"replicas":3}`)}}}, 5},
	} {
		if got := runningReplicas(test.status); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}
