package relay

import (
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Requests to members are not subject to priority and fairness: they may go on for hours. These
// are their bounds, per member, and per user in one; docs/limits.md.
var bounds = [kinds]struct {
	what            string
	member, perUser int
}{
	brief:    {"requests", 400, 100},
	watching: {"watches", 8000, 2000},
	upgraded: {"exec, attach and port-forward connections", 1000, 200},
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

// enter counts a request until leave is called, or refuses it.
func (l *limits) enter(member, user string, k kind) (leave func(), err error) {
	all, one := subject{k, member, ""}, subject{k, member, "u:" + user}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.running[one] >= bounds[k].perUser:
		return nil, tooMany("cluster %q: user %q has %d %s under way, which is the most that one may have in a cluster", member, user, bounds[k].perUser, bounds[k].what)
	case l.running[all] >= bounds[k].member:
		return nil, tooMany("cluster %q: there are %d %s under way, which is the most that it is sent", member, bounds[k].member, bounds[k].what)
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
