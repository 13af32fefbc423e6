package storage

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/embedded"
)

const (
	// monitorInterval is how often an etcd is asked whether it is there.
	monitorInterval = time.Second
	// monitorTimeout is how long it may take to answer, and monitorFailures how often it may
	// not answer before it counts as away.
	monitorTimeout  = 2 * time.Second
	monitorFailures = 2
)

// monitor knows whether an etcd is there. Its client would wait for it until the time limit
// of each request, and an embedded store does not need one.
type monitor struct {
	store  *Store
	client *clientv3.Client
	// away is why the etcd cannot be used; nil means that it can.
	away    atomic.Pointer[unhealthy]
	stop    context.CancelFunc
	running sync.WaitGroup
}

// startMonitor begins to ask. The context is not that of its life.
func (s *Store) startMonitor(ctx context.Context) (*monitor, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	client, err := s.client(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	m := &monitor{store: s, client: client, stop: stop}
	m.running.Go(func() { m.run(ctx) }) // close ends it
	return m, nil
}

func (m *monitor) run(ctx context.Context) {
	for failures := 0; ; {
		select {
		case <-time.After(monitorInterval):
		case <-ctx.Done():
			return
		}
		err := m.probe(ctx)
		switch {
		case err == nil:
			if failures = 0; m.away.Swap(nil) != nil {
				klog.FromContext(ctx).Info("Datastore recovered", "datastore", m.store)
			}
		case ctx.Err() != nil:
			return
		default:
			if failures++; failures < monitorFailures {
				continue
			}
			sentence := "the " + m.store.String() + " is not available: " + reason(err.Error())
			if m.away.Swap(&unhealthy{sentence}) == nil {
				klog.FromContext(ctx).Error(err, "Datastore became unusable", "datastore", m.store)
			}
		}
	}
}

// probe reads a key. The client says only that time ran out, so who fails looks closer.
func (m *monitor) probe(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	if _, err := m.client.Get(asking, "koinon-probe"); err == nil {
		return nil
	}
	return embedded.CheckEtcd(ctx, m.store.datastore, m.store.tls, monitorTimeout)
}

// err is nil while the etcd can be used.
func (m *monitor) err() error {
	if away := m.away.Load(); away != nil {
		return away
	}
	return nil
}

func (m *monitor) close() {
	m.stop()
	m.running.Wait()
	_ = m.client.Close()
}
