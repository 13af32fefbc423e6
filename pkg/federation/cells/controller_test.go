package cells

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// writesOfNewCell are all that a new cell costs.
func writesOfNewCell(name string) []string {
	return []string{
		fmt.Sprintf("patch cell %s []", name),
		fmt.Sprintf("create cluster %s.shop", name),
		fmt.Sprintf("update cluster %s.shop status", name),
		fmt.Sprintf("patch cell %s [status]", name),
	}
}

func TestARestartWithTenThousandCellsWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for i := range 100 {
			h.settled(t, fmt.Sprintf("m%d", i), 100)
		}
		c, kind := h.controller(t)
		time.Sleep(24 * time.Hour) // nobody probed meanwhile, and now somebody does
		c.started = time.Now()
		for i := range 100 {
			m := h.clusters[fmt.Sprintf("m%d", i)].DeepCopy()
			m.Status.Conditions[0].LastProbeTime = metav1.Now()
			h.store(m)
		}
		h.show(t, c)
		if err := c.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		run(t, c, time.Minute)
		if len(h.writes) > 0 {
			t.Errorf("got %d writes, %s first", len(h.writes), h.writes[0])
		}
		if kind.lists != 2 || kind.gets != 10_000 {
			t.Errorf("all cells were listed %d times, want twice: to settle and to begin; %d were looked at, want each once", kind.lists, kind.gets)
		}
	})
}

// run runs the controller for a time.
func run(t *testing.T, c *Controller, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestAnEventCostsWhatItConcerns: each cell has a cluster, and there is an event for each of
// them at every start.
func TestAnEventCostsWhatItConcerns(t *testing.T) {
	h := newHost(t)
	for i := range 20 {
		h.settled(t, fmt.Sprintf("m%d", i), 100)
	}
	c, kind := h.controller(t)
	probed := func(after time.Duration) {
		m := h.clusters["m5"].DeepCopy()
		m.Status.Conditions[0].LastProbeTime = metav1.NewTime(m.Status.Conditions[0].LastProbeTime.Add(after))
		h.store(m)
		h.show(t, nil)
		c.ClusterChanged("m5")
	}
	for _, test := range []struct {
		event  string
		happen func()
		want   int
	}{
		{"the cluster of a cell", func() { c.ClusterChanged("c7-m5.shop") }, 1},
		{"a member", func() { c.ClusterChanged("m5") }, 100},
		{"a member that is as it was", func() { c.ClusterChanged("m5") }, 0},
		{"a member that was probed", func() { probed(time.Minute) }, 0},
		{"a member that was probed much later", func() { probed(toldAge) }, 100},
		{"a member that nobody has cells in", func() { c.ClusterChanged("m100") }, 0},
		{"a namespace of a member", func() { c.NamespaceReleased("shop-c7-m5", "m5", "m6") }, 1},
		{"a namespace of the host", func() { c.NamespaceChanged("shop") }, 2_000},
		{"another namespace of the host", func() { c.NamespaceChanged("bank") }, 0},
	} {
		kind.listed = 0
		test.happen()
		if got := c.queue.Len(); got != test.want {
			t.Errorf("%s: got %d cells looked at, want %d", test.event, got, test.want)
		}
		if kind.listed > test.want || kind.lists > 0 {
			t.Errorf("%s: %d cells were looked up for %d, and all were listed %d times", test.event, kind.listed, test.want, kind.lists)
		}
		c.drain(t)
	}
	if len(h.writes) > 0 {
		t.Errorf("got writes %v, want none", h.writes)
	}
}

func TestAMemberThatFailsIsWrittenOnceForEachOfItsCells(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 100)
	h.settled(t, "m2", 100)
	c, _ := h.controller(t)
	c.ClusterChanged("m1")
	c.drain(t)
	failed := h.clusters["m1"].DeepCopy()
	failed.Status.Conditions[0].Status = corev1.ConditionFalse
	h.store(failed)
	for range 3 { // the events of what is written come later
		h.show(t, c)
		c.drain(t)
	}
	if got := len(h.writes); got != 200 || h.refused > 0 {
		t.Errorf("got %d writes, %d of them refused, want one for each cell and one for its cluster", got, h.refused)
	}
}

func TestTheProbeOfAMemberIsWrittenSeldomAndNotForAllCellsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.settled(t, "m1", 100)
		c, _ := h.controller(t)
		most := 0
		for minute := range 150 {
			before := len(h.writes)
			time.Sleep(time.Minute)
			m := h.clusters["m1"].DeepCopy()
			m.Status.Conditions[0].LastProbeTime = metav1.Now()
			h.store(m)
			h.show(t, c)
			c.drain(t)
			h.show(t, c)
			c.drain(t)
			if minute < 59 && len(h.writes) > 0 {
				t.Fatalf("got writes after %d minutes: %v", minute, h.writes)
			}
			most = max(most, len(h.writes)-before)
		}
		if got := len(h.writes); got < 100 || got > 150 || most > 40 {
			t.Errorf("got %d writes for 100 cells, %d of them at once", got, most)
		}
	})
}

func TestWhatACacheDoesNotShowYetIsNotWrittenAgain(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	h.store(newCell("rz00a", "m1"))
	h.show(t, c)
	c.drain(t)
	want := writesOfNewCell("rz00a")
	if diff := cmp.Diff(want, h.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	for range 2 {
		c.Enqueue(v1beta2.TopologyCell, "shop", "rz00a") // the caches are as they were
		c.drain(t)
		h.show(t, c)
		c.drain(t)
	}
	if diff := cmp.Diff(want, h.writes); diff != "" {
		t.Errorf("writes once the cache is behind, and once it is not (-want +got):\n%s", diff)
	}
	if len(c.writes.byUnit) > 0 {
		t.Errorf("still remembered: %v", c.writes.byUnit)
	}
}

// TestWorkersWriteEachNewCellOnce: caches are behind, and events of one cell come while it is
// being worked on.
func TestWorkersWriteEachNewCellOnce(t *testing.T) {
	for name, lag := range map[string]time.Duration{
		"the caches are quicker than a write": time.Millisecond,
		"as quick":                            5 * time.Millisecond,
		"and much slower":                     time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const cells = 300
				h := newHost(t)
				h.latency, h.lag = 5*time.Millisecond, lag
				h.settled(t, "m1", 0)
				c, _ := h.controller(t)
				ctx, cancel := context.WithCancel(t.Context())
				var watching sync.WaitGroup
				watching.Go(func() { h.watch(ctx, t, c) }) // ends with ctx
				for i := range cells {
					h.store(newCell(fmt.Sprintf("c%d", i), "m1"))
				}
				run(t, c, time.Minute)
				cancel()
				watching.Wait()
				if len(h.writes) != 4*cells || h.refused > 0 || len(h.clusters) != cells+1 {
					t.Errorf("got %d clusters with %d writes, %d of them refused; want %d with four each", len(h.clusters)-1, len(h.writes), h.refused, cells)
				}
			})
		})
	}
}

func TestACellWaitsForAClusterThatTheCacheDoesNotShowYet(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	h.store(newCell("rz00a", "m1"))
	h.show(t, c)
	c.drain(t)

	deleted := h.cells["rz00a"].DeepCopy()
	now := metav1.Now()
	deleted.DeletionTimestamp = &now
	h.store(deleted)
	h.showOne(t, c, deleted) // the cluster was made before, but is another watch's
	c.drain(t)
	if h.cells["rz00a"] == nil {
		t.Fatal("the cell is gone before its cluster")
	}
	for range 3 {
		h.show(t, c)
		c.drain(t)
	}
	if diff := cmp.Diff([]string{"m1"}, h.names()); diff != "" || h.cells["rz00a"] != nil {
		t.Errorf("the cell is there: %v; clusters (-want +got):\n%s", h.cells["rz00a"] != nil, diff)
	}
	if diff := cmp.Diff(append(writesOfNewCell("rz00a"), "delete cluster rz00a.shop", "patch cell rz00a []"), h.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// TestTheClusterOfACellThatIsGoneIsRemovedWhenItAppears: another process made it before it
// lost its lease.
func TestTheClusterOfACellThatIsGoneIsRemovedWhenItAppears(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	unit := cellOf(nil)
	orphan := observation{unit: unit, member: h.clusters["m1"]}.cluster("sys")
	h.store(orphan)
	h.show(t, c)
	c.drain(t)
	if diff := cmp.Diff([]string{"m1"}, h.names()); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
}

func TestTheClusterOfACellThatTheCacheDoesNotShowYetStays(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	cell := newCell("rz00a", "m1")
	cluster := observation{unit: fromCell(cell), member: h.clusters["m1"]}.cluster("sys")
	h.store(cell)
	h.store(cluster)
	h.showOne(t, c, cluster)
	c.drain(t)
	if len(h.writes) > 0 {
		t.Errorf("got writes %v, want none", h.writes)
	}
}

func TestAtAStartClustersWithoutACellAreRemovedAndOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.settled(t, "m1", 1)
		h.store(observation{unit: cellOf(nil), member: h.clusters["m1"]}.cluster("sys"))
		// It has the name of a cluster of a cell, and nobody says that it is one.
		h.store(&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sys", Name: "rz01.shop"}})
		h.show(t, nil)
		c, _ := h.controller(t)
		run(t, c, time.Second)
		if diff := cmp.Diff([]string{"c0-m1.shop", "m1", "rz01.shop"}, h.names()); diff != "" {
			t.Errorf("clusters (-want +got):\n%s", diff)
		}
	})
}

func TestNothingIsMadeForACellThatGoesWhileItIsLookedAt(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	h.store(newCell("rz00a", "m1"))
	h.show(t, c)
	h.before = func(name string) {
		h.before = nil
		h.remove(name)
	}
	if err := c.reconcile(t.Context(), key{v1beta2.TopologyCell, "shop", "rz00a"}); err == nil {
		t.Error("got no error of a cell that is gone, and is looked at again for one")
	}
	h.show(t, c)
	c.drain(t)
	if diff := cmp.Diff([]string{"m1"}, h.names()); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
}

func TestSettleClaimsWhatIsNobodysAndTheOldestFirst(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 1)
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, age := range map[string]time.Duration{"younger": time.Hour, "older": 2 * time.Hour, "oldest": 3 * time.Hour} {
		cell := newCell(name, "m1")
		cell.CreationTimestamp = metav1.NewTime(day.Add(-age))
		cell.Spec.MemberNamespace = "contested"
		if name == "oldest" {
			cell.Spec.MemberNamespace = "theirs"
		}
		h.store(cell)
	}
	h.show(t, nil)
	theirs := ownership.NamespaceOwner("theirs")
	h.holders[place("m1", "theirs")] = theirs
	c, _ := h.controller(t)
	if err := c.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]ownership.Owner{
		place("m1", "theirs"):     theirs,
		place("m1", "contested"):  ownership.UnitOwner(v1beta2.TopologyCell, "shop", "older"),
		place("m1", "shop-c0-m1"): ownership.UnitOwner(v1beta2.TopologyCell, "shop", "c0-m1"),
	}
	if diff := cmp.Diff(want, h.holders); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

func TestACellWhoseNamespaceIsReleasedGetsItsCluster(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	h.holders[place("m1", "shop-rz00a")] = ownership.NamespaceOwner("shop-rz00a")
	h.store(newCell("rz00a", "m1"))
	for range 2 {
		h.show(t, c)
		c.drain(t)
	}
	if ready := h.cells["rz00a"].Status.Conditions; len(ready) != 1 || ready[0].Reason != federationv1alpha1.ReasonNamespaceTaken {
		t.Errorf("got conditions %v", ready)
	}
	delete(h.holders, place("m1", "shop-rz00a"))
	c.NamespaceReleased("shop-rz00a", "m1")
	c.drain(t)
	if !slices.Contains(h.names(), "rz00a.shop") {
		t.Errorf("got clusters %v", h.names())
	}
}

// Each write of a cell has it looked at again: who wrote what is counted at that moment would write all cells of a rollout
// over and over.
func TestACellSaysWhatWasToldAndNotWhatIsCountedAtTheMoment(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 1)
	c, _ := h.controller(t)
	counted, told := federationv1alpha1.CellObjects{}, (*federationv1alpha1.CellObjects)(nil)
	c.Census = func(string, string) Count {
		counted.OutOfDate++
		return Count{Objects: counted, Known: true}
	}
	c.Told = func(string, string) (federationv1alpha1.CellObjects, bool) {
		if told == nil {
			return federationv1alpha1.CellObjects{}, false
		}
		return *told, true
	}
	says := func() int32 {
		for range 3 {
			c.Enqueue(v1beta2.TopologyCell, "shop", "c0-m1")
			c.drain(t)
			h.show(t, c)
		}
		return h.cells["c0-m1"].Status.Objects.OutOfDate
	}
	if got := says(); got != 1 {
		t.Errorf("a cell that has said nothing yet says that %d objects are out of date, want the 1 that was counted first", got)
	}
	told = &federationv1alpha1.CellObjects{OutOfDate: 7}
	if got := says(); got != 7 {
		t.Errorf("it says %d, told was 7", got)
	}
	if got := len(h.writes); got != 2 {
		t.Errorf("got %d writes, want 2: %v", got, h.writes)
	}
}

// Whoever else holds a cell, it says what is so, and rests.
func TestACellThatAnotherFinalizerHoldsSaysSo(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 1)
	c, _ := h.controller(t)
	const name = "c0-m1"
	held := int32(3)
	c.Census = func(string, string) Count {
		return Count{Objects: federationv1alpha1.CellObjects{Held: held}, Known: true, WaitsTold: true}
	}
	c.Told = func(string, string) (federationv1alpha1.CellObjects, bool) {
		return federationv1alpha1.CellObjects{}, false
	}
	cell, now := h.cells[name].DeepCopy(), metav1.Now()
	cell.DeletionTimestamp, cell.Finalizers, cell.Status.Objects = &now, append(cell.Finalizers, "example.com/a", "example.com/b"), &federationv1alpha1.CellObjects{Held: 3}
	h.store(cell)
	says := func(message string, objects int32) {
		t.Helper()
		for range 4 {
			h.show(t, c)
			c.Enqueue(v1beta2.TopologyCell, "shop", name)
			c.drain(t)
		}
		status := h.cells[name].Status
		if got := status.Conditions[0].Message; got != message || status.Objects == nil || status.Objects.Held != objects {
			t.Errorf("it says %q, and that it has %+v", got, status.Objects)
		}
	}
	says("the cell is being deleted, and waits for what 3 federated objects have in it to be removed", 3)
	held = 0
	says("the cell is being deleted, and waits for others to remove their finalizers: example.com/a, example.com/b", 0)
	if h.clusters[name+".shop"] != nil || h.cells[name].Status.KubeFedCluster != "" {
		t.Errorf("its cluster is there: %v; the cell says %q", h.clusters[name+".shop"] != nil, h.cells[name].Status.KubeFedCluster)
	}
	writes := len(h.writes)
	says("the cell is being deleted, and waits for others to remove their finalizers: example.com/a, example.com/b", 0)
	if len(h.writes) > writes {
		t.Errorf("it is written on: %v", h.writes[writes:])
	}
}
