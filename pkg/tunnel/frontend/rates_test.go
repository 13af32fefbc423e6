package frontend_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

// Whoever sends more than may pass in a second waits, and loses nothing; when the limit goes, so does the waiting.
func TestBytesInASecondAreLimitedInEachDirection(t *testing.T) {
	const perSecond, bytes = 4 << 20, 4 << 20
	var limit atomic.Int64
	limit.Store(perSecond)
	fx := newFixture(t, func(c *frontend.Config) {
		c.NameLimits = func(tunnel.Name) frontend.Limits { return frontend.Limits{BytesPerSecond: float64(limit.Load())} }
	})
	for what, conn := range map[string]net.Conn{
		"a Unix socket": connected(fx, fx.dialUnix(), echoing(t)), "TLS": connectedIn(fx, fx.dialTLS(fx.tenantTLS("t1")), echoing(t)),
	} {
		limit.Store(perSecond)
		fx.front.LimitsChanged()
		began := time.Now()
		go func() {
			_, _ = conn.Write(make([]byte, bytes))
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.Copy(io.Discard, conn)
		if err != nil || got != bytes {
			t.Errorf("%s: got %d bytes of %d: %v", what, got, bytes, err)
		}
		// The least that it takes, whatever the machine does.
		if took := time.Since(began); took < (bytes-perSecond/2)*time.Second/perSecond {
			t.Errorf("%s: %d bytes took %s", what, bytes, took)
		}
	}
	limit.Store(frontendMinimum)
	fx.front.LimitsChanged()
	conn := connected(fx, fx.dialUnix(), echoing(t))
	go func() { _, _ = conn.Write(make([]byte, bytes)) }()
	if _, err := io.CopyN(io.Discard, conn, 100<<10); err != nil {
		t.Fatal(err)
	}
	limit.Store(0)
	fx.front.LimitsChanged()
	if _, err := io.CopyN(io.Discard, conn, bytes-100<<10); err != nil {
		t.Errorf("when the limit has gone: %v", err)
	}
	// Who waits is let go when his client goes.
	limit.Store(frontendMinimum)
	fx.front.LimitsChanged()
	go func() { _, _ = conn.Write(make([]byte, bytes)) }()
	if _, err := io.CopyN(io.Discard, conn, 128<<10); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	fx.released()
}

// connectedIn is connected for a client that has to say that it wants m1.
func connectedIn[C net.Conn](fx *fixture, conn C, target string) C {
	fx.t.Helper()
	if status, body, _, err := ask(conn, target, "Koinon-Cluster: m1"); err != nil || status != 200 {
		fx.t.Fatalf("CONNECT %s: %d %s: %v", target, status, body, err)
	}
	return conn
}

// frontendMinimum is few bytes.
const frontendMinimum = 64 << 10

func TestDialsInASecondAreLimited(t *testing.T) {
	fx := newFixture(t, func(c *frontend.Config) {
		c.TenantLimits = func(string) frontend.Limits { return frontend.Limits{DialsPerSecond: 0.5} } // which is never one
	})
	status, body, answer, err := ask(fx.dialUnix(), echoing(t))
	if err != nil || status != 429 || body != `tenant "t1" has 0 dials in a second, as many as may be` || answer.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s: %v", status, body, err)
	}
}
