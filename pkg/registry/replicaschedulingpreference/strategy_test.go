package replicaschedulingpreference

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
)

func TestAPreferenceThatNobodyActsOnIsWarnedAbout(t *testing.T) {
	old := &v1alpha1.ReplicaSchedulingPreference{}
	labelled := old.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	changed := old.DeepCopy()
	changed.Generation++
	for name, test := range map[string]struct {
		otherEngine func(context.Context) bool
		want        int
	}{
		"our engine propagates":            {want: 1},
		"ours propagates in another place": {otherEngine: func(context.Context) bool { return false }, want: 1},
		"KubeFed's propagates":             {otherEngine: func(context.Context) bool { return true }},
	} {
		strategy := newStrategy(runtime.NewScheme(), test.otherEngine)
		for when, got := range map[string][]string{
			"create": strategy.WarningsOnCreate(t.Context(), old), "update": strategy.WarningsOnUpdate(t.Context(), changed, old),
		} {
			if len(got) != test.want || len(got) > 0 && !strings.Contains(got[0], "has no effect") {
				t.Errorf("%s, %s: got %q, want %d", name, when, got, test.want)
			}
		}
		if got := strategy.WarningsOnUpdate(t.Context(), labelled, old); len(got) > 0 {
			t.Errorf("%s: the spec does not change: got %q", name, got)
		}
	}
}
