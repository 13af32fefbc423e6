package targets

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhoWaitsForASlowMemberTakesNoRoomFromOthers(t *testing.T) {
	g := newGate(4, 2)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	enter := func(member string) (leave func()) {
		t.Helper()
		leave, ok := g.enter(ctx, member)
		if !ok {
			t.Fatalf("there is no room for %s", member)
		}
		return leave
	}
	leaves := []func(){enter("slow"), enter("slow")}
	impatient, giveUp := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() {
			if _, ok := g.enter(impatient, "slow"); ok {
				t.Error("more are asked than may be")
			}
		})
	}
	g.until("slow", 12)
	leaves = append(leaves, enter("m1"), enter("m2"))
	giveUp()
	waiting.Wait()
	for _, leave := range leaves {
		leave()
	}
	if len(g.doors) > 0 || len(g.all) > 0 {
		t.Errorf("%d doors and %d tokens are left", len(g.doors), len(g.all))
	}
}

func TestWhoWaitedLongIsGuardedAgain(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.guardAge, w.reader.requests = 0, newGate(1, 1)
	w.member("m1", answers(http.StatusOK, deployment(3)))
	guarded := &guarded{world: w}
	w.reader.Lookups = guarded
	leave, ok := w.reader.requests.enter(t.Context(), "m1")
	if !ok {
		t.Fatal("there is no room")
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		item, err := w.one("m1")
		if err != nil || holding(item) != "Forbidden True NotAsked" {
			t.Errorf("got %+v and %v", item, err)
		}
	})
	w.reader.requests.until("m1", 2)
	guarded.take()
	leave()
	asking.Wait()
	if len(w.asked) > 0 {
		t.Errorf("members were asked: %v", w.asked)
	}
}

// until waits until so many are inside and in front of a member's door.
func (g *gate) until(member string, want int) {
	for users := 0; users < want; runtime.Gosched() {
		g.mu.Lock()
		if d := g.doors[member]; d != nil {
			users = d.users
		}
		g.mu.Unlock()
	}
}

// A member may have more targets of an object than a request has asked at a time.
func TestAMemberWithManyTargetsDoesNotKeepTheOthersWaiting(t *testing.T) {
	records := []typesv1beta2.TargetStatus{}
	for i := range 2 * atOnce {
		cell := fmt.Sprintf("rz%d", i)
		records = append(records, typesv1beta2.TargetStatus{Name: cell, Cluster: "m1", Namespace: "shop-" + cell})
	}
	w := newWorld(t, append(records, typesv1beta2.TargetStatus{Name: "x", Cluster: "m2", Namespace: "shop-x"})...)
	w.object.object.Spec.TopologyType = typesv1beta2.TopologyCell
	w.reader.patience = within
	m2Asked := make(chan struct{})
	w.member("m1", func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-m2Asked:
			answers(http.StatusNotFound, notFound("web"))(rw, r)
		case <-r.Context().Done():
		}
	})
	w.member("m2", func(rw http.ResponseWriter, r *http.Request) {
		close(m2Asked)
		answers(http.StatusNotFound, notFound("web"))(rw, r)
	})
	for _, item := range w.list().Items {
		if got := holding(&item); got != "" {
			t.Fatalf("target %s: got %q", item.Name, got)
		}
	}
}

func TestAMemberThatDidNotAnswerIsNotAskedByOthersForAWhile(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.patience, w.reader.silences.pause = 50*time.Millisecond, time.Hour
	w.member("m1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for range 3 {
		if _, err := w.one("m1"); !apierrors.IsTimeout(err) || !strings.Contains(err.Error(), `"m1" did not answer within 50ms`) {
			t.Errorf("got %v", err)
		}
	}
	if item := w.list().Items[0]; holding(&item) != "Unreachable True NoAnswer" {
		t.Errorf("got %q", holding(&item))
	}
	if len(w.asked) != 1 {
		t.Errorf("it was asked %v", w.asked)
	}
	w.reader.patience = within
	w.reader.silences.held[ear{"m1", "deployments"}].until = time.Time{}
	w.member("m1", answers(http.StatusOK, deployment(3)))
	for range 2 {
		if _, err := w.one("m1"); err != nil {
			t.Errorf("after the while: got %v", err)
		}
	}
}

func TestAMemberThatWasSilentIsTriedByOneAtATime(t *testing.T) {
	for name, test := range map[string]struct {
		before    time.Duration // when the silence began
		outcomes  []outcome
		want      bool // another may ask
		wantAfter bool // and another after the outcomes
	}{
		"it is silent":              {0, nil, false, false},
		"it is asked now":           {time.Hour, nil, false, false},
		"it answered":               {time.Hour, []outcome{answered}, false, true},
		"it is silent again":        {time.Hour, []outcome{silent}, false, false},
		"nobody wants to know it":   {time.Hour, []outcome{givenUp}, false, true},
		"one answered after others": {time.Hour, []outcome{silent, answered}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, m1 := &silences{pause: time.Minute, held: map[ear]*silence{}}, ear{"m1", "deployments"}
			s.tried(m1, silent)
			s.held[m1].until = time.Now().Add(s.pause - test.before)
			if tried := s.try(m1); tried != (test.before > s.pause) {
				t.Errorf("the first may ask: %t", tried)
			}
			got := []bool{s.try(m1)}
			for _, o := range test.outcomes {
				s.tried(m1, o)
			}
			got = append(got, s.try(m1))
			if diff := cmp.Diff([]bool{test.want, test.wantAfter}, got); diff != "" {
				t.Errorf("others may ask (-want +got):\n%s", diff)
			}
			for _, other := range []ear{{"m2", "deployments"}, {"m1", "widgets"}} {
				if s.of(other) || !s.try(other) {
					t.Errorf("%v is silent too", other)
				}
			}
		})
	}
}
