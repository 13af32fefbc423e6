package propagation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// scheduler does with a memory what engine and executors do, in any order. It knows what
// each target is to run and what it runs; a sync compares the two.
type scheduler struct {
	t      *testing.T
	random *rand.Rand
	memory *memory
	wanted map[string]string // by target; targets that are missing are not placed
	runs   map[string]string
	// queue, timers and acting are where jobs are.
	queue  []string
	timers []timer
	acting map[string]*order
	synced bool
}

type timer struct {
	target string
	turn   int
}

const targets = 4

func newScheduler(t *testing.T, seed uint64) *scheduler {
	return &scheduler{
		t: t, random: rand.New(rand.NewPCG(seed, 8)), wanted: map[string]string{}, runs: map[string]string{}, acting: map[string]*order{},
		memory: &memory{records: map[string]v1beta2.TargetStatus{}, jobs: map[string]*job{}, fights: map[string]*fight{}},
	}
}

// member of a target: two targets share one.
func memberOf(target string) string { return "m" + string(rune('0'+(target[0]-'a')/2)) }

func targetIn(target string) viewTarget {
	return viewTarget{Candidate: placement.Candidate{Name: target, Member: memberOf(target)}}
}

// jobOf a target is in the only place that it has.
func jobOf(target string) string { return placeOf(target, memberOf(target), "") }

func (s *scheduler) sync() {
	s.synced = true
	known := map[string]bool{}
	for target, about := range s.wanted {
		known[jobOf(target)] = true
		if s.runs[target] == about {
			s.memory.settle(target, jobOf(target), decision{})
			continue
		}
		o := &order{about: about, target: targetIn(target)}
		if enqueue, _ := s.memory.want(jobOf(target), o, nil); enqueue {
			s.queue = append(s.queue, target)
		}
	}
	s.memory.unwantOthers(known)
}

func (s *scheduler) follow(target string, next sequel) {
	s.synced = false // every result has the object synced
	if next.enqueue {
		s.queue = append(s.queue, target)
	}
	if next.wait > 0 {
		s.timers = append(s.timers, timer{target, next.turn})
	}
}

// take has an executor begin with something from its queue.
func (s *scheduler) take() {
	if len(s.queue) == 0 {
		return
	}
	i := s.random.IntN(len(s.queue))
	target := s.queue[i]
	s.queue = slices.Delete(s.queue, i, i+1)
	if o := s.memory.take(jobOf(target)); o != nil {
		if s.acting[target] != nil {
			s.t.Fatalf("two executors act on %s", target)
		}
		s.acting[target] = o
	}
}

// finish has one end with what it does.
func (s *scheduler) finish(failing bool) {
	for target, o := range s.acting {
		delete(s.acting, target)
		switch n := s.random.IntN(6); {
		case failing && n < 2:
			s.follow(target, s.memory.end(targetIn(target), "", result{failed: true}))
		case failing && n == 2: // it finds that things are others now
			s.follow(target, s.memory.rest(jobOf(target)))
		default:
			s.runs[target] = o.about
			s.follow(target, s.memory.end(targetIn(target), "", result{}))
		}
		return
	}
}

func (s *scheduler) fire() {
	if len(s.timers) == 0 {
		return
	}
	i := s.random.IntN(len(s.timers))
	due := s.timers[i]
	s.timers = slices.Delete(s.timers, i, i+1)
	if _, enqueue := s.memory.wake(jobOf(due.target), due.turn); enqueue {
		s.queue = append(s.queue, due.target)
	}
}

// drop ends the executor of a member, with its queue.
func (s *scheduler) drop() {
	member := fmt.Sprintf("m%d", s.random.IntN(targets/2))
	s.queue = slices.DeleteFunc(s.queue, func(target string) bool { return memberOf(target) == member })
	s.memory.loseMember(member)
	s.synced = false
}

func (s *scheduler) step() {
	target := string(rune('a' + s.random.IntN(targets)))
	switch s.random.IntN(10) {
	case 0:
		s.wanted[target], s.synced = fmt.Sprint(s.random.IntN(3)), false
	case 1:
		delete(s.wanted, target)
		s.synced = false
	case 2: // somebody in the member undoes it
		delete(s.runs, target)
		s.synced = false
	case 3:
		s.drop()
	case 4:
		s.fire()
	case 5, 6:
		s.take()
	case 7, 8:
		s.finish(true)
	default:
		s.sync()
	}
}

// check fails if there is a job that nobody will look at, or two will.
func (s *scheduler) check() {
	for place, j := range s.memory.jobs {
		target, _, _ := strings.Cut(place, formerMark)
		inQueue, waits := 0, false
		for _, name := range s.queue {
			if name == target {
				inQueue++
			}
		}
		for _, due := range s.timers {
			waits = waits || due == timer{target, j.turn}
		}
		switch {
		case j.phase == queued && inQueue == 0:
			s.t.Fatalf("%s is queued, and in no queue", target)
		case j.phase == waiting && !waits:
			s.t.Fatalf("%s waits, and nothing wakes it", target)
		case j.phase == acting && s.acting[target] == nil:
			s.t.Fatalf("%s is acted on by nobody", target)
		case j.phase == idle:
			s.t.Fatalf("%s is idle, and remembered", target)
		}
	}
}

// settle lets everything come to rest, with executors that do not fail any more.
func (s *scheduler) settle() {
	for range 10_000 {
		switch {
		case !s.synced:
			s.sync()
		case len(s.acting) > 0:
			s.finish(false)
		case len(s.queue) > 0:
			s.take()
		case len(s.timers) > 0:
			s.fire()
		default:
			return
		}
		s.check()
	}
	s.t.Fatal("it does not come to rest")
}

func TestWhateverHappensTargetsEndUpAsWanted(t *testing.T) {
	for seed := range uint64(300) {
		s := newScheduler(t, seed)
		for range 500 {
			s.step()
			s.check()
		}
		s.settle()
		for target, about := range s.wanted {
			if s.runs[target] != about {
				t.Fatalf("seed %d: %s runs %q, want %q", seed, target, s.runs[target], about)
			}
		}
		if len(s.memory.jobs) > 0 {
			t.Fatalf("seed %d: jobs are left: %v", seed, s.memory.jobs)
		}
	}
}

func TestWhatHasFailedWaitsLongerEachTime(t *testing.T) {
	j := &job{}
	same := func() *order { return &order{about: "same"} }
	j.want(same())
	var waits []string
	for range 9 {
		if j.take() == nil {
			t.Fatal("there is nothing to do")
		}
		wait, _, _ := j.fail(v1beta2.TargetStatus{State: v1beta2.TargetUpdateFailed})
		waits = append(waits, wait.String())
		if enqueue, said := j.want(same()); enqueue || said == nil || said.State != v1beta2.TargetUpdateFailed {
			t.Errorf("the same is wanted: enqueued %v, says %v; want it to wait and to say why", enqueue, said)
		}
		if !j.wake(j.turn) {
			t.Fatal("it does not wake")
		}
	}
	want := []string{"500ms", "1s", "2s", "4s", "8s", "16s", "32s", "1m0s", "1m0s"}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	j.take()
	j.fail(v1beta2.TargetStatus{})
	if enqueue, _ := j.want(&order{about: "another"}); !enqueue {
		t.Error("something else does not begin at once")
	}
}

func TestNamespacesTakeTurns(t *testing.T) {
	queue := newFair(100, func(k objectKey) string { return k.namespace })
	for i := range 1000 {
		queue.Push(objectKey{namespace: "busy", name: fmt.Sprint(i)})
	}
	queue.Push(objectKey{namespace: "quiet", name: "a"})
	queue.Push(objectKey{namespace: "quiet", name: "b"})
	var order []string
	for range 5 {
		order = append(order, queue.Pop().source())
	}
	if want := []string{"busy/0", "quiet/a", "busy/1", "quiet/b", "busy/2"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	if queue.Len() != 997 {
		t.Errorf("got %d left, want 997", queue.Len())
	}
}
