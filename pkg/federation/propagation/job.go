package propagation

import (
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// phase is where a job stands.
//
//	       want              take               done, dropped
//	idle ───────► queued ──────────► acting ─────────────────► idle
//	  ▲             │ ▲ ▲              │  └─ wanted meanwhile ─► queued
//	  ├── unwant ◄──┘ │ └─ wake ───┐   │ failed
//	  │               └─ want ── waiting ◄┘
//	  └────────────── unwant ◄─────┘
//
// A job that is queued is in the queue of its member's executor, once; one that waits has a
// timer that wakes it. Whatever takes a job out of the queue without acting, or ends the
// executor, says so to the job: there is no state in which nobody will look at it.
type phase int

const (
	idle phase = iota
	queued
	acting
	waiting
)

// order is something to be done in a target, as sync decided it.
type order struct {
	// about stands for what is to be done and on what ground. What has failed is tried
	// again at once if that is another.
	about    string
	view     *view
	target   viewTarget
	manifest *render.Manifest
}

// job is what is to be done in one place of a target, and how that goes. It is not safe for concurrent
// use: its memory guards it.
type job struct {
	phase phase
	// member whose executor has the job.
	member string
	order  *order
	// next was wanted while an executor acted; nil if nothing else was.
	next *order
	// unwanted is set while an executor acts on what is not wanted any more.
	unwanted bool
	// failures are those in a row, and failed is what the last one says of the target.
	failures int
	failed   v1beta2.TargetStatus
	// turn counts what the job went through: a timer of an earlier turn wakes nobody.
	turn int
}

// want has something done. enqueue says that the job has to be put in its executor's queue;
// said is what to say of the target meanwhile, nil if there is nothing yet.
func (j *job) want(o *order) (enqueue bool, said *v1beta2.TargetStatus) {
	switch j.phase {
	case idle:
		return j.queue(o), nil
	case queued:
		j.order, j.member = o, o.target.Member
		return false, j.saying()
	case acting:
		j.next, j.unwanted = nil, false
		if o.about != j.order.about {
			j.next = o
		}
		return false, j.saying()
	default:
		if o.about != j.order.about {
			j.failures = 0
			return j.queue(o), nil
		}
		j.order = o
		return false, j.saying()
	}
}

func (j *job) queue(o *order) bool {
	j.phase, j.order, j.member, j.next, j.unwanted = queued, o, o.target.Member, nil, false
	j.turn++
	return true
}

// saying is what the last failure says, as long as it is not overcome.
func (j *job) saying() *v1beta2.TargetStatus {
	if j.failures == 0 {
		return nil
	}
	said := j.failed
	return &said
}

// unwant says that nothing is to be done. over says that the job can be forgotten.
func (j *job) unwant() (over bool) {
	if j.phase == acting {
		j.next, j.unwanted = nil, true
		return false
	}
	j.rest()
	return true
}

func (j *job) rest() {
	*j = job{turn: j.turn + 1}
}

// take is called by an executor that has the job from its queue. It returns what to do, nil if
// that is nothing any more.
func (j *job) take() *order {
	if j.phase != queued {
		return nil
	}
	j.phase = acting
	j.turn++
	return j.order
}

// done says that an executor has acted, or found nothing to do. enqueue is as in want; over as
// in unwant.
func (j *job) done() (enqueue, over bool) {
	if j.next != nil {
		j.failures = 0
		return j.queue(j.next), false
	}
	j.rest()
	return false, true
}

// fail says that an executor has failed. It returns how long to wait, and enqueue and over as
// done does.
func (j *job) fail(said v1beta2.TargetStatus) (wait time.Duration, enqueue, over bool) {
	switch {
	case j.next != nil:
		j.failures = 0
		return 0, j.queue(j.next), false
	case j.unwanted:
		j.rest()
		return 0, false, true
	}
	j.phase, j.failed = waiting, said
	j.failures++
	j.turn++
	return backoffOf(j.failures), false, false
}

// wake ends a wait. turn is that of the wait.
func (j *job) wake(turn int) (enqueue bool) {
	if j.phase != waiting || j.turn != turn {
		return false
	}
	j.phase = queued
	j.turn++
	return true
}

// lose says that the job is in no queue any more: its executor has ended. over is as in unwant.
// What an executor acts on just now ends by itself.
func (j *job) lose() (over bool) {
	if j.phase == acting {
		return false
	}
	j.rest()
	return true
}

// backoffOf returns how long to wait after so many failures in a row.
func backoffOf(failures int) time.Duration {
	wait := minBackoff
	for range failures - 1 {
		if wait *= 2; wait >= maxBackoff {
			return maxBackoff
		}
	}
	return wait
}
