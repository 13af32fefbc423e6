package storage

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/fault"
)

const (
	// monitorInterval is how often an etcd is asked whether it is there, and monitorTimeout
	// how long it may take to answer. It is asked twice before it counts as away.
	monitorInterval = time.Second
	monitorTimeout  = 2 * time.Second
)

// monitor knows whether an etcd is there. Its client would wait for it until the time limit
// of each request, and an embedded store does not need one.
type monitor struct {
	store  *Store
	client *clientv3.Client
	// away is why the etcd cannot be used; nil means that it can.
	away atomic.Pointer[fault.Unavailable]
	// usable is a context that ends when it cannot be used any more.
	usable  atomic.Pointer[usable]
	stop    context.CancelFunc
	running sync.WaitGroup
}

type usable struct {
	context.Context
	end context.CancelFunc
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
	m.renew()
	m.running.Go(func() { m.run(ctx) }) // close ends it
	return m, nil
}

// renew makes a context for requests to an etcd that is there.
func (m *monitor) renew() {
	ctx, end := context.WithCancel(context.Background())
	m.usable.Store(&usable{ctx, end})
}

func (m *monitor) run(ctx context.Context) {
	logger := klog.FromContext(ctx)
	for {
		select {
		case <-time.After(monitorInterval):
		case <-ctx.Done():
			return
		}
		err := m.probe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && m.err() != nil:
			m.renew()
			m.away.Store(nil)
			logger.Info("Datastore recovered", "datastore", m.store)
		case err != nil && m.err() == nil:
			m.away.Store(fault.Read(m.store.datastore.What(), err))
			m.usable.Load().end()
			logger.Error(err, "Datastore became unusable", "datastore", m.store)
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
	return datastore.CheckEtcd(ctx, m.store.datastore, m.store.tls, monitorTimeout)
}

// alive is a context that ends when the etcd cannot be used any more.
func (m *monitor) alive() context.Context { return m.usable.Load() }

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
