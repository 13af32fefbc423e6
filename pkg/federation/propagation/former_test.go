package propagation

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

func in(member string) viewTarget {
	return viewTarget{Candidate: placement.Candidate{Name: "rz00a", Member: member, Namespace: "shop-rz00a"}}
}

func recordIn(member, hash string) v1beta2.TargetStatus {
	return v1beta2.TargetStatus{Name: "rz00a", Cluster: member, Namespace: "shop-rz00a", Hash: hash}
}

func givenUpIn(member string) v1beta2.TargetStatus {
	record := recordIn(member, "")
	record.State = v1beta2.TargetAbandoned
	return record
}

// movedMemory is of an object that was written to m1, before its cell moved to m2.
func movedMemory() *memory {
	m := &memory{records: map[string]v1beta2.TargetStatus{"rz00a": recordIn("m1", "h1")}, jobs: map[string]*job{}, fights: map[string]*fight{}, orphans: map[string]bool{}}
	m.relocate("rz00a", "m2", "shop-rz00a")
	return m
}

func TestWhatIsDoneInAPlaceBelongsToItWhereverTheTargetIs(t *testing.T) {
	inM1 := placeOf("rz00a", "m1", "shop-rz00a")
	for name, test := range map[string]struct {
		from   viewTarget
		result result
		want   map[string]v1beta2.TargetStatus
	}{
		"a write that ends where the target was": {
			in("m1"), result{record: recordIn("m1", "h2")},
			map[string]v1beta2.TargetStatus{"rz00a": recordIn("m2", ""), inM1: recordIn("m1", "h2")}},
		"one that found no record there any more": {
			in("m1"), result{record: recordIn("m1", ""), failed: true},
			map[string]v1beta2.TargetStatus{"rz00a": recordIn("m2", ""), inM1: recordIn("m1", "h1")}},
		"a write that ends where the target is": {
			in("m2"), result{record: recordIn("m2", "h2")},
			map[string]v1beta2.TargetStatus{"rz00a": recordIn("m2", "h2"), inM1: recordIn("m1", "h1")}},
		"one that found out that what is there is given up": {
			in("m1"), result{record: givenUpIn("m1")},
			map[string]v1beta2.TargetStatus{"rz00a": recordIn("m2", ""), inM1: givenUpIn("m1")}},
		"a release that fails of what was written since it was given up": {
			in("m1"), result{record: givenUpIn("m1"), failed: true},
			map[string]v1beta2.TargetStatus{"rz00a": recordIn("m2", ""), inM1: recordIn("m1", "h1")}},
		"a removal from where it was": {
			in("m1"), result{gone: true}, map[string]v1beta2.TargetStatus{"rz00a": recordIn("m2", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			m := movedMemory()
			m.end(test.from, "shop-rz00a", test.result)
			if diff := cmp.Diff(test.want, m.records); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// A cell that is back, and may not be used now, has its record in the other place still.
func TestWhatIsInAFormerPlaceIsKnownWhileTheTargetMayNotBeUsed(t *testing.T) {
	v := &view{memory: movedMemory(), kind: &kind{target: memberclient.Type{Namespaced: true}}, federated: &v1beta2.FederatedObject{}}
	back := in("m1")
	back.intent, back.reason = absent, "it is another tenant's"
	v.targets = []viewTarget{back}
	v.addFormer(map[string]*placement.Candidate{"rz00a": &back.Candidate})
	if len(v.targets) != 2 || v.targets[1].intent != await || v.memory.record(placeOf("rz00a", "m1", "shop-rz00a")).Hash != "h1" {
		t.Errorf("targets %+v, records %v", v.targets, v.memory.records)
	}
}

func TestARemovalThatFailsTakesNothingBackThatWasGivenUp(t *testing.T) {
	m := movedMemory()
	slot := placeOf("rz00a", "m1", "shop-rz00a")
	given := givenUpIn("m1")
	m.records[slot] = given
	leaving := in("m1")
	leaving.former, leaving.intent = slot, remove
	m.end(leaving, "shop-rz00a", result{record: recordIn("m1", "h1"), failed: true})
	if diff := cmp.Diff(given, m.records[slot]); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// What is on its way into a place may arrive after the target has left it: nobody finds out before that what is there. And nothing
// that hangs there holds up what is done elsewhere.
func TestOneExecutorIsInAPlaceAtATime(t *testing.T) {
	at := func(about, member, former string) *order {
		o := &order{about: about, target: in(member)}
		o.target.former = former
		return o
	}
	inM1, inM2 := placeOf("rz00a", "m1", "shop-rz00a"), placeOf("rz00a", "m2", "shop-rz00a")
	m := &memory{records: map[string]v1beta2.TargetStatus{"rz00a": recordIn("m1", "h1")}, jobs: map[string]*job{}, fights: map[string]*fight{}, orphans: map[string]bool{}}
	write := at("write", "m1", "")
	if enqueue, _ := m.want(inM1, write, nil); !enqueue || m.take(inM1) != write {
		t.Fatal("nobody writes where the target is")
	}
	m.relocate("rz00a", "m2", "shop-rz00a")
	if enqueue, _ := m.want(inM2, at("write", "m2", ""), nil); !enqueue {
		t.Error("what is on its way where the target was holds up what is done where it is")
	}
	remove := at("remove", "m1", inM1)
	if enqueue, _ := m.want(inM1, remove, nil); enqueue {
		t.Fatal("a removal overtakes the write")
	}
	next := m.end(write.target, "shop-rz00a", result{record: recordIn("m1", "h2")})
	if !next.enqueue || next.member != "m1" || m.take(inM1) != remove || m.record(inM1).Hash != "h2" {
		t.Errorf("the removal does not follow the write: %+v, with the record %v", next, m.record(inM1))
	}
	m.relocate("rz00a", "m1", "shop-rz00a")
	if enqueue, _ := m.want(inM1, at("write", "m1", ""), nil); enqueue {
		t.Error("the target is back, and the write overtakes the removal")
	}
	if next := m.end(remove.target, "shop-rz00a", result{gone: true}); !next.enqueue || next.member != "m1" {
		t.Errorf("the write does not follow the removal: %+v", next)
	}
}

func TestATargetThatIsBackHasTheRecordOfThen(t *testing.T) {
	m := movedMemory()
	m.end(in("m2"), "shop-rz00a", result{record: recordIn("m2", "h2")})
	m.relocate("rz00a", "m1", "shop-rz00a")
	want := map[string]v1beta2.TargetStatus{"rz00a": recordIn("m1", "h1"), placeOf("rz00a", "m2", "shop-rz00a"): recordIn("m2", "h2")}
	if diff := cmp.Diff(want, m.records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	leaving := in("m1")
	leaving.former = placeOf("rz00a", "m1", "shop-rz00a")
	if m.isIn(leaving, "shop-rz00a") {
		t.Error("what was to leave the place in which the target is again would be removed")
	}
	if m.isIn(in("m2"), "shop-rz00a") {
		t.Error("what was to be written to the place that the target left would be")
	}
}

func TestFormerPlacesAreRememberedFromTheStatus(t *testing.T) {
	object := recordedIn("u1", "m2")
	object.Status.Targets[0].Former = []v1beta2.FormerPlace{{Cluster: "m1", Namespace: "shop-rz00a", Hash: "h1", State: v1beta2.TargetWaitingForRemoval}}
	e := &Engine{memories: map[objectKey]*memory{}, holders: map[string]map[objectKey]bool{}}
	m := e.remember(objectKey{name: "web"}, object)
	if !m.writtenTo("m1", "shop-rz00a") || len(e.heldIn("m1")) != 1 {
		t.Errorf("the object is known to be in %v, by records %v", e.holders, m.records)
	}
	if got := m.names(); len(got) != 1 || got[0] != "rz00a" {
		t.Errorf("got targets %q", got)
	}
}

func TestATargetHasArrivedWhenItIsUpToDateAndHealthy(t *testing.T) {
	arrived := func(change func(*observation, *decision)) bool {
		o := observation{intent: run, sees: seen, manifest: &render.Manifest{Hash: "h1"}, record: v1beta2.TargetStatus{Hash: "h1", Health: v1beta2.HealthHealthy}}
		d := decision{status: o.record}
		change(&o, &d)
		return o.hasArrived(d)
	}
	for name, test := range map[string]struct {
		change func(*observation, *decision)
		want   bool
	}{
		"healthy":                   {func(*observation, *decision) {}, true},
		"suspended, as it is to be": {func(o *observation, _ *decision) { o.record.Health = v1beta2.HealthSuspended }, true},
		"progressing":               {func(o *observation, _ *decision) { o.record.Health = v1beta2.HealthProgressing }, false},
		"nothing was told of it":    {func(o *observation, _ *decision) { o.record.Health = "" }, false},
		"not seen now":              {func(o *observation, _ *decision) { o.sees = unsettled }, false},
		"another manifest":          {func(o *observation, _ *decision) { o.record.Hash = "h0" }, false},
		"somebody writes against":   {func(_ *observation, d *decision) { d.status.State = v1beta2.TargetContested }, false},
		"masked":                    {func(o *observation, d *decision) { o.intent, o.manifest = keep, nil }, false},
	} {
		if got := arrived(test.change); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// Nothing was written where the cell was in between: what is known of the place to which it is back is not lost.
func TestATargetThatIsBackBeforeAnythingWasWrittenElsewhereIsRemembered(t *testing.T) {
	for _, intent := range []intent{run, keep, unfederated} {
		v := &view{memory: movedMemory(), kind: &kind{target: memberclient.Type{Namespaced: true}}, federated: &v1beta2.FederatedObject{}}
		back := in("m1")
		back.intent = intent
		v.targets = []viewTarget{back}
		v.addFormer(map[string]*placement.Candidate{"rz00a": &back.Candidate})
		want := map[string]v1beta2.TargetStatus{"rz00a": recordIn("m1", "h1")}
		if diff := cmp.Diff(want, v.memory.records); diff != "" || len(v.targets) != 1 {
			t.Errorf("%d targets; records (-want +got):\n%s", len(v.targets), diff)
		}
	}
}
