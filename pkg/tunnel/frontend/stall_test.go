package frontend_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// endless is zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Somebody who does not read holds up nobody else, and leaves nothing when he goes, although the target stays as it is.
func TestStalledConnectionsHoldUpNobodyAndAreReleased(t *testing.T) {
	for _, n := range []int{1, 8, 500} {
		if n > 8 && testing.Short() {
			continue
		}
		t.Run(fmt.Sprintf("%d clients that do not read", n), func(t *testing.T) {
			fx := newFixture(t, nil)
			flood := listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, endless{}) })
			stalled(t, fx, n, flood, func(*net.UnixConn) {})
		})
		t.Run(fmt.Sprintf("%d targets that do not read", n), func(t *testing.T) {
			fx := newFixture(t, nil)
			var all sync.WaitGroup
			stalled(t, fx, n, hanging(t), func(conn *net.UnixConn) {
				all.Go(func() { _, _ = io.Copy(conn, endless{}) }) // until it is closed
			})
			all.Wait()
		})
	}
}

func stalled(t *testing.T, fx *fixture, n int, target string, stall func(*net.UnixConn)) {
	t.Helper()
	clients := make([]*net.UnixConn, n)
	for i := range clients {
		clients[i] = connected(fx, fx.dialUnix(), target)
		stall(clients[i])
	}
	quiet(t, fx)
	other := connected(fx, fx.dialUnix(), echoing(t))
	for range 100 {
		sent := []byte("something")
		if _, err := other.Write(sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(other, sent); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for _, conn := range clients {
		_ = conn.Close()
	}
	_ = other.Close()
	fx.released()
	t.Logf("all was released in %s", time.Since(began).Round(time.Millisecond))
}

// quiet waits until nothing moves on the link any more.
func quiet(t *testing.T, fx *fixture) {
	t.Helper()
	before := int64(-1)
	same := 0
	tunneltest.Eventually(t, "all are stalled", func() bool {
		link := fx.server.Links()[0]
		now := (link.Received + link.Sent) >> 12 // PINGs do not count
		if same++; now != before {
			same, before = 0, now
		}
		return same > 20
	})
}

// What is dialed and closed leaves nothing.
func TestManyConnectionsLeaveNothing(t *testing.T) {
	cycles := 20_000
	if testing.Short() {
		cycles = 2000
	}
	fx := newFixture(t, func(c *frontend.Config) {
		c.TenantLimits = func(string) frontend.Limits { return frontend.Limits{} }
		c.NameLimits = func(tunnel.Name) frontend.Limits { return frontend.Limits{} }
	})
	target := listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	cycle := func(n int) {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range n / 16 {
					conn, err := net.Dial("unix", fx.unix)
					if err != nil {
						t.Error(err)
						return
					}
					if status, body, _, err := ask(conn, target); err != nil || status != 200 {
						t.Errorf("%d %s: %v", status, body, err)
					}
					_ = conn.Close()
				}
			})
		}
		all.Wait()
		fx.released()
	}
	cycle(1600) // pools, and what else is made once
	goroutines, files, heap := used(t)
	cycle(cycles)
	tunneltest.Eventually(t, "goroutines, files and memory are as before", func() bool {
		g, f, h := used(t)
		return g <= goroutines+2 && f <= files && h <= heap+5<<20
	})
}

// used is what the process has of goroutines, open files, and memory in use.
func used(t *testing.T) (goroutines, files int, heap uint64) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("open files cannot be counted here")
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), len(open), m.HeapAlloc + m.StackInuse
}
