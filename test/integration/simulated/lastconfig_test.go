package simulated_test

import (
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/simulation"
)

// TestWhileTheKubeFedConfigIsMadeAnewWhatItPausedStaysPaused: some apply it by deleting it first.
func TestWhileTheKubeFedConfigIsMadeAnewWhatItPausedStaysPaused(t *testing.T) {
	inRealm(t, 2, func(r *realm) {
		r.federate("settings", "1")
		r.pass(time.Minute)
		r.arrives("settings", "1", r.members...)
		if _, err := r.host.Change(configs, v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName, func(config map[string]any) {
			config["spec"].(map[string]any)["featureGates"] = []any{
				map[string]any{"name": v1beta1.GatePushReconciler, "configuration": string(v1beta1.Disabled)},
			}
		}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		if _, err := r.host.Change(simulation.FederatedConfigMaps, "shop", "settings", func(object map[string]any) {
			object["spec"].(map[string]any)["placement"] = map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}
		}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		config := r.host.Object(configs, v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName)
		r.host.Remove(configs, v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName)
		r.pass(time.Hour)
		r.arrives("settings", "1", r.members...)
		r.put(configs, config)
		r.pass(time.Minute)
		r.arrives("settings", "1", r.members...)

		if _, err := r.host.Change(configs, v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName, func(config map[string]any) {
			delete(config["spec"].(map[string]any), "featureGates")
		}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		r.arrives("settings", "1", r.members[0])
		r.arrives("settings", "", r.members[1])
	})
}
