package propagation

import (
	"fmt"
	"testing"
	"time"
)

// TestEventsOfAMemberAreFollowedAtAPace: what changes now and then is looked at at once, what
// changes all the time once a second, and all that changes in one member so often as to leave
// time for others.
func TestEventsOfAMemberAreFollowedAtAPace(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := newPace(func() time.Time { return now })
	looks := func(objects int, d time.Duration) (looks int) {
		for end := now.Add(d); now.Before(end); now = now.Add(100 * time.Millisecond) {
			for i := range objects {
				if _, planned := p.after(objectKey{name: fmt.Sprint(i)}); !planned {
					looks++
				}
			}
		}
		return looks
	}
	if wait, planned := p.after(objectKey{name: "0"}); planned || wait != gatherEvents {
		t.Errorf("the first event is followed after %s, planned before: %v", wait, planned)
	}
	if _, planned := p.after(objectKey{name: "0"}); !planned {
		t.Error("the second one is followed by itself")
	}
	if n := looks(1, time.Minute); n > freeLooks+60 {
		t.Errorf("an object that changes all the time is looked at %d times in a minute", n)
	}
	now = now.Add(time.Minute)
	if wait, _ := p.after(objectKey{name: "0"}); wait != gatherEvents {
		t.Errorf("after a calm minute an event is followed after %s", wait)
	}
	now = now.Add(time.Hour)
	if n := looks(1000, time.Minute); n > lookBurst+61*looksPerSecond+1000 {
		t.Errorf("1,000 objects that change all the time are looked at %d times in a minute", n)
	}
	now = now.Add(time.Hour)
	p.after(objectKey{name: "another"})
	if n := len(p.byKey); n != 1 {
		t.Errorf("%d objects are remembered that are calm", n)
	}
}
