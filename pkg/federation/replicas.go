package federation

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
	"github.com/koinon-io/koinon/pkg/federation/scheduler"
)

// buildReplicas makes what does what ReplicaSchedulingPreferences say.
func (t *term) buildReplicas(configs *lastConfig) (err error) {
	t.replicas, err = scheduler.New(scheduler.Config{
		Objects:     t.engine,
		Preferences: t.everywhere.KubeFedScheduling().V1alpha1().ReplicaSchedulingPreferences().Lister(),
		Client:      t.koinon.KubeFedSchedulingV1alpha1(),
		Settings:    func() scheduler.Settings { return replicaSettings(configs.current()) },
	})
	return err
}

// replicaSubscriptions are of what only replicas need. Nobody else waits for that cache.
func (t *term) replicaSubscriptions() []subscription {
	if t.replicas == nil {
		return nil
	}
	return []subscription{{t.everywhere.KubeFedScheduling().V1alpha1().ReplicaSchedulingPreferences().Informer(), func(_, o metav1.Object) {
		t.replicas.PreferenceChanged(o.GetNamespace(), o.GetName())
	}}}
}

// runReplicas schedules replicas, once all preferences are known.
func (t *term) runReplicas(ctx context.Context) error {
	if !waitForCaches(ctx, t.replicaSubscriptions()) {
		return nil // ctx ended
	}
	return t.replicas.Run(ctx)
}

// replicasMember tells the scheduler of replicas what a member is now.
func (t *term) replicasMember(name string) {
	var found *membership.Member
	if member, ok := t.members.Get(name); ok {
		found = &member
	}
	t.replicas.MemberChanged(name, found)
}

// replicaSettings reads a KubeFedConfig; what is missing, or the whole of it, has KubeFed's defaults.
func replicaSettings(config *v1beta1.KubeFedConfig) scheduler.Settings {
	settings := scheduler.Settings{Enabled: true, Delays: replicas.Delays{Unavailable: time.Minute, Available: 20 * time.Second}}
	if config == nil {
		return settings
	}
	if delays := config.Spec.ControllerDuration; delays != nil {
		if delays.UnavailableDelay != nil {
			settings.Delays.Unavailable = delays.UnavailableDelay.Duration
		}
		if delays.AvailableDelay != nil {
			settings.Delays.Available = delays.AvailableDelay.Duration
		}
	}
	for _, gate := range config.Spec.FeatureGates {
		if gate.Name == v1beta1.GateSchedulerPreferences {
			settings.Enabled = gate.Configuration != v1beta1.Disabled
		}
	}
	return settings
}
