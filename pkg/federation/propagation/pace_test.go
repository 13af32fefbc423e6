package propagation

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestEventsOfAMemberAreFollowedAtAPace: what changes now and then is looked at at once, what
// changes all the time every three quarters of a second, and all that changes in one member so often as to leave
// time for others.
func TestEventsOfAMemberAreFollowedAtAPace(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := newPace(func() time.Time { return now })
	due := map[objectKey]time.Time{}
	looks := func(objects int, d time.Duration) (looks int) {
		for end := now.Add(d); now.Before(end); now = now.Add(100 * time.Millisecond) {
			for i := range objects {
				key := objectKey{name: fmt.Sprint(i)}
				if at := now.Add(p.after(key)); !at.Equal(due[key]) {
					due[key] = at
					looks++
				}
			}
		}
		return looks
	}
	if wait := p.after(objectKey{name: "0"}); wait != gatherEvents {
		t.Errorf("the first event is followed after %s", wait)
	}
	now = now.Add(gatherEvents / 4)
	if wait := p.after(objectKey{name: "0"}); wait != gatherEvents-gatherEvents/4 {
		t.Errorf("the second one is followed after %s, and not with the first", wait)
	}
	if n := looks(1, time.Minute); n > freeLooks+80 {
		t.Errorf("an object that changes all the time is looked at %d times in a minute", n)
	}
	now = now.Add(time.Minute)
	if wait := p.after(objectKey{name: "0"}); wait != gatherEvents {
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

// The queue makes one of two looks that are planned for an object: the sooner one.
func TestAnEventIsFollowedAlthoughTheObjectWasLookedAtSoonerForAnotherReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, p, key := newObjectQueue(), newPace(time.Now), objectKey{name: "web"}
		defer queue.ShutDown()
		look := func(why string) {
			if queue.Len() != 1 {
				t.Fatalf("%s: %d objects are looked at, want 1", why, queue.Len())
			}
			got, _ := queue.Get()
			queue.Done(got)
		}
		queue.AddAfter(key, gatherEvents/4)
		queue.AddAfter(key, p.after(key))
		time.Sleep(gatherEvents / 2)
		look("for another reason")
		queue.AddAfter(key, p.after(key)) // an event that this look has not seen
		time.Sleep(gatherEvents)
		look("for the event")
	})
}
