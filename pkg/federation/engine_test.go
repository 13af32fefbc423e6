package federation

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestAnAPIServerKnowsWhetherAnEngineRunsAnywhere(t *testing.T) {
	now := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)
	lease := func(holder string, renewed time.Duration, propagation string) *coordinationv1.Lease {
		l := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), RenewTime: ptr.To(metav1.NewMicroTime(now.Add(-renewed)))}}
		if propagation != "" {
			l.Labels = map[string]string{propagationLabel: propagation}
		}
		return l
	}
	for name, test := range map[string]struct {
		lease  *coordinationv1.Lease
		err    error
		absent bool
	}{
		"a leader that propagates":      {lease: lease("a", time.Second, "true")},
		"one of an earlier release":     {lease: lease("a", time.Second, "")},
		"one that does not":             {lease: lease("a", time.Second, "false"), absent: true},
		"one that has gone":             {lease: lease("a", time.Hour, "true"), absent: true},
		"one that gave the lease back":  {lease: lease("", time.Second, "true"), absent: true},
		"none ever":                     {err: apierrors.NewNotFound(coordinationv1.Resource("leases"), leaseName), absent: true},
		"a host that does not answer":   {err: errors.New("no answer")},
		"a lease that nobody has taken": {lease: &coordinationv1.Lease{}, absent: true},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			e := &Engine{now: func() time.Time { return now }, get: func(context.Context) (*coordinationv1.Lease, error) { asked++; return test.lease, test.err }}
			for range 2 {
				if got := e.Absent(t.Context()); got != test.absent {
					t.Errorf("got %v, want %v", got, test.absent)
				}
			}
			if asked != 1 {
				t.Errorf("asked the host %d times for two answers", asked)
			}
		})
	}
}
