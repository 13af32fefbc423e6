package strategy

import (
	"testing"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhatRanToItsEndIsShownAsUpToDate(t *testing.T) {
	got := summarize(&typesv1beta2.FederatedObjectStatus{Targets: []typesv1beta2.TargetStatus{
		{Name: "m1", State: typesv1beta2.TargetEnded}, {Name: "m2"}, {Name: "m3", State: typesv1beta2.TargetContested}, {Name: "m4", State: typesv1beta2.TargetMasked},
	}})
	want := summary{targets: "4", propagated: "Unknown", masked: "1", upToDate: "2/4", firstTrouble: "m3: Contested"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
