package federation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
	"github.com/koinon-io/koinon/pkg/federation/scheduler"
)

func TestReplicaSettings(t *testing.T) {
	gate := func(name string, mode v1beta1.Mode) *v1beta1.KubeFedConfig {
		return &v1beta1.KubeFedConfig{Spec: v1beta1.KubeFedConfigSpec{FeatureGates: []v1beta1.FeatureGatesConfig{{Name: name, Configuration: mode}}}}
	}
	defaults := replicas.Delays{Unavailable: time.Minute, Available: 20 * time.Second}
	delays := &v1beta1.KubeFedConfig{}
	delays.Spec.ControllerDuration = &v1beta1.DurationConfig{UnavailableDelay: &metav1.Duration{Duration: time.Hour}}
	for name, test := range map[string]struct {
		config *v1beta1.KubeFedConfig
		want   scheduler.Settings
	}{
		"no KubeFedConfig has the defaults": {nil, scheduler.Settings{Enabled: true, Delays: defaults}},
		"the gate is disabled":              {gate("SchedulerPreferences", v1beta1.Disabled), scheduler.Settings{Delays: defaults}},
		"the gate is enabled":               {gate("SchedulerPreferences", v1beta1.Enabled), scheduler.Settings{Enabled: true, Delays: defaults}},
		"another gate is disabled":          {gate("PushReconciler", v1beta1.Disabled), scheduler.Settings{Enabled: true, Delays: defaults}},
		"one delay is set":                  {delays, scheduler.Settings{Enabled: true, Delays: replicas.Delays{Unavailable: time.Hour, Available: 20 * time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, replicaSettings(test.config)); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}
