package propagation

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/health"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
)

func TestWhatIsRecordedOfTheHealthOfATarget(t *testing.T) {
	ready, offline, fresh := &membership.Member{Health: membership.Ready}, &membership.Member{Health: membership.NotReady}, &membership.Member{Health: membership.Unknown}
	healthy := v1beta2.TargetStatus{Hash: "h", Health: v1beta2.HealthHealthy, Replicas: 3, Ready: 3}
	progressing := &health.Summary{Health: v1beta2.HealthProgressing, Message: "Ready: 1/3", Replicas: &v1beta2.WorkloadStatus{DesiredReplicas: 3, ReadyReplicas: 1}}
	for sentence, test := range map[string]struct {
		o        observation
		stateful bool // the kind has a status
		want     v1beta2.TargetStatus
	}{
		"what the cache shows is recorded": {
			observation{member: ready, cache: memberclient.Synced, live: &memberclient.Live{Summary: progressing}, record: healthy}, true,
			v1beta2.TargetStatus{Hash: "h", Health: "Progressing", HealthMessage: "Ready: 1/3", Replicas: 3, Ready: 1},
		},
		"a kind without a status is healthy once it is there": {
			observation{member: ready, cache: memberclient.Synced, live: &memberclient.Live{}}, false,
			v1beta2.TargetStatus{Health: "Healthy"},
		},
		"what was written in another version, and is not seen yet, is not healthy": {
			observation{member: ready, cache: memberclient.Synced, live: &memberclient.Live{}, record: healthy}, true,
			v1beta2.TargetStatus{Hash: "h", Health: "Progressing", HealthMessage: "what was just written there has to be seen first"},
		},
		"an object that is gone has no health": {
			observation{member: ready, cache: memberclient.Synced, record: healthy}, true, v1beta2.TargetStatus{Hash: "h"},
		},
		"one that ended, and is gone, is as it ended": {
			observation{member: ready, cache: memberclient.Synced, record: v1beta2.TargetStatus{Ended: true, Health: "Degraded", HealthMessage: "m"}}, true,
			v1beta2.TargetStatus{Ended: true, Health: "Degraded", HealthMessage: "m"},
		},
		"an offline member leaves the numbers, and says nothing of health, whatever its cache has": {
			observation{member: offline, cache: memberclient.Synced, live: &memberclient.Live{Summary: progressing}, record: healthy}, true,
			v1beta2.TargetStatus{Hash: "h", Health: "Unknown", Replicas: 3, Ready: 3},
		},
		"what was never written to an offline member has none": {
			observation{member: offline}, true, v1beta2.TargetStatus{},
		},
		"a job that ended stays as it ended while its member is offline": {
			observation{member: offline, record: v1beta2.TargetStatus{Ended: true, Health: "Healthy"}}, true,
			v1beta2.TargetStatus{Ended: true, Health: "Healthy"},
		},
		"a member that is not set up yet changes nothing": {observation{unchecked: true, record: healthy}, true, healthy},
		"nor one that was not checked yet":                {observation{member: fresh, record: healthy}, true, healthy},
		"nor one whose cache fills":                       {observation{member: ready, cache: memberclient.Filling, record: healthy}, true, healthy},
		"a cache that fails shows nothing": {
			observation{member: ready, cache: memberclient.Filling, cacheErr: errors.New("no"), record: healthy}, true,
			v1beta2.TargetStatus{Hash: "h", Health: "Unknown", Replicas: 3, Ready: 3},
		},
		"a member that left is not asked": {
			observation{record: healthy}, true, v1beta2.TargetStatus{Hash: "h", Health: "Unknown", Replicas: 3, Ready: 3},
		},
		"what leaves the target has no health": {
			observation{intent: remove, member: ready, cache: memberclient.Synced, live: &memberclient.Live{Summary: progressing}, record: healthy}, true,
			v1beta2.TargetStatus{Hash: "h"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			var rule *health.Rule
			if test.stateful {
				rule = &health.Rule{}
			}
			test.o.observeHealth(rule)
			if diff := cmp.Diff(test.want, test.o.record); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumbersOfAllTargets(t *testing.T) {
	of := func(desired, ready int64) *v1beta2.WorkloadStatus {
		return &v1beta2.WorkloadStatus{DesiredReplicas: desired, Replicas: desired, UpdatedReplicas: ready, ReadyReplicas: ready, AvailableReplicas: ready}
	}
	visible := func(numbers *v1beta2.WorkloadStatus) step {
		return step{observed: observation{sees: seen, numbers: numbers}}
	}
	hidden := step{observed: observation{sees: unseen, record: v1beta2.TargetStatus{Hash: "h", Replicas: 4, Ready: 4}}}
	filling := step{observed: observation{sees: unsettled, record: v1beta2.TargetStatus{Hash: "h", Replicas: 4, Ready: 4}}}
	leaving := step{observed: observation{intent: remove, sees: seen, numbers: of(9, 9)}}
	stored := &v1beta2.FederatedObjectStatus{Workload: of(7, 7)}
	for sentence, test := range map[string]struct {
		steps []step
		want  *v1beta2.WorkloadStatus
	}{
		"a kind without replicas has none":               {[]step{visible(nil)}, nil},
		"they are added":                                 {[]step{visible(of(3, 1)), visible(of(2, 2))}, of(5, 3)},
		"what leaves does not count":                     {[]step{visible(of(3, 3)), leaving}, of(3, 3)},
		"what cannot be seen is desired, and not ready":  {[]step{visible(of(3, 3)), hidden}, &v1beta2.WorkloadStatus{DesiredReplicas: 7, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}},
		"while a cache fills, what is stored stands":     {[]step{visible(of(3, 3)), filling}, of(7, 7)},
		"a target that has nothing yet holds nothing up": {[]step{visible(of(3, 3)), {observed: observation{sees: unsettled}}}, of(3, 3)},
	} {
		if diff := cmp.Diff(test.want, totalOf(test.steps).over(stored)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sentence, diff)
		}
	}
}

// TestTheStatusOfAnObjectIsWrittenTwiceASecond plays 100 members in which an object changes every
// 37 ms, each: whatever they do, its status is written at most twice in any second, and no change
// waits for longer than that.
func TestTheStatusOfAnObjectIsWrittenTwiceASecond(t *testing.T) {
	const tick, lasts = time.Millisecond, 20 * time.Second
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now, p, key := begin, &statusPace{}, objectKey{name: "web"}
	paces := make([]*pace, 100)
	for i := range paces {
		paces[i] = newPace(func() time.Time { return now })
	}
	var writes []time.Time
	var due, unseen time.Time // of the next look; since when a change is not in the status
	plan := func(wait time.Duration) {
		if at := now.Add(wait); due.IsZero() || at.Before(due) {
			due = at // as the queue has it: the earliest of all
		}
	}
	worst := time.Duration(0)
	for ; now.Before(begin.Add(lasts)); now = now.Add(tick) {
		for i, pace := range paces {
			if (int(now.Sub(begin)/tick)+i*7)%37 == 0 {
				if unseen.IsZero() {
					unseen = now
				}
				plan(max(pace.after(key), p.untilLook(now)))
			}
		}
		if due.IsZero() || now.Before(due) {
			continue
		}
		due = time.Time{}
		p.look(now)
		if wait := p.untilReport(now); wait > 0 {
			plan(wait)
			continue
		}
		p.report(now)
		writes = append(writes, now)
		worst, unseen = max(worst, now.Sub(unseen)), time.Time{}
	}
	for i := range writes {
		if i >= 2 && writes[i].Sub(writes[i-2]) < time.Second {
			t.Fatalf("three writes within %s", writes[i].Sub(writes[i-2]))
		}
	}
	if most := 2*int(lasts/time.Second) + 2; len(writes) > most || len(writes) < most/2 {
		t.Errorf("got %d writes in %s", len(writes), lasts)
	}
	if worst > time.Second {
		t.Errorf("a change was in the status after %s", worst)
	}
}
