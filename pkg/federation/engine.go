package federation

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	// leaderAge is how long ago a leader may have renewed its Lease. A replica that takes over
	// needs some seconds, clocks differ by some, and an engine that is away is away for longer.
	leaderAge = 2 * time.Minute
	// askedAge is for how long an answer about the Lease holds.
	askedAge = 10 * time.Second
	// askTimeout bounds one question.
	askTimeout = 2 * time.Second
)

// Engine knows whether an engine of ours propagates, in any process of the federation: it
// reads the Lease of its leader. It may be used concurrently.
type Engine struct {
	get func(context.Context) (*coordinationv1.Lease, error)
	now func() time.Time

	mu     sync.Mutex // guards what follows, and is held while the host is asked
	asked  time.Time
	absent bool
}

// NewEngine makes a client of the host. It does no I/O.
func NewEngine(host *rest.Config, namespace string) (*Engine, error) {
	client, err := kubernetes.NewForConfig(host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	return &Engine{now: time.Now, get: func(ctx context.Context) (*coordinationv1.Lease, error) {
		return client.CoordinationV1().Leases(namespace).Get(ctx, leaseName, metav1.GetOptions{})
	}}, nil
}

// Absent reports whether it is known that no engine of ours propagates, some seconds ago. A
// host that does not answer leaves the last answer as it is, and before the first one false.
func (e *Engine) Absent(ctx context.Context) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.now(); e.asked.IsZero() || now.Sub(e.asked) > askedAge {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		lease, err := e.get(ctx)
		switch {
		case err == nil:
			e.absent = !propagates(lease, now)
		case apierrors.IsNotFound(err):
			e.absent = true
		default:
			klog.FromContext(ctx).V(2).Info("Failed to ask who propagates", "problem", err.Error())
		}
		e.asked = now
	}
	return e.absent
}

// propagates reports whether the holder of a Lease is there and propagates. A holder of an
// earlier release has no label, and does.
func propagates(lease *coordinationv1.Lease, now time.Time) bool {
	spec := &lease.Spec
	held := spec.HolderIdentity != nil && *spec.HolderIdentity != ""
	return held && spec.RenewTime != nil && now.Sub(spec.RenewTime.Time) < leaderAge && lease.Labels[propagationLabel] != "false"
}
