package cells

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// written is a Kind that keeps the conditions of the last status, nil if none was written.
type written struct {
	Kind
	conditions []metav1.Condition
}

func (w *written) Patch(_ context.Context, _, _ string, patch []byte, _ ...string) (string, error) {
	var object struct {
		Status struct{ Conditions []metav1.Condition }
	}
	err := json.Unmarshal(patch, &object)
	w.conditions = object.Status.Conditions
	return "", err
}

func (w *written) status(name string) string {
	for _, c := range w.conditions {
		if c.Type == name {
			return string(c.Status)
		}
	}
	return ""
}

func TestACellSaysThatAnotherEngineSeesItsMemberTwice(t *testing.T) {
	member := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1"}}
	unit := Unit{TopologyType: v1beta2.TopologyCell, Namespace: "shop", Name: "rz00a", Member: "m1", Generation: 1}
	seen := unit
	seen.Conditions = []metav1.Condition{observation{unit: unit, member: member}.seenTwice()}
	for name, test := range map[string]struct {
		other bool
		o     observation
		want  string
	}{
		"both clusters are there":         {true, observation{unit: unit, member: member}, "True"},
		"the member is not":               {true, observation{unit: seen}, ""},
		"our engine propagates":           {false, observation{unit: unit, member: member}, ""},
		"our engine propagates from then": {false, observation{unit: seen, member: member}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.otherEngine = test.other
			c := &Controller{Config: Config{SystemNamespace: "system", OtherEngine: test.other}, writes: writes{byUnit: map[key]versions{}}}
			kind := &written{}
			if err := c.writeStatus(t.Context(), kind, test.o); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, kind.status("MemberSeenTwice")); diff != "" || kind.status("Ready") == "" {
				t.Errorf("got conditions %v (-want +got):\n%s", kind.conditions, diff)
			}
		})
	}
}

// What is counted anew, and what was told, decides on what a cell says of its move; else it is as it was.
func TestACellMovesNoMoreWhenThatWasToldOrNobodyCounts(t *testing.T) {
	unit := Unit{TopologyType: v1beta2.TopologyCell, Namespace: "shop", Name: "rz00a", Member: "m1", Generation: 1,
		Conditions: []metav1.Condition{{Type: federationv1alpha1.CellMoving, Status: metav1.ConditionTrue}}}
	for name, test := range map[string]struct {
		other   bool
		counted Count
		want    string
	}{
		"it waits for nothing":                 {counted: Count{Known: true, WaitsTold: true}, want: ""},
		"nothing was told of it since a start": {counted: Count{Known: true}, want: "True"},
		"not all of its objects are known":     {counted: Count{WaitsTold: true}, want: "True"},
		"another engine propagates":            {other: true, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Controller{Config: Config{SystemNamespace: "system", OtherEngine: test.other}, writes: writes{byUnit: map[key]versions{}}}
			if !test.other {
				c.Census = func(string, string) Count { return test.counted }
			}
			kind := &written{}
			o := observation{unit: unit, member: &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1"}}, otherEngine: test.other, counted: test.counted}
			if err := c.writeStatus(t.Context(), kind, o); err != nil {
				t.Fatal(err)
			}
			if got := kind.status(federationv1alpha1.CellMoving); got != test.want {
				t.Errorf("Moving is %q, want %q", got, test.want)
			}
		})
	}
}
