package propagation

import (
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func lateIn(cell, name string, record v1beta2.TargetStatus) straggler {
	return straggler{key: objectKey{"deployments.apps", "shop", name}, kind: "FederatedDeployment", cell: cell, record: record}
}

func TestWhatOthersWaitForIsNamedWithWhy(t *testing.T) {
	for name, test := range map[string]struct {
		change    func(*straggler)
		text, all string
	}{
		"a state, and what it says": {func(s *straggler) { s.record.State, s.record.Message = v1beta2.TargetCreationFailed, "denied" },
			"CreationFailed", "FederatedDeployment shop/web (CreationFailed: denied)"},
		"a mask": {func(s *straggler) { s.record.State = v1beta2.TargetMasked }, "Masked", "FederatedDeployment shop/web (Masked)"},
		"health, of what is up to date": {func(s *straggler) {
			s.record.Health, s.record.HealthMessage, s.record.Message = v1beta2.HealthProgressing, "0 of 1 replicas", "written as v1"
		}, "Progressing", "FederatedDeployment shop/web (Progressing: 0 of 1 replicas)"},
		"a type that is disabled": {func(s *straggler) { s.paused, s.record.Message = true, "as it was" },
			"its type is Disabled", "FederatedDeployment shop/web (its type is Disabled)"},
		"what was not looked at since": {func(s *straggler) { s.record.Health = v1beta2.HealthHealthy }, "Pending", "FederatedDeployment shop/web (Pending)"},
		"a target that is not called as the cell": {func(s *straggler) { s.record.Name, s.record.State = "c1.shop", v1beta2.TargetPending },
			"Pending", "FederatedDeployment shop/web in target c1.shop (Pending)"},
	} {
		s := lateIn("c1", "web", v1beta2.TargetStatus{Name: "c1"})
		test.change(&s)
		if s.word() != test.text || s.String() != test.all {
			t.Errorf("%s: got %q and %q, want %q and %q", name, s.word(), s.String(), test.text, test.all)
		}
	}
}

// What is said of a cell does not change with each object that arrives.
func TestTheOneThatIsNamedStaysUntilItHasArrived(t *testing.T) {
	start := time.Now()
	of := func(names ...string) *stragglers {
		s := &stragglers{}
		for _, name := range names {
			s.add(lateIn("c1", name, v1beta2.TargetStatus{Name: "c1", State: v1beta2.TargetPending}))
		}
		return s
	}
	first := of("c", "b")
	first.follow(nil, start)
	second := of("a", "b", "c")
	second.follow(first, start.Add(time.Minute))
	if got := second.String(); got != "FederatedDeployment shop/b (Pending) and 2 more" || !second.since.Equal(start) {
		t.Errorf("got %s, since %v", got, second.since)
	}
	if got := second.but(second.first.key); got.key.name != "a" {
		t.Errorf("b waits for %s", got)
	}
	third := of("c")
	third.follow(second, start.Add(2*time.Minute))
	if got := third.String(); got != "FederatedDeployment shop/c (Pending)" || !third.since.Equal(start) {
		t.Errorf("got %s, since %v", got, third.since)
	}
	if got := third.but(third.first.key); got != nil {
		t.Errorf("c waits for %s", got)
	}
	none := of()
	none.follow(third, start)
	if none.String() != "" || none.but(objectKey{}) != nil {
		t.Error("nobody is waited for, and somebody is named")
	}
}

func TestWhatIsKeptIsNamedBeforeWhatIsOnItsWay(t *testing.T) {
	s := &stragglers{}
	s.add(lateIn("c1", "a", v1beta2.TargetStatus{Name: "c1", State: v1beta2.TargetWaitingForRemoval}))
	s.add(lateIn("c1", "z", v1beta2.TargetStatus{Name: "c1", State: v1beta2.TargetMasked}))
	if s.follow(nil, time.Now()); s.first.key.name != "z" {
		t.Errorf("got %s", s)
	}
}
