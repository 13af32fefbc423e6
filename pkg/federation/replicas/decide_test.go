package replicas_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ready is a target whose member has been ready for long.
func ready(name string) replicas.Seen {
	return replicas.Seen{Name: name, Allowed: true, Wanted: true, Known: true, Ready: true, Since: now.Add(-time.Hour)}
}

// running is one that has the object.
func running(name string, count, ready int64) replicas.Seen {
	t := replicas.Seen{Name: name, Allowed: true, Wanted: true, Known: true, Ready: true, Since: now.Add(-time.Hour), Placed: true, Held: true}
	t.Reading = &replicas.Reading{Replicas: count, Ready: ready}
	return t
}

func with(t replicas.Seen, change func(*replicas.Seen)) replicas.Seen {
	change(&t)
	return t
}

func masked(t *replicas.Seen)      { t.Masked = true }
func unread(t *replicas.Seen)      { t.Reading = nil }
func unfederated(t *replicas.Seen) { t.Unfederated = true }
func stale(t *replicas.Seen)       { t.Stale = true }
func unknown(t *replicas.Seen)     { t.Known, t.Ready = false, false }
func failed(t *replicas.Seen)      { t.Reading = &replicas.Reading{Failed: true} }
func unready(since time.Duration) func(*replicas.Seen) {
	return func(t *replicas.Seen) { t.Ready, t.Since = false, now.Add(-since) }
}
func readySince(since time.Duration) func(*replicas.Seen) {
	return func(t *replicas.Seen) { t.Since = now.Add(-since) }
}
func pending(count int64) func(*replicas.Seen) {
	return func(t *replicas.Seen) { t.Reading.Unschedulable = count }
}

func observe(rebalance bool, record *replicas.Record, targets ...replicas.Seen) replicas.Observation {
	return replicas.Observation{
		Spec:   v1alpha1.ReplicaSchedulingPreferenceSpec{TargetKind: "FederatedDeployment", TotalReplicas: 10, Rebalance: rebalance},
		Record: record, Targets: targets, Now: now, Unfederated: "nobody federates it",
		Delays: replicas.Delays{Unavailable: time.Minute, Available: 20 * time.Second},
	}
}

func wrote(replicasByTarget counts, away ...string) *replicas.Record {
	r := &replicas.Record{Replicas: replicasByTarget, Away: away}
	for _, name := range []string{"a", "b", "c"} {
		if _, ok := replicasByTarget[name]; ok {
			r.Placed = append(r.Placed, name)
		}
	}
	return r
}

func TestDecide(t *testing.T) {
	half := wrote(counts{"a": 5, "b": 5})
	for name, test := range map[string]struct {
		of      replicas.Observation
		want    counts // nil: nothing is changed
		away    []string
		read    []string
		after   time.Duration
		message string
	}{
		"a new object is divided": {of: observe(false, nil, ready("a"), ready("b")), want: counts{"a": 5, "b": 5}, message: "placed 10 of 10 replicas"},
		"nothing is changed while a member is being set up": {of: observe(false, half, running("a", 5, 5), with(running("b", 5, 5), unknown)),
			message: `the member of target "b" is being set up`},
		"a member that nobody wants is not waited for": {of: observe(false, nil, ready("a"), with(ready("b"), func(t *replicas.Seen) { unknown(t); t.Wanted = false })),
			want: counts{"a": 10}},
		"what runs is read first": {of: observe(false, nil, ready("a"), with(running("b", 0, 0), unread)), read: []string{"b"},
			message: "what runs in b is being read"},
		"what is read is news": {of: observe(false, nil, ready("a"), with(running("b", 8, 8), stale)), read: []string{"b"},
			message: "what runs in b is being read"},
		"what runs stays":                      {of: observe(false, nil, ready("a"), running("b", 8, 8)), want: counts{"a": 2, "b": 8}},
		"what does not run does not stay":      {of: observe(false, nil, ready("a"), running("b", 8, 0)), want: counts{"a": 5, "b": 5}},
		"rebalance moves it":                   {of: observe(true, nil, ready("a"), running("b", 8, 8)), want: counts{"a": 5, "b": 5}},
		"rebalance goes by an older capacity":  {of: observe(true, nil, ready("a"), with(with(running("b", 8, 2), pending(6)), stale)), want: counts{"a": 8, "b": 5}, after: replicas.ReadEvery},
		"a full target keeps its pending pods": {of: observe(true, half, running("a", 5, 5), with(running("b", 5, 2), pending(3))), want: counts{"a": 8, "b": 5}, after: replicas.ReadEvery, message: "placed 10 of 10 replicas"},
		"nobody has room": {of: observe(true, half, with(running("a", 5, 3), pending(2)), with(running("b", 5, 4), pending(1))), want: counts{"a": 5, "b": 5}, after: replicas.ReadEvery,
			message: "placed 7 of 10 replicas; the rest has no capacity"},
		"pods that wait count only with rebalance": {of: observe(false, half, running("a", 5, 5), with(running("b", 5, 2), pending(3))), want: counts{"a": 5, "b": 5}},
		"a target that cannot be read keeps what it has": {of: observe(true, wrote(counts{"a": 3, "b": 7}), running("a", 3, 3), with(running("b", 7, 7), failed)), want: counts{"a": 3, "b": 7},
			after: replicas.ReadEvery},
		"one that cannot be read and was not written to stays as the object says": {of: observe(false, nil, ready("a"), with(running("b", 7, 7), failed)), want: counts{"a": 10},
			after: replicas.ReadEvery},
		"a member that went a moment ago keeps its replicas": {of: observe(true, half, running("a", 5, 5), with(running("b", 5, 5), unready(10*time.Second))), want: counts{"a": 5, "b": 5},
			after: 50 * time.Second},
		"after the delay others have them, and it keeps its place": {of: observe(true, half, running("a", 5, 5), with(running("b", 5, 5), unready(time.Minute))), want: counts{"a": 10, "b": 5}, away: []string{"b"},
			message: "placed 10 of 10 replicas; without b, which cannot be reached or is not well"},
		"after a restart it is away at once": {of: observe(true, wrote(counts{"a": 10, "b": 5}, "b"), running("a", 10, 10), with(running("b", 5, 5), unready(0))), want: counts{"a": 10, "b": 5}, away: []string{"b"}},
		"once it is back it waits": {of: observe(true, wrote(counts{"a": 10, "b": 5}, "b"), running("a", 10, 10), with(running("b", 5, 5), readySince(5*time.Second))), want: counts{"a": 10, "b": 5}, away: []string{"b"},
			after: 15 * time.Second},
		"and takes part again":               {of: observe(true, wrote(counts{"a": 10, "b": 5}, "b"), running("a", 10, 10), with(running("b", 5, 5), readySince(20*time.Second))), want: counts{"a": 5, "b": 5}},
		"without rebalance it gets little":   {of: observe(false, wrote(counts{"a": 10, "b": 5}, "b"), running("a", 10, 10), running("b", 5, 0)), want: counts{"a": 10, "b": 0}},
		"what runs in both is shared":        {of: observe(false, wrote(counts{"a": 10, "b": 5}, "b"), running("a", 10, 10), running("b", 5, 5)), want: counts{"a": 5, "b": 5}},
		"one that never had it gets nothing": {of: observe(true, nil, ready("a"), with(ready("b"), unready(time.Hour))), want: counts{"a": 10}},
		"one of a first placement keeps it":  {of: observe(false, nil, running("a", 4, 4), with(running("b", 6, 6), unready(time.Hour))), want: counts{"a": 10}, away: []string{"b"}},
		"the mask keeps what runs":           {of: observe(true, half, with(running("a", 3, 3), masked), running("b", 5, 5)), want: counts{"a": 3, "b": 7}, message: "placed 10 of 10 replicas; the mask keeps a as it is"},
		"a masked target whose member is away for a moment": {of: observe(true, wrote(counts{"a": 3, "b": 7}), with(with(with(running("a", 3, 3), masked), unread), unready(10*time.Second)), running("b", 7, 7)),
			want: counts{"a": 3, "b": 7}, after: 50 * time.Second},
		"a masked target whose member is away for long": {of: observe(true, wrote(counts{"a": 3, "b": 7}), with(with(with(running("a", 3, 3), masked), unread), unready(time.Hour)), running("b", 7, 7)),
			want: counts{"a": 3, "b": 10}, away: []string{"a"}},
		"a masked target that is placed and has nothing": {of: observe(true, nil, with(ready("a"), func(t *replicas.Seen) { masked(t); t.Placed = true }), ready("b")), want: counts{"b": 10}},
		"the mask keeps all":                             {of: observe(true, half, with(running("a", 3, 3), masked), with(running("b", 5, 5), masked)), want: counts{"a": 3, "b": 5}, message: "placed 8 of 10 replicas"},
		"the mask keeps new targets out":                 {of: observe(true, half, running("a", 5, 5), running("b", 5, 5), with(ready("c"), masked)), want: counts{"a": 5, "b": 5}},
		"a masked target is read":                        {of: observe(true, half, with(with(running("a", 5, 5), masked), stale), running("b", 5, 5)), read: []string{"a"}},
		"one that nobody wants is scaled to 0":           {of: observe(false, nil, ready("a"), with(running("b", 7, 7), func(t *replicas.Seen) { t.Wanted = false })), want: counts{"a": 10, "b": 0}},
		"one that it may not be in leaves":               {of: observe(true, half, running("a", 5, 5), with(running("b", 5, 5), func(t *replicas.Seen) { t.Allowed = false })), want: counts{"a": 10}},
		"a namespace that is not federated keeps what is there, and gets nothing new": {of: observe(true, wrote(counts{"a": 3, "b": 7}), with(running("a", 3, 3), unfederated), with(ready("b"), unfederated)),
			want: counts{"a": 3}, message: "placed 3 of 10 replicas; nobody federates it; a stays as it is"},
		"a namespace of which all is there that is wanted": {of: observe(true, nil, with(running("a", 10, 10), unfederated)),
			want: counts{"a": 10}, message: "placed 10 of 10 replicas; a stays as it is, since nobody federates it"},
		"no targets": {of: replicas.Observation{Spec: v1alpha1.ReplicaSchedulingPreferenceSpec{TotalReplicas: 10}}, want: counts{}, message: "placed 0 of 10 replicas; maxReplicas, weights and the targets that are ready leave no place for the rest"},
	} {
		t.Run(name, func(t *testing.T) {
			got := replicas.Decide(test.of)
			if (got.Write == nil) != (test.want == nil) {
				t.Fatalf("got %+v, want replicas %v", got, test.want)
			}
			if got.Write != nil {
				if diff := cmp.Diff(test.want, got.Write.Replicas); diff != "" {
					t.Errorf("replicas (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.away, got.Write.Away); diff != "" {
					t.Errorf("away (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(test.read, got.Read); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if got.After != test.after {
				t.Errorf("got %v until it is decided again, want %v", got.After, test.after)
			}
			if !strings.HasPrefix(got.Message, test.message) {
				t.Errorf("got message %q, want %q", got.Message, test.message)
			}
		})
	}
}

// TestWithoutRebalanceNothingIsDecidedTwice: what runs may come and go, as in a rollout, and a member may be
// away for a moment.
func TestWithoutRebalanceNothingIsDecidedTwice(t *testing.T) {
	first := replicas.Decide(observe(false, nil, ready("a"), ready("b"))).Write
	record := &replicas.Record{Replicas: first.Replicas, Placed: first.Placed, Away: first.Away, For: first.For}
	for name, of := range map[string]replicas.Observation{
		"nothing is read after a restart":  observe(false, record, with(running("a", 5, 5), unread), with(running("b", 5, 5), unread)),
		"nothing runs yet":                 observe(false, record, running("a", 5, 0), running("b", 5, 5)),
		"a member is away for a moment":    observe(false, record, running("a", 5, 5), with(running("b", 5, 5), unready(time.Second))),
		"a target that nobody wants comes": observe(false, record, running("a", 5, 1), running("b", 5, 5), with(ready("c"), func(t *replicas.Seen) { t.Wanted = false })),
	} {
		t.Run(name, func(t *testing.T) {
			got := replicas.Decide(of)
			if diff := cmp.Diff(first, got.Write); diff != "" || len(got.Read) > 0 {
				t.Errorf("read %v; outcome (-first +then):\n%s", got.Read, diff)
			}
		})
	}
	more := observe(false, record, running("a", 5, 5), running("b", 5, 5))
	more.Spec.TotalReplicas = 12
	if diff := cmp.Diff(counts{"a": 6, "b": 6}, replicas.Decide(more).Write.Replicas); diff != "" {
		t.Errorf("another total (-want +got):\n%s", diff)
	}
}

// TestAMaskThatComesLaterIsDecidedAnew: what a masked target runs may be another version by now.
func TestAMaskThatComesLaterIsDecidedAnew(t *testing.T) {
	a := with(running("a", 3, 3), func(t *replicas.Seen) { masked(t); t.Version = "gen:3" })
	first := replicas.Decide(observe(false, wrote(counts{"a": 5, "b": 5}), a, running("b", 5, 5))).Write
	record := &replicas.Record{Replicas: first.Replicas, Placed: first.Placed, For: first.For}
	then := with(running("a", 5, 5), func(t *replicas.Seen) { masked(t); t.Version = "gen:4" })
	if diff := cmp.Diff(counts{"a": 5, "b": 5}, replicas.Decide(observe(false, record, then, running("b", 7, 7))).Write.Replicas); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
}

// TestATargetThatIsGoneKeepsItsPlace: what a restore has not brought back yet is not lost. Who is not in the
// placement any more is deleted in its member.
func TestATargetThatIsGoneKeepsItsPlace(t *testing.T) {
	withB := wrote(counts{"a": 5, "b": 5})
	for name, test := range map[string]struct {
		record   *replicas.Record
		listed   []string
		targets  []replicas.Seen
		replicas counts
		placed   []string
		away     []string
	}{
		"its cluster or cell was deleted":           {withB, []string{"a", "b"}, []replicas.Seen{running("a", 5, 5)}, counts{"a": 10, "b": 5}, []string{"a", "b"}, []string{"b"}},
		"all are gone":                              {withB, []string{"a", "b"}, nil, counts{"a": 5, "b": 5}, []string{"a", "b"}, []string{"a", "b"}},
		"before anything was written":               {nil, []string{"a", "b"}, []replicas.Seen{running("a", 5, 5)}, counts{"a": 10}, []string{"a", "b"}, []string{"b"}},
		"somebody took the list away":               {withB, nil, []replicas.Seen{running("a", 5, 5)}, counts{"a": 10, "b": 5}, []string{"a", "b"}, []string{"b"}},
		"somebody wrote another list":               {withB, []string{"c"}, []replicas.Seen{running("a", 5, 5), running("c", 1, 1)}, counts{"a": 5, "b": 5, "c": 5}, []string{"a", "b", "c"}, []string{"b"}},
		"somebody took nothing off the list but it": {withB, []string{"a"}, []replicas.Seen{running("a", 5, 5)}, counts{"a": 10}, []string{"a"}, nil},
		"it is back":                                {wrote(counts{"a": 10, "b": 5}, "b"), []string{"a", "b"}, []replicas.Seen{running("a", 10, 10), running("b", 5, 5)}, counts{"a": 5, "b": 5}, []string{"a", "b"}, nil},
		"it is there, and not allowed": {withB, []string{"a", "b"}, []replicas.Seen{running("a", 5, 5), with(running("b", 5, 5), func(t *replicas.Seen) { t.Allowed = false })},
			counts{"a": 10}, []string{"a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, rebalance := range []bool{true, false} {
				of := observe(rebalance, test.record, test.targets...)
				of.Listed = test.listed
				of.GoneSince = map[string]time.Time{"a": of.Now.Add(-time.Hour), "b": of.Now.Add(-time.Hour)}
				got := replicas.Decide(of).Write
				got.For = ""
				if diff := cmp.Diff(&replicas.Outcome{Replicas: test.replicas, Placed: test.placed, Away: test.away}, got); diff != "" {
					t.Errorf("rebalance %v: outcome (-want +got):\n%s", rebalance, diff)
				}
			}
		})
	}
}

// A target that is gone may be back in a moment, as one whose member is not ready.
func TestReplicasOfATargetThatIsGoneWait(t *testing.T) {
	for name, test := range map[string]struct {
		record   *replicas.Record
		gone     time.Duration
		replicas counts
		away     []string
		after    time.Duration
	}{
		"nobody has seen it go": {wrote(counts{"a": 5, "b": 5}), 0, counts{"a": 5, "b": 5}, nil, time.Minute},
		"it went a moment ago":  {wrote(counts{"a": 5, "b": 5}), 40 * time.Second, counts{"a": 5, "b": 5}, nil, 20 * time.Second},
		"it went long ago":      {wrote(counts{"a": 5, "b": 5}), time.Minute, counts{"a": 10, "b": 5}, []string{"b"}, 0},
		"others have them, and the controllers were restarted": {wrote(counts{"a": 10, "b": 5}, "b"), 0, counts{"a": 10, "b": 5}, []string{"b"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, rebalance := range []bool{true, false} {
				of := observe(rebalance, test.record, running("a", 5, 5))
				of.Listed = []string{"a", "b"}
				if test.gone > 0 {
					of.GoneSince = map[string]time.Time{"b": of.Now.Add(-test.gone)}
				}
				got := replicas.Decide(of)
				got.Write.For = ""
				if diff := cmp.Diff(&replicas.Outcome{Replicas: test.replicas, Placed: []string{"a", "b"}, Away: test.away}, got.Write); diff != "" {
					t.Errorf("rebalance %v: outcome (-want +got):\n%s", rebalance, diff)
				}
				if got.After != test.after || !slices.Equal(got.Gone, []string{"b"}) {
					t.Errorf("rebalance %v: decided again in %v, gone are %v", rebalance, got.After, got.Gone)
				}
			}
		})
	}
}

// TestAMemberThatHoldsNothingMovesNothing: it comes and goes, and a rollout is under way in another.
func TestAMemberThatHoldsNothingMovesNothing(t *testing.T) {
	of := observe(false, nil, running("a", 5, 5), running("b", 5, 5), ready("c"))
	first := replicas.Decide(of).Write
	if diff := cmp.Diff(counts{"a": 5, "b": 5}, first.Replicas); diff != "" {
		t.Fatalf("at first (-want +got):\n%s", diff)
	}
	record := &replicas.Record{Replicas: first.Replicas, Placed: first.Placed, For: first.For}
	for name, c := range map[string]replicas.Seen{
		"it went a moment ago": with(ready("c"), unready(time.Second)),
		"it went long ago":     with(ready("c"), unready(time.Hour)),
		"it is back":           with(ready("c"), readySince(time.Second)),
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(first, replicas.Decide(observe(false, record, running("a", 5, 1), running("b", 5, 5), c)).Write); diff != "" {
				t.Errorf("outcome (-first +then):\n%s", diff)
			}
		})
	}
}

// TestAMemberThatMissedTheDivisionTakesPartOnceItIsReady: minimums and unplaced replicas wait for it.
func TestAMemberThatMissedTheDivisionTakesPartOnceItIsReady(t *testing.T) {
	first := replicas.Decide(observe(false, nil, with(ready("a"), unready(time.Hour)))).Write
	record := &replicas.Record{Replicas: first.Replicas, Placed: first.Placed, Missed: first.Missed, For: first.For}
	soon := replicas.Decide(observe(false, record, with(ready("a"), readySince(5*time.Second))))
	if diff := cmp.Diff(first, soon.Write); diff != "" || soon.After != 15*time.Second {
		t.Errorf("ready for a moment: decided again in %v, outcome (-first +then):\n%s", soon.After, diff)
	}
	if diff := cmp.Diff(counts{"a": 10}, replicas.Decide(observe(false, record, ready("a"))).Write.Replicas); diff != "" {
		t.Errorf("ready for long (-want +got):\n%s", diff)
	}
}
