package host

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// rules allow what they have read.
type rules struct{ read atomic.Bool }

func (r *rules) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if r.read.Load() && a.GetVerb() == "get" || a.GetVerb() == "privileged" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "no rule", nil
}

func TestNobodyIsForbiddenWhileRBACIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rules{}
		p := patient{r, r.read.Load}
		ask := func(verb string) (authorizer.Decision, error) {
			decision, _, err := p.Authorize(t.Context(), authorizer.AttributesRecord{Verb: verb})
			return decision, err
		}
		if decision, err := ask("privileged"); decision != authorizer.DecisionAllow || err != nil {
			t.Errorf("who needs no rule got %v, %v", decision, err)
		}
		started := time.Now()
		if decision, err := ask("get"); decision == authorizer.DecisionAllow || !errors.Is(err, errRulesUnknown) || time.Since(started) > rulesPatience {
			t.Errorf("with rules that are never read got %v, %v after %v", decision, err, time.Since(started))
		}
		time.AfterFunc(time.Second, func() { r.read.Store(true) })
		if decision, err := ask("get"); decision != authorizer.DecisionAllow || err != nil {
			t.Errorf("with rules that are read meanwhile got %v, %v", decision, err)
		}
		if decision, err := ask("delete"); decision == authorizer.DecisionAllow || err != nil {
			t.Errorf("what no rule allows got %v, %v", decision, err)
		}
	})
}
