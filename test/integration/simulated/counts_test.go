package simulated_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// saysOf returns how many objects of a cell its status says are out of date, -1 if it says nothing.
func (r *realm) saysOf(cell string) int64 {
	late, found, _ := unstructured.NestedInt64(r.host.Object(cellResource, "shop", cell), "status", "objects", "outOfDate")
	if !found {
		return -1
	}
	return late
}

// inCells runs a test in a realm in which a ConfigMap is placed in three cells of m1, and they say that it is up to date.
func inCells(t *testing.T, do func(r *realm, cells []string)) {
	t.Helper()
	inRealm(t, 1, func(r *realm) {
		cells := []string{"c1", "c2", "c3"}
		for _, cell := range cells {
			r.makeUnit(cellResource, cell, r.members[0])
		}
		r.put(simulation.FederatedConfigMaps, map[string]any{
			"metadata": map[string]any{"name": "settings", "namespace": "shop"},
			"spec": map[string]any{
				"topologyType": v1beta2.TopologyCell, "placement": map[string]any{"topologySelector": map[string]any{}},
				"template": map[string]any{"data": map[string]any{"round": "0"}},
			},
		})
		r.pass(time.Minute)
		for _, cell := range cells {
			if late := r.saysOf(cell); late != 0 {
				t.Fatalf("cell %s says that %d objects are out of date, want 0", cell, late)
			}
		}
		do(r, cells)
	})
}

// setRound changes the ConfigMap.
func (r *realm) setRound(round int) {
	r.Helper()
	r.change("settings", func(spec map[string]any) {
		spec["template"] = map[string]any{"data": map[string]any{"round": fmt.Sprint(round)}}
	})
}

// What is so for a moment, and in a thousand cells at once, is not worth two statuses of each.
func TestWhatIsSoonOverWritesNoCell(t *testing.T) {
	inCells(t, func(r *realm, cells []string) {
		versions := r.versionsOf(cells)
		for round := range 10 {
			r.members[0].SetFaults(simulation.Fault{Verbs: []string{"update", "patch"}, Resource: "configmaps", Code: 500})
			r.setRound(round + 1)
			r.pass(time.Second)
			r.members[0].SetFaults()
			r.pass(time.Duration(5+round%2) * time.Second) // it is tried again
			if got := r.versionsOf(cells); !slices.Equal(got, versions) {
				t.Fatalf("in round %d cells were written: versions %v, before %v", round, got, versions)
			}
		}
	})
}

func (r *realm) versionsOf(cells []string) (versions []string) {
	for _, cell := range cells {
		u := unstructured.Unstructured{Object: r.host.Object(cellResource, "shop", cell)}
		versions = append(versions, u.GetResourceVersion())
	}
	return versions
}

func TestACellSaysWithinFifteenSecondsWhatIsSo(t *testing.T) {
	inCells(t, func(r *realm, cells []string) {
		const soon = 15 * time.Second
		r.members[0].SetFaults(simulation.Fault{Verbs: []string{"update", "patch"}, Resource: "configmaps", Code: 500})
		r.setRound(1)
		r.pass(soon)
		for _, cell := range cells {
			if late := r.saysOf(cell); late != 1 {
				t.Errorf("while its member refuses writes cell %s says that %d objects are out of date, want 1", cell, late)
			}
		}
		for round := range 10 { // its count never rests
			r.setRound(round + 2)
			r.pass(2 * time.Second)
		}
		r.members[0].SetFaults()
		r.pass(2 * time.Minute) // until it is tried again
		for _, cell := range cells {
			if late := r.saysOf(cell); late != 0 {
				t.Errorf("once its member takes writes cell %s says that %d objects are out of date, want 0", cell, late)
			}
		}
	})
}
