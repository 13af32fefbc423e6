package tunnelscenarios

import (
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Six hundred dials of a name hang, since their target drops what comes. One more, to a target that answers, waits for none of them.
func TestADialDoesNotWaitForOthersThatHang(t *testing.T) {
	leavesNothing(t)
	n := size(150, 600)
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	tunneltest.Run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	tunneltest.Linked(t, s, m1, 1)
	many := frontend.Limits{Connections: 1000, Dials: 1000}
	f := newFront(t, frontend.Config{
		Opener: s, Policy: policy{},
		NameLimits: func(tunnel.Name) frontend.Limits { return many }, TenantLimits: func(string) frontend.Limits { return many },
	}, frontend.Client{Tenant: "all", Within: m1})
	deaf, good := tunneltest.Deaf(t), echoing(t)
	var hanging sync.WaitGroup
	defer hanging.Wait()
	for range n {
		hanging.Go(func() {
			conn, status, body, err := f.connect(deaf)
			if err != nil || conn != nil || status != 504 {
				t.Errorf("a dial that hangs ends with %d %s: %v", status, body, err)
			}
		})
	}
	eventually(t, "most of them hang", func() bool { return tunneltest.Connecting(t, deaf) > n/2 })
	for range 5 {
		began := time.Now()
		conn, status, body, err := f.connect(good)
		if err != nil || conn == nil {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		took := time.Since(began).Round(time.Millisecond)
		if err := said(conn, "hello"); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		left := tunneltest.Connecting(t, deaf)
		t.Logf("connected after %s; %d others hang", took, left)
		if left == 0 {
			t.Error("it was connected when no other hung any more")
		}
	}
}
