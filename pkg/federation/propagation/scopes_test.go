package propagation

import (
	"testing"
	"time"
)

func TestTheFirstChangeOfAScopeGoesAtOnceAndThoseThatFollowGoTogether(t *testing.T) {
	s := newSpaced(scope.gap)
	now := time.Now()
	s.now = func() time.Time { return now }
	shop, bank := scope{namespace: "shop"}, scope{namespace: "bank"}
	for _, step := range []struct {
		after time.Duration
		scope scope
		wait  time.Duration
	}{
		{0, shop, 0},
		{gatherNamespace / 2, shop, gatherNamespace / 2},
		{0, bank, 0},
		{gatherNamespace / 4, shop, gatherNamespace / 4},
		{gatherNamespace, shop, 0},
		{0, scope{clusters: true}, 0},
		{gatherNamespace, scope{clusters: true}, gatherClusters - gatherNamespace},
	} {
		now = now.Add(step.after)
		if got := s.When(step.scope); got != step.wait {
			t.Errorf("%v waits %v, want %v", step.scope, got, step.wait)
		}
	}
	now = now.Add(time.Hour)
	s.When(shop)
	if len(s.next) != 1 {
		t.Errorf("%d scopes are remembered after an hour, want 1", len(s.next))
	}
}
