package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is a cluster or control plane that the tests of one package share:
//
//	var host = testbed.SharedCluster(testbed.ClusterOptions{Name: "host"})
//
//	func TestMain(m *testing.M) { testbed.Main(m) }
//
//	func TestSomething(t *testing.T) { c := host.Get(t) ... }
//
// It is started by the first test that asks, and ended by Main. Tests that share should
// keep to namespaces of their own, and leave it running.
type Shared[T any] struct {
	once  sync.Once
	start func() (T, error)
	value T
	err   error
}

// Get returns the shared thing, and starts it if no test has yet. It fails the test if
// that failed, for every test alike.
func (s *Shared[T]) Get(t testing.TB) T {
	t.Helper()
	skipShort(t)
	if !mainRuns() {
		t.Fatal("the package needs: func TestMain(m *testing.M) { testbed.Main(m) }")
	}
	s.once.Do(func() { s.value, s.err = s.start() })
	return must(t, s.value, s.err)
}

// SharedCluster is a cluster for all tests of a package.
func SharedCluster(o ClusterOptions) *Shared[*Cluster] {
	return &Shared[*Cluster]{start: func() (*Cluster, error) {
		c, err := newCluster(o)
		if err != nil {
			return nil, err
		}
		atEnd(c.stop, "shared-"+c.Name())
		// A shared thing must outlive the test that asked first, so not t.Context().
		return c, c.cluster.Start(context.Background())
	}}
}

// SharedKoinon is a control plane for all tests of a package. Its options are made when
// it is started, so that they may depend on another shared thing.
func SharedKoinon(options func() (KoinonOptions, error)) *Shared[*Koinon] {
	return &Shared[*Koinon]{start: func() (*Koinon, error) {
		o, err := options()
		if err != nil {
			return nil, err
		}
		k, err := newKoinon(o)
		if err != nil {
			return nil, err
		}
		atEnd(k.stop, "shared-koinon")
		return k, k.server.StartOnAnyPort(context.Background())
	}}
}

var registry struct {
	sync.Mutex // guards the rest
	running    bool
	ends       []func(failed bool) error
}

func mainRuns() bool {
	registry.Lock()
	defer registry.Unlock()
	return registry.running
}

func atEnd(stop func(ctx context.Context, keepLogsAs string) error, name string) {
	registry.Lock()
	defer registry.Unlock()
	registry.ends = append(registry.ends, func(failed bool) error {
		keepAs := ""
		if failed {
			keepAs = name
		}
		return stop(context.Background(), keepAs)
	})
}

// Main runs the tests of a package, ends what they shared, and exits.
func Main(m *testing.M) {
	registry.Lock()
	registry.running = true
	registry.Unlock()
	code := m.Run()
	registry.Lock()
	defer registry.Unlock()
	var errs []error
	for _, end := range registry.ends {
		errs = append(errs, end(code != 0))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "clean up after the tests:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
