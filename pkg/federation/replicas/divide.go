package replicas

import (
	"cmp"
	"container/heap"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
)

// Everybody is the name under which preferences are for all targets that have none of their own.
const Everybody = "*"

// Input is what there is to divide, and among whom.
type Input struct {
	// Total replicas over all targets, and Taken those of them that are in targets which are not
	// among Targets: they stay where they are.
	Total, Taken int64
	// Preferences by the name of the target, or Everybody. Nil or empty: weight 1 for everybody. A
	// target that has none gets nothing.
	Preferences map[string]v1alpha1.ClusterPreferences
	// Rebalance moves replicas that run.
	Rebalance bool
	// Targets that may get replicas, each name once, in any order.
	Targets []Target
}

// Target is one of those that may get replicas.
type Target struct {
	Name string
	// Running replicas stay, unless Rebalance is set.
	Running int64
	// Capacity is how many can run there, at most; nil if nothing says that there is a limit.
	Capacity *int64
}

// Division is who gets what.
type Division struct {
	// Replicas has one entry for each target. They are never more than maxReplicas and capacity,
	// and sum to Total less Taken, as far as that is possible.
	Replicas map[string]int64
	// Pending are replicas beyond the capacity of a target that it has besides: they
	// wait there, and show when there is room again. With Rebalance it is all that the target would
	// have if it had the capacity, else only what is nowhere else.
	Pending map[string]int64
	// Unplaced replicas are nowhere. NoCapacity says that capacity is why.
	Unplaced   int64
	NoCapacity bool
}

// Divide gives each target its minReplicas first, the heaviest target first if there are too few. Without
// Rebalance, targets then keep what runs there. What is left goes out in proportion to weights:
// each replica to the target for which weight/(2n+1) is largest, where n is what it has beyond its
// minimum (Sainte-Laguë's method, see ADR 36). So nobody loses a replica because there are more of
// them, and a target that is full leaves its share to the others.
func Divide(in Input) Division {
	shares := sharesOf(in, true)
	left := in.run(shares)
	d := Division{Replicas: make(map[string]int64, len(in.Targets)), Pending: map[string]int64{}, Unplaced: left}
	for _, t := range in.Targets {
		d.Replicas[t.Name] = 0
	}
	for _, s := range shares {
		d.Replicas[s.name] = s.got
	}
	d.addPending(in)
	return d
}

// addPending finds what targets would have if they had the capacity.
func (d *Division) addPending(in Input) {
	capacity := map[string]int64{}
	for _, t := range in.Targets {
		if t.Capacity != nil {
			capacity[t.Name] = max(*t.Capacity, 0)
		}
	}
	if len(capacity) == 0 {
		return
	}
	due := sharesOf(in, false)
	in.run(due)
	nowhere := d.Unplaced
	for _, s := range due {
		limit, ok := capacity[s.name]
		pending := s.got - max(limit, d.Replicas[s.name])
		if !ok || pending <= 0 {
			continue
		}
		d.NoCapacity = d.NoCapacity || d.Unplaced > 0
		if !in.Rebalance {
			pending = min(pending, nowhere)
			nowhere -= pending
		}
		if pending > 0 {
			d.Pending[s.name] = pending
		}
	}
}

// share is what one target gets.
type share struct {
	name   string
	weight int64
	// least is minReplicas, most what maxReplicas and capacity allow.
	least, most int64
	running     int64
	// base is what it got as its minimum, got all that it has.
	base, got int64
}

// seats are the replicas that its weight has brought.
func (s *share) seats() int64 { return s.got - s.base }

// sharesOf are those of the targets that have preferences, the heaviest first. capacities says
// whether capacities count.
func sharesOf(in Input, capacities bool) []*share {
	preferences := in.Preferences
	if len(preferences) == 0 {
		preferences = map[string]v1alpha1.ClusterPreferences{Everybody: {Weight: 1}}
	}
	var shares []*share
	for _, t := range in.Targets {
		wanted, ok := preferences[t.Name]
		if !ok {
			if wanted, ok = preferences[Everybody]; !ok {
				continue
			}
		}
		s := &share{name: t.Name, weight: max(wanted.Weight, 0), most: max(in.Total, 0), running: max(t.Running, 0)}
		if wanted.MaxReplicas != nil {
			s.most = min(s.most, max(*wanted.MaxReplicas, 0))
		}
		if capacities && t.Capacity != nil {
			s.most = min(s.most, max(*t.Capacity, 0))
		}
		s.least = min(max(wanted.MinReplicas, 0), s.most)
		shares = append(shares, s)
	}
	slices.SortFunc(shares, heavier)
	return shares
}

// heavier orders by weight, the heaviest first, and then by name.
func heavier(a, b *share) int {
	return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.name, b.name))
}

// run gives out the replicas, and returns how many are left.
func (in Input) run(shares []*share) int64 {
	left := max(in.Total-max(in.Taken, 0), 0)
	for _, s := range shares {
		s.base = min(s.least, left)
		s.got = s.base
		left -= s.got
	}
	if !in.Rebalance {
		left = keep(shares, left)
	}
	return spread(shares, left)
}

// keep leaves with targets what runs there. If there is not enough for all of that, they keep by
// weight, and those that have no weight come last.
func keep(shares []*share, left int64) int64 {
	kept, sum := make([]int64, len(shares)), int64(0)
	for i, s := range shares {
		kept[i] = max(min(s.running, s.most)-s.got, 0)
		sum += kept[i]
	}
	if sum <= left {
		for i, s := range shares {
			s.got += kept[i]
		}
		return left - sum
	}
	most := make([]int64, len(shares))
	for i, s := range shares {
		most[i], s.most = s.most, s.got+kept[i]
	}
	left = spread(shares, left)
	for i, s := range shares {
		more := min(left, s.most-s.got)
		s.got += more
		left -= more
		s.most = most[i]
	}
	return left
}

// spread gives out by weight, and returns how many nobody may have.
func spread(shares []*share, left int64) int64 {
	var open queue
	room := int64(0)
	for _, s := range shares {
		if s.weight > 0 && s.got < s.most {
			open = append(open, s)
			room += s.most - s.got
		}
	}
	if room <= left {
		for _, s := range open {
			s.got = s.most
		}
		return left - room
	}
	left -= open.leap(left)
	heap.Init(&open)
	for left > 0 {
		s := open[0]
		s.got++
		left--
		if s.got == s.most {
			heap.Pop(&open)
		} else {
			heap.Fix(&open, 0)
		}
	}
	return 0
}

// leap gives out most of the replicas at once, so that two billion of them take no longer than a thousand, and
// returns how many. Nobody gets more than one by one: what each would have at a common price per
// replica, less one for what floating point may get wrong.
func (q queue) leap(left int64) (given int64) {
	if left <= 4*int64(len(q)) {
		return 0
	}
	seats := func(s *share, price float64) int64 {
		exact := math.Floor(float64(s.weight)*price + 0.5)
		if exact >= float64(s.most-s.base) {
			return s.most - s.base
		}
		return max(int64(exact), s.seats())
	}
	lightest := q[0].weight
	for _, s := range q {
		lightest = min(lightest, s.weight)
	}
	low, high := 0.0, float64(left+math.MaxInt32)/float64(lightest)
	for range 200 {
		price, sum := low+(high-low)/2, int64(0)
		for _, s := range q {
			sum += seats(s, price) - s.seats()
		}
		if sum > left {
			high = price
		} else {
			low = price
		}
	}
	for _, s := range q {
		if more := seats(s, low) - 1 - s.seats(); more > 0 {
			s.got += more
			given += more
		}
	}
	return given
}

// queue is a heap of those that may have more; the next replica is for the first.
type queue []*share

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*share)) }

func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// Less compares weight/(2n+1) without dividing: products of 64 bits have 128.
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	aHigh, aLow := bits.Mul64(uint64(a.weight), uint64(2*b.seats()+1)) //nolint:gosec // neither is negative
	bHigh, bLow := bits.Mul64(uint64(b.weight), uint64(2*a.seats()+1)) //nolint:gosec // neither is negative
	if by := cmp.Or(cmp.Compare(bHigh, aHigh), cmp.Compare(bLow, aLow)); by != 0 {
		return by < 0
	}
	return heavier(a, b) < 0
}
