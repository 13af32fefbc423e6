package relay

import (
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Requests to members are not subject to priority and fairness: they may go on for hours. These
// are their bounds, per member, and per user in one; docs/limits.md.
var bounds = boundsOf{
	brief:    {"requests", 400, 100},
	watching: {"watches", 8000, 2000},
	upgraded: {"exec, attach and port-forward connections", 1000, 200},
}

// fleetBounds are those of requests to all members at once. Each holds pages of them in memory.
var fleetBounds = boundsOf{
	brief:    {"requests", 100, 20},
	watching: {"watches", 1000, 100},
	upgraded: {"connections", 0, 0}, // there are none
}

type boundsOf [kinds]struct {
	what         string
	all, perUser int
}

// limits count requests that are under way. They may be used concurrently.
type limits struct {
	mu      sync.Mutex
	running map[subject]int // guarded by mu
}

// subject is a member, or a user in one.
type subject struct {
	kind         kind
	member, user string
}

func newLimits() *limits { return &limits{running: map[subject]int{}} }

// enter counts a request to a member until leave is called, or refuses it.
func (l *limits) enter(member, user string, k kind) (leave func(), err error) {
	return l.within(&bounds, member, fmt.Sprintf("cluster %q", member), user, k)
}

// Enter counts a request about a member, which is not carried on, until leave is called, or refuses it.
func (rl *Relay) Enter(member, user, method, path, rawQuery string) (leave func(), err error) {
	return rl.limits.enter(member, user, kindOf(method, path, rawQuery, ""))
}

// fleet is what requests to all members are counted as: no member has that name.
const fleet = ""

// EnterFleet counts a request to all members at once until leave is called, or refuses it.
func (rl *Relay) EnterFleet(user, method, path, rawQuery string) (leave func(), err error) {
	return rl.limits.within(&fleetBounds, fleet, "all clusters at once", user, kindOf(method, path, rawQuery, ""))
}

func (l *limits) within(bounds *boundsOf, member, named, user string, k kind) (leave func(), err error) {
	all, one := subject{k, member, ""}, subject{k, member, "u:" + user}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.running[one] >= bounds[k].perUser:
		return nil, tooMany("%s: user %q has %d %s under way, which is the most that one may have", named, user, bounds[k].perUser, bounds[k].what)
	case l.running[all] >= bounds[k].all:
		return nil, tooMany("%s: there are %d %s under way, which is the most that there may be", named, bounds[k].all, bounds[k].what)
	}
	l.running[all]++
	l.running[one]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range []subject{all, one} {
			if l.running[s]--; l.running[s] == 0 {
				delete(l.running, s)
			}
		}
	}, nil
}

func tooMany(format string, args ...any) error {
	return apierrors.NewTooManyRequests(fmt.Sprintf(format, args...), 1)
}
