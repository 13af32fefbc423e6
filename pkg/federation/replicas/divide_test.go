package replicas_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

type (
	wishes = map[string]v1alpha1.ClusterPreferences
	counts = map[string]int64
)

func weight(w int64) v1alpha1.ClusterPreferences { return v1alpha1.ClusterPreferences{Weight: w} }

func limited(least, most, weight int64) v1alpha1.ClusterPreferences {
	p := v1alpha1.ClusterPreferences{MinReplicas: least, Weight: weight}
	if most >= 0 {
		p.MaxReplicas = &most
	}
	return p
}

func input(total int64, names string, wanted wishes, running, capacity counts) replicas.Input {
	in := replicas.Input{Total: total, Preferences: wanted}
	for _, name := range names {
		t := replicas.Target{Name: string(name), Running: running[string(name)]}
		if limit, ok := capacity[string(name)]; ok {
			t.Capacity = &limit
		}
		in.Targets = append(in.Targets, t)
	}
	return in
}

// TestDivideAsKubeFed has the examples of KubeFed's user guide and what its planner was known to
// do. Where a tie there went by a hash, here it goes by name.
func TestDivideAsKubeFed(t *testing.T) {
	everybody := wishes{"*": weight(1)}
	for name, test := range map[string]struct {
		total             int64
		targets           string
		wanted            wishes
		running, capacity counts
		rebalance         bool
		want, pending     counts
	}{
		"user guide: evenly in all clusters":                  {9, "ABC", nil, nil, nil, false, counts{"A": 3, "B": 3, "C": 3}, nil},
		"user guide: in proportion, and none for the unnamed": {9, "ABC", wishes{"A": weight(1), "B": weight(2)}, nil, nil, false, counts{"A": 3, "B": 6, "C": 0}, nil},
		"user guide: in proportion within limits":             {9, "AB", wishes{"A": limited(4, 6, 1), "B": limited(4, 8, 2)}, nil, nil, false, counts{"A": 4, "B": 5}, nil},
		"user guide: evenly, and at most 20 in C":             {50, "ABC", wishes{"*": weight(1), "C": limited(0, 20, 1)}, nil, nil, false, counts{"A": 17, "B": 17, "C": 16}, nil},
		"at most 20 in C, of more":                            {100, "ABC", wishes{"*": weight(1), "C": limited(0, 20, 1)}, nil, nil, false, counts{"A": 40, "B": 40, "C": 20}, nil},
		"at most 20 in C, and B is away":                      {50, "AC", wishes{"*": weight(1), "C": limited(0, 20, 1)}, nil, nil, false, counts{"A": 30, "C": 20}, nil},
		"the rest of a division goes by name":                 {50, "ABC", everybody, nil, nil, false, counts{"A": 17, "B": 17, "C": 16}, nil},
		"one replica goes to one":                             {1, "ABCD", everybody, nil, nil, false, counts{"A": 1, "B": 0, "C": 0, "D": 0}, nil},
		"nobody gets anything":                                {1, "", everybody, nil, nil, false, counts{}, nil},

		"what runs stays":                                  {50, "ABC", everybody, counts{"C": 30}, nil, false, counts{"A": 10, "B": 10, "C": 30}, nil},
		"what runs stays, of two":                          {50, "AB", everybody, counts{"A": 30}, nil, false, counts{"A": 30, "B": 20}, nil},
		"what runs counts as part of the share":            {15, "AB", everybody, counts{"A": 4, "B": 8}, nil, false, counts{"A": 7, "B": 8}, nil},
		"few that run change nothing":                      {50, "AB", everybody, counts{"A": 10, "B": 20}, nil, false, counts{"A": 25, "B": 25}, nil},
		"many that run":                                    {500000, "AB", everybody, counts{"A": 300000}, nil, false, counts{"A": 300000, "B": 200000}, nil},
		"fewer than run are taken from where most run":     {50, "AB", everybody, counts{"A": 10, "B": 70}, nil, false, counts{"A": 10, "B": 40}, nil},
		"fewer than run in one":                            {1, "AB", everybody, counts{"A": 30}, nil, false, counts{"A": 1, "B": 0}, nil},
		"rebalance moves what runs":                        {50, "ABC", everybody, counts{"C": 30}, nil, true, counts{"A": 17, "B": 17, "C": 16}, nil},
		"a target without weight keeps what runs":          {10, "AB", wishes{"A": weight(1), "B": weight(0)}, counts{"B": 4}, nil, false, counts{"A": 6, "B": 4}, nil},
		"rebalance takes from a target without weight":     {10, "AB", wishes{"A": weight(1), "B": weight(0)}, counts{"B": 4}, nil, true, counts{"A": 10, "B": 0}, nil},
		"what runs beyond maxReplicas does not stay":       {10, "AB", wishes{"*": limited(0, 6, 1)}, counts{"A": 10}, nil, false, counts{"A": 6, "B": 4}, nil},
		"what runs where no preference is does not stay":   {10, "AB", wishes{"A": weight(1)}, counts{"B": 4}, nil, false, counts{"A": 10, "B": 0}, nil},
		"minReplicas without weight is all that one gets":  {50, "ABC", wishes{"*": limited(2, -1, 0)}, nil, nil, false, counts{"A": 2, "B": 2, "C": 2}, nil},
		"too few for every minReplicas go by name":         {50, "ABC", wishes{"*": limited(20, -1, 0)}, nil, nil, false, counts{"A": 20, "B": 20, "C": 10}, nil},
		"too few for every minReplicas go by weight first": {50, "ABC", wishes{"*": limited(20, -1, 0), "C": limited(100, -1, 1)}, nil, nil, false, counts{"A": 0, "B": 0, "C": 50}, nil},
		"no more than maxReplicas":                         {50, "ABC", wishes{"*": limited(10, 12, 1)}, nil, nil, false, counts{"A": 12, "B": 12, "C": 12}, nil},
		"weights decide":                                   {60, "ABC", wishes{"A": weight(1), "B": weight(2)}, nil, nil, false, counts{"A": 20, "B": 40, "C": 0}, nil},
		"a large weight takes all":                         {50, "ABC", wishes{"A": weight(10000), "B": weight(1)}, nil, nil, false, counts{"A": 50, "B": 0, "C": 0}, nil},
		"a large weight that is away leaves all":           {50, "BC", wishes{"A": weight(10000), "B": weight(1)}, nil, nil, false, counts{"B": 50, "C": 0}, nil},
		"a large weight up to its limit": {91, "ABCDE", wishes{"A": limited(0, 10, 10000), "B": weight(1), "C": limited(0, 21, 1), "D": limited(0, 10, 1), "E": weight(1)},
			nil, nil, false, counts{"A": 10, "B": 25, "C": 21, "D": 10, "E": 25}, nil},

		"a full target leaves its share, and keeps it pending": {60, "ABC", wishes{"A": weight(1), "B": weight(2)}, nil, counts{"B": 10}, true, counts{"A": 50, "B": 10, "C": 0}, counts{"B": 30}},
		"pending is no more than maxReplicas": {71, "ABCD", wishes{"A": limited(0, 10, 10000), "B": weight(1), "C": limited(0, 21, 1), "D": limited(0, 10, 1)},
			nil, counts{"C": 10}, true, counts{"A": 10, "B": 41, "C": 10, "D": 10}, counts{"C": 11}},
		"what fits nowhere is pending where it is due":       {60, "ABC", wishes{"A": weight(1), "B": weight(1)}, nil, counts{"A": 10, "B": 10}, false, counts{"A": 10, "B": 10, "C": 0}, counts{"A": 20, "B": 20}},
		"without rebalance what fits elsewhere is not":       {60, "ABC", wishes{"A": weight(1), "B": weight(5)}, nil, counts{"B": 10}, false, counts{"A": 50, "B": 10, "C": 0}, nil},
		"no more than the capacity as a minimum":             {50, "ABC", wishes{"*": limited(20, -1, 0)}, nil, counts{"B": 10}, false, counts{"A": 20, "B": 10, "C": 20}, nil},
		"kubefed#1295: maxReplicas keeps the others out":     {6, "AB", wishes{"A": limited(1, 1, 1), "B": limited(1, 5, 10)}, nil, counts{"B": 4}, true, counts{"A": 1, "B": 4}, counts{"B": 1}},
		"a full target gets its share back when it has room": {10, "AB", everybody, nil, nil, true, counts{"A": 5, "B": 5}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(test.total, test.targets, test.wanted, test.running, test.capacity)
			in.Rebalance = test.rebalance
			got := replicas.Divide(in)
			if diff := cmp.Diff(test.want, got.Replicas); diff != "" {
				t.Errorf("replicas (-want +got):\n%s", diff)
			}
			if test.pending == nil {
				test.pending = counts{}
			}
			if diff := cmp.Diff(test.pending, got.Pending); diff != "" {
				t.Errorf("pending (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplicasThatAreElsewhereCount(t *testing.T) {
	in := input(10, "AB", nil, nil, nil)
	in.Taken = 4
	if diff := cmp.Diff(counts{"A": 3, "B": 3}, replicas.Divide(in).Replicas); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
	in.Taken = 12
	if diff := cmp.Diff(counts{"A": 0, "B": 0}, replicas.Divide(in).Replicas); diff != "" {
		t.Errorf("more than there are (-want +got):\n%s", diff)
	}
}

func TestWhyReplicasAreNowhere(t *testing.T) {
	full := replicas.Divide(input(10, "AB", nil, nil, counts{"A": 3, "B": 4}))
	if full.Unplaced != 3 || !full.NoCapacity {
		t.Errorf("got %d unplaced, for want of capacity %v, want 3 and true", full.Unplaced, full.NoCapacity)
	}
	bound := replicas.Divide(input(10, "AB", wishes{"*": limited(0, 4, 1)}, nil, counts{"A": 8}))
	if bound.Unplaced != 2 || bound.NoCapacity {
		t.Errorf("got %d unplaced, for want of capacity %v, want 2 and false", bound.Unplaced, bound.NoCapacity)
	}
}

// random makes an input of anything that validates.
func random(r *rand.Rand) replicas.Input {
	in := replicas.Input{Total: r.Int64N(60), Rebalance: r.IntN(2) == 0, Preferences: wishes{}}
	if r.IntN(10) == 0 {
		in.Total = r.Int64N(math.MaxInt32)
	}
	for i := range r.IntN(9) {
		name := string(rune('A' + i))
		target := replicas.Target{Name: name}
		if r.IntN(2) == 0 {
			target.Running = r.Int64N(30)
		}
		if r.IntN(4) == 0 {
			target.Capacity = new(r.Int64N(20))
		}
		in.Targets = append(in.Targets, target)
		if r.IntN(3) > 0 {
			in.Preferences[name] = randomWish(r)
		}
	}
	if r.IntN(2) == 0 {
		in.Preferences["*"] = randomWish(r)
	}
	if r.IntN(8) == 0 {
		in.Preferences = nil
	}
	if r.IntN(4) == 0 {
		in.Taken = r.Int64N(30)
	}
	return in
}

func randomWish(r *rand.Rand) v1alpha1.ClusterPreferences {
	wish := v1alpha1.ClusterPreferences{Weight: r.Int64N(5)}
	if r.IntN(8) == 0 {
		wish.Weight = math.MaxInt64 - r.Int64N(5)
	}
	if r.IntN(2) == 0 {
		wish.MinReplicas = r.Int64N(10)
	}
	if r.IntN(3) == 0 {
		wish.MaxReplicas = new(wish.MinReplicas + r.Int64N(20))
	}
	return wish
}

// wishFor is the preference that counts for a target.
func wishFor(in replicas.Input, name string) (v1alpha1.ClusterPreferences, bool) {
	if len(in.Preferences) == 0 {
		return weight(1), true
	}
	if own, ok := in.Preferences[name]; ok {
		return own, true
	}
	all, ok := in.Preferences["*"]
	return all, ok
}

// bounds are the least and the most that a target may have.
func bounds(in replicas.Input, t replicas.Target) (least, most int64) {
	wish, ok := wishFor(in, t.Name)
	if !ok {
		return 0, 0
	}
	most = in.Total
	if wish.MaxReplicas != nil {
		most = min(most, *wish.MaxReplicas)
	}
	if t.Capacity != nil {
		most = min(most, *t.Capacity)
	}
	return min(wish.MinReplicas, most), most
}

func TestDivideWhatever(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any seed will do
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	for range 2000 {
		in := random(r)
		got := replicas.Divide(in)
		if problem := wrong(in, got); problem != "" {
			t.Fatalf("seed %d: %s\ninput %+v\ngot %+v", seed, problem, in, got)
		}
		r.Shuffle(len(in.Targets), func(i, j int) { in.Targets[i], in.Targets[j] = in.Targets[j], in.Targets[i] })
		if diff := cmp.Diff(got, replicas.Divide(in)); diff != "" {
			t.Fatalf("seed %d: another order of targets gives another division:\n%s", seed, diff)
		}
		more := in
		more.Total++
		for name, count := range replicas.Divide(more).Replicas {
			if count < got.Replicas[name] {
				t.Fatalf("seed %d: %s has %d of %d replicas, and %d of one more\ninput %+v", seed, name, got.Replicas[name], in.Total, count, in)
			}
		}
		settled := in
		settled.Targets = slices.Clone(in.Targets)
		for i := range settled.Targets {
			settled.Targets[i].Running = got.Replicas[settled.Targets[i].Name]
		}
		if diff := cmp.Diff(got.Replicas, replicas.Divide(settled).Replicas); diff != "" {
			t.Fatalf("seed %d: once it runs it is divided anew (-first +then):\n%s\ninput %+v", seed, diff, in)
		}
	}
}

// wrong says what of a division must not be.
func wrong(in replicas.Input, got replicas.Division) string {
	sum, room, mins, kept := int64(0), int64(0), int64(0), int64(0)
	everybodyHasLeast, everybodyKeeps := true, true
	for _, target := range in.Targets {
		least, most := bounds(in, target)
		count := got.Replicas[target.Name]
		if count < 0 || count > most {
			return target.Name + " is out of bounds"
		}
		wish, _ := wishFor(in, target.Name)
		keeps := max(least, min(target.Running, most))
		if wish.Weight > 0 {
			room += most
		} else if in.Rebalance {
			room += least
		} else {
			room += keeps
		}
		sum, mins, kept = sum+count, mins+least, kept+keeps
		everybodyHasLeast = everybodyHasLeast && count >= least
		everybodyKeeps = everybodyKeeps && count >= keeps
	}
	free := max(in.Total-in.Taken, 0)
	switch {
	case sum != min(free, room):
		return "the sum is wrong"
	case got.Unplaced != free-sum:
		return "what is unplaced is wrong"
	case mins <= free && !everybodyHasLeast:
		return "somebody has less than minReplicas, and there are enough"
	case !in.Rebalance && kept <= free && !everybodyKeeps:
		return "somebody lost replicas that can run there"
	}
	return ""
}

func TestManyReplicasAmongManyTargetsAreExact(t *testing.T) {
	in := replicas.Input{Total: math.MaxInt32, Rebalance: true}
	for i := range 1000 {
		in.Targets = append(in.Targets, replicas.Target{Name: string(rune('a'+i/26%26)) + string(rune('a'+i%26)) + string(rune('a'+i/676))})
	}
	for name, count := range replicas.Divide(in).Replicas {
		if want := int64(math.MaxInt32 / 1000); count != want && count != want+1 {
			t.Errorf("%s: got %d, want %d or one more", name, count, want)
		}
	}
}
