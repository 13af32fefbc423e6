package tunnelscenarios

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Agents of a name end one after the other while many dial. What is new goes to one that stays, at whichever server it is; what the last one
// does not take is refused, and nothing that was connected is lost.
func TestAnAgentThatEndsLosesNothingThatWasConnected(t *testing.T) {
	leavesNothing(t)
	ca := tunneltest.NewAuthority(t)
	var servers []*tunneltest.Replica
	for _, id := range []string{"a", "b"} {
		servers = append(servers, tunneltest.Serve(t, "", server.Config{ID: id, TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS(id)}))
	}
	tunneltest.Mesh(t, servers...)
	var agents []*agent.Agent
	var stops []func()
	for i := range 3 { // two at the first server, and one at the second
		a, stop := tunneltest.Run(t, agent.Config{Servers: []string{servers[i/2].Address}, TLS: ca.AgentTLS(m1)})
		agents, stops = append(agents, a), append(stops, stop)
	}
	for _, s := range servers {
		eventually(t, "both servers know of all", func() bool { return s.Agents(m1) == 3 })
	}
	address := echoing(t)
	var last atomic.Bool // the last one has been told to end
	var opened, refused atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for worker := range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := servers[worker%2].Dial(context.WithoutCancel(ctx), m1, "tcp", address)
				var failed *tunnel.DialError
				switch {
				case err == nil:
					opened.Add(1)
					if err := said(conn, "hello"); err != nil {
						t.Errorf("what was connected was lost: %v", err)
					}
					_ = conn.Close()
				case last.Load() && errors.As(err, &failed) && (failed.Code == mux.Draining || errors.Is(err, tunnel.ErrNoAgent) || errors.Is(err, mux.ErrLost)):
					refused.Add(1)
				default:
					t.Errorf("a dial failed: %v", err)
					return
				}
			}
		})
	}
	more := func(count *atomic.Int64) {
		t.Helper()
		before := count.Load()
		eventually(t, "dials are answered", func() bool { return t.Failed() || count.Load() > before+20 })
	}
	for i, a := range agents {
		more(&opened)
		last.Store(i == len(agents)-1)
		a.Drain(time.Minute)
		eventually(t, "it carries nothing more although all dial", func() bool { return a.Status().Streams() == 0 })
		if last.Load() {
			more(&refused)
		}
		stops[i]()
	}
	cancel()
	all.Wait()
	t.Logf("%d connections, and %d refused", opened.Load(), refused.Load())
}
