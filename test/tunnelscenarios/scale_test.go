package tunnelscenarios

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// While many connections come, say something and go, a link is cut for each hundred dials (ten in the small size). At the end nothing is carried, by
// the count of servers, front ends and agents.
func TestLinksThatAreCutAtRandomLeaveNothing(t *testing.T) {
	leavesNothing(t)
	random := newDice(t)
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	clusters := size(5, 100)
	name := func(i int) tunnel.Name { return tunnel.Name{Cluster: fmt.Sprintf("c%d", i)} }
	var wires []*wire
	var agents []*agent.Agent
	for i := range clusters {
		for range 2 {
			w := lay(t, s.Address)
			a, _ := tunneltest.Run(t, agent.Config{Servers: []string{w.address}, TLS: ca.AgentTLS(name(i))})
			wires, agents = append(wires, w), append(agents, a)
		}
	}
	eventually(t, "all are linked", func() bool { return len(s.Links()) == 2*clusters })
	f := newFront(t, frontend.Config{Opener: s, Policy: policy{}}, frontend.Client{Tenant: "all"})
	address := echoing(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(size(4, 240))*time.Second)
	defer cancel()
	var whole, broken, refused, cuts atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for ctx.Err() == nil {
				if random.n(size(10, 100)) == 0 {
					wires[random.n(len(wires))].cut()
					cuts.Add(1)
				}
				conn, status, body, err := f.connect(address, frontend.HeaderCluster+": "+name(random.n(clusters)).Cluster)
				switch {
				case err != nil:
					t.Errorf("no answer: %v", err)
					return
				case conn == nil && status != 503 && status != 502:
					t.Errorf("%d %s", status, body)
				case conn == nil:
					refused.Add(1)
					continue
				}
				ended := whole.Add
				for range random.n(4) {
					if said(conn, string(random.bytes(1+random.n(20_000)))) != nil {
						ended = broken.Add
						break
					}
				}
				ended(1)
				_ = conn.Close()
			}
		})
	}
	all.Wait()
	t.Logf("%d connections were whole, %d broken, %d refused; %d cuts", whole.Load(), broken.Load(), refused.Load(), cuts.Load())
	if whole.Load() == 0 || cuts.Load() == 0 {
		t.Error("nothing was tried")
	}
	eventually(t, "nothing is carried", func() bool {
		n := streams(s) + f.Carried()
		for _, a := range agents {
			n += a.Status().Streams()
		}
		return n == 0
	})
	eventually(t, "all are linked again", func() bool { return len(s.Links()) == 2*clusters })
	for i := range clusters {
		if err := echoed(s, name(i), address); err != nil {
			t.Error(err)
		}
	}
}

// Two tenants, one with the weight 1 and twelve connections and one with the weight 3 and eight, share a narrow link as one to three,
// whichever way they send.
func TestTenantsShareANarrowLinkByWeight(t *testing.T) {
	leavesNothing(t)
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	w := lay(t, s.Address)
	w.narrow.Store(24 << 20)
	tunneltest.Run(t, agent.Config{Servers: []string{w.address}, TLS: ca.AgentTLS(m1)})
	tunneltest.Linked(t, s, m1, 1)
	weights := map[string]int{"light": 1, "heavy": 3}
	config := frontend.Config{Opener: s, Policy: policy{}, TenantLimits: func(tenant string) frontend.Limits { return frontend.Limits{Weight: weights[tenant]} }}
	fronts := map[string]*front{}
	for tenant := range weights {
		fronts[tenant] = newFront(t, config, frontend.Client{Tenant: tenant, Within: m1})
	}
	flood := func(conn net.Conn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}
	for _, up := range []bool{false, true} {
		taken := map[string]*atomic.Int64{"light": {}, "heavy": {}}
		var clients sync.WaitGroup
		var conns []net.Conn
		for tenant, streams := range map[string]int{"light": 12, "heavy": 8} {
			take := func(conn net.Conn) { // returns with conn
				block := make([]byte, 64<<10)
				for {
					n, err := conn.Read(block)
					if taken[tenant].Add(int64(n)); err != nil {
						return
					}
				}
			}
			at, client := flood, take
			if up {
				at, client = take, flood
			}
			target := listen(t, at)
			for range streams {
				conn, status, body, err := fronts[tenant].connect(target)
				if err != nil || status != 200 {
					t.Fatalf("%d %s: %v", status, body, err)
				}
				_ = conn.SetDeadline(time.Time{})
				conns = append(conns, conn)
				clients.Go(func() { client(conn) })
			}
		}
		both := func() int64 { return taken["light"].Load() + taken["heavy"].Load() }
		eventually(t, "all buffers are full", func() bool { return both() > int64(size(8, 24))<<20 })
		light, heavy := taken["light"].Load(), taken["heavy"].Load()
		from := both()
		eventually(t, "they carry", func() bool { return both() > from+int64(size(16, 48))<<20 })
		light, heavy = taken["light"].Load()-light, taken["heavy"].Load()-heavy
		t.Logf("up %v: %d and %d KiB, 1 to %.2f", up, light>>10, heavy>>10, float64(heavy)/float64(light))
		if ratio := float64(heavy) / float64(light); ratio < 2.5 || ratio > 3.5 {
			t.Errorf("up %v: they share it 1 to %.2f", up, ratio)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
		clients.Wait()
	}
}

// A ping beside four streams that carry what they can, on the same link, waits for little of that.
func TestAPingWaitsForLittleOfWhatOthersCarry(t *testing.T) {
	leavesNothing(t)
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	tunneltest.Run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	tunneltest.Linked(t, s, m1, 1)
	bulk := newFront(t, frontend.Config{Opener: s, Policy: policy{}}, frontend.Client{Tenant: "bulk", Within: m1})
	ping := newFront(t, frontend.Config{Opener: s, Policy: policy{}}, frontend.Client{Tenant: "ping", Within: m1})
	source := listen(t, func(conn net.Conn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	connected := func(f *front, target string) net.Conn {
		conn, status, body, err := f.connect(target)
		if err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		_ = conn.SetDeadline(time.Time{})
		return conn
	}
	var all sync.WaitGroup
	defer all.Wait()
	for range 4 {
		conn := connected(bulk, source)
		defer conn.Close()
		all.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	}
	conn := connected(ping, echoing(t))
	defer conn.Close()
	passed := func() int64 { return s.Links()[0].Received }
	eventually(t, "the four carry", func() bool { return passed() > 4<<20 })
	pings := size(40, 2000)
	before := passed()
	var slow int
	for range pings {
		at := passed()
		if err := said(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		if passed()-at > perPing {
			slow++
		}
	}
	t.Logf("%d KiB passed for each ping; %d of %d pings waited for more than %d KiB", (passed()-before)/int64(pings)>>10, slow, pings, perPing>>10)
	if slow > pings/2 {
		t.Errorf("%d of %d pings waited for more than %d KiB of what others carry", slow, pings, perPing>>10)
	}
}

// perPing is what may pass on a link while a ping is answered, as a rule: what the system has of it already, and a turn of each stream.
const perPing = 4 << 20
