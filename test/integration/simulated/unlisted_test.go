package simulated_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/test/simulation"
)

// Nobody knows what is in a cell while the objects of a type cannot be listed: it is said which type that is, and why.
func TestATypeThatCannotBeListedIsNamedToWhoWaitsForACell(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		var mu sync.Mutex
		var told []string
		w.record = func(about *corev1.ObjectReference, happened ...events.Event) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range happened {
				if e.Reason == propagation.ReasonObjectsNotListed {
					told = append(told, about.Kind+" "+about.Name+": "+e.Message)
				}
			}
		}
		w.put(cellResource, map[string]any{"metadata": map[string]any{"name": "c1", "namespace": "shop"}, "spec": map[string]any{"clusterName": "m1"}})
		w.put(simulation.FederatedConfigMaps, map[string]any{
			"metadata": map[string]any{"name": "web", "namespace": "shop"},
			"spec":     map[string]any{"topologyType": v1beta2.TopologyCell, "placement": map[string]any{"topologies": []any{map[string]any{"name": "c1"}}}, "template": map[string]any{}}})
		w.host.SetFaults(simulation.Fault{Verbs: []string{"list"}, Resource: federatedDeployments.Resource, Code: http.StatusForbidden})
		w.start()
		defer w.stop()
		w.pass(30 * time.Second)
		if _, known, why := w.engine.Census("shop", "c1"); known || why != "" {
			t.Errorf("after half a minute: known %v, since %q", known, why)
		}
		w.pass(5 * time.Minute)
		_, known, why := w.engine.Census("shop", "c1")
		if known || !strings.Contains(why, `the objects of the type "deployments.apps" are not known: they cannot be listed`) {
			t.Errorf("known %v, since %q", known, why)
		}
		mu.Lock()
		if len(told) != 1 || !strings.HasPrefix(told[0], `FederatedTypeConfig deployments.apps: the objects of the type "deployments.apps" are not known`) {
			t.Errorf("told %q", told)
		}
		mu.Unlock()
		w.host.SetFaults()
		w.pass(5 * time.Minute)
		if tally, known, why := w.engine.Census("shop", "c1"); !known || why != "" || tally.Objects != 1 {
			t.Errorf("known %v, %+v, since %q", known, tally, why)
		}
	})
}
