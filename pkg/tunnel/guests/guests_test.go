package guests_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/guests"
)

// visitor is a connection that gives its place back when it is closed, as who serves it would.
type visitor struct {
	net.Conn
	closed atomic.Bool
	guest  chan *guests.Guest
}

func (v *visitor) Close() error {
	v.closed.Store(true)
	go func() { (<-v.guest).Leave() }()
	return nil
}

func seat(t *testing.T, all *guests.Guests) (*visitor, *guests.Guest) {
	t.Helper()
	v := &visitor{guest: make(chan *guests.Guest, 1)}
	guest := all.Seat(t.Context(), v)
	if guest == nil {
		t.Fatal("there was no place")
	}
	v.guest <- guest
	return v, guest
}

func TestTheOneThatIsSilentLongestMakesRoom(t *testing.T) {
	all := guests.New(3, 0)
	first, ofFirst := seat(t, all)
	second, _ := seat(t, all)
	third, ofThird := seat(t, all)
	ofFirst.Heard()
	fourth, _ := seat(t, all)
	if first.closed.Load() || !second.closed.Load() || third.closed.Load() || fourth.closed.Load() {
		t.Error("another than the second made room")
	}
	ofThird.Leave()
	fifth, _ := seat(t, all)
	if first.closed.Load() || third.closed.Load() || fourth.closed.Load() || fifth.closed.Load() {
		t.Error("one made room although there was a place")
	}
	sixth, ofSixth := seat(t, all)
	if !first.closed.Load() || !ofFirst.Ended() || third.closed.Load() || fourth.closed.Load() || fifth.closed.Load() || sixth.closed.Load() || ofSixth.Ended() {
		t.Error("another than the first made room")
	}
	ofFirst.Heard() // whoever has gone does not come back
	ofThird.Heard()
	ofThird.Leave()
	seat(t, all)
	if !fourth.closed.Load() || sixth.closed.Load() {
		t.Error("another than the fourth made room")
	}
}

func TestNoMoreAreThereThanMayBe(t *testing.T) {
	const places, comers = 8, 4000
	all := guests.New(places, 0)
	var there, most atomic.Int32
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for range comers / 16 {
				here, far := net.Pipe()
				defer far.Close()
				guest := all.Seat(t.Context(), here)
				now := there.Add(1)
				for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
				}
				running.Go(func() { // ends when it makes room, or with the test
					_, _ = here.Read(make([]byte, 1))
					there.Add(-1)
					guest.Leave()
				})
			}
		})
	}
	running.Wait()
	if most.Load() > places {
		t.Errorf("%d were there at once", most.Load())
	}
}

func TestWhoWaitsForAPlaceIsLetGo(t *testing.T) {
	all := guests.New(1, 0)
	here, far := net.Pipe()
	defer far.Close()
	all.Seat(t.Context(), here) // which does not leave
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if all.Seat(ctx, far) != nil {
		t.Error("it has a place that another has")
	}
}

// Who has said something of late keeps his place, although others wait; who has not gives it up for one of them.
func TestWhoIsAtWorkKeepsHisPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := guests.New(2, 2*time.Second)
		atWork, ofAtWork := seat(t, all)
		silent, _ := seat(t, all)
		began := time.Now()
		came := make(chan *guests.Guest)
		go func() {
			_, guest := seat(t, all)
			came <- guest
		}()
		time.Sleep(time.Second)
		ofAtWork.Heard()
		<-came
		if waited := time.Since(began); waited != 2*time.Second || atWork.closed.Load() || !silent.closed.Load() {
			t.Errorf("after %s: who is at work has lost his place: %v; who is silent: %v", waited, atWork.closed.Load(), silent.closed.Load())
		}
	})
}
