package tunnelscenarios

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

var m1 = tunnel.Name{Cluster: "m1"}

// place is where a replica is: its wire stays, and servers come and go behind it.
type place struct {
	*wire
	mu     sync.Mutex
	server *tunneltest.Replica // guarded by mu; nil while there is none
	starts int                 // guarded by mu
}

func (p *place) now() *tunneltest.Replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// fleet are replicas that tell of each other, as those of one Koinon do.
type fleet struct {
	t      *testing.T
	ca     *tunneltest.Authority
	tls    func() (*tls.Config, error)
	places []*place
}

func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, ca: tunneltest.NewAuthority(t)}
	f.tls = f.ca.ServerTLS()
	for range n {
		f.places = append(f.places, &place{})
	}
	for i := range f.places {
		f.start(i)
	}
	return f
}

// start starts a server at a place, with another id than the one before.
func (f *fleet) start(i int) {
	f.t.Helper()
	p := f.places[i]
	address := ""
	if p.wire != nil {
		address = p.to
	}
	s := tunneltest.Serve(f.t, address, server.Config{ID: fmt.Sprintf("%c%d", 'a'+i, p.starts), TLS: f.tls})
	p.mu.Lock()
	p.server = s
	p.starts++
	p.mu.Unlock()
	if p.wire == nil {
		p.wire = lay(f.t, s.Address)
	} else {
		p.up(f.t)
	}
	f.tell()
}

// kill has a server be gone in the middle of whatever it does, as far as others can see.
func (f *fleet) kill(i int) {
	p := f.places[i]
	p.mu.Lock()
	s := p.server
	p.server = nil
	p.mu.Unlock()
	p.down()
	s.Stop()
	f.tell()
}

// tell has all replicas tell of all.
func (f *fleet) tell() {
	var replicas []tunnel.Replica
	for i, p := range f.places {
		if p.now() != nil && p.wire != nil {
			replicas = append(replicas, tunnel.Replica{ID: fmt.Sprintf("%c%d", 'a'+i, p.starts-1), Address: p.wire.address})
		}
	}
	for _, p := range f.places {
		if s := p.now(); s != nil {
			s.SetReplicas(replicas)
		}
	}
}

// addresses are what agents know from the beginning.
func (f *fleet) addresses() []string {
	var all []string
	for _, p := range f.places {
		all = append(all, p.wire.address)
	}
	return all
}

// load dials until stop is called, which returns how often: any replica, and another one if that has no agent, or is gone by now. failed
// is told of what all of them fail at.
func (f *fleet) load(address string, failed func(error)) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var dials atomic.Int64
	for worker := range 4 {
		all.Go(func() {
			for turn := worker; ctx.Err() == nil; turn++ {
				if err := f.dial(turn, address); err != nil {
					failed(err)
				}
				dials.Add(1)
			}
		})
	}
	return func() int { cancel(); all.Wait(); return int(dials.Load()) }
}

// dial dials through one replica after the other.
func (f *fleet) dial(turn int, address string) error {
	var errs []error
	for i := range f.places {
		p := f.places[(turn+i)%len(f.places)]
		s := p.now()
		if s == nil {
			continue
		}
		err := echoed(s, m1, address)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if !errors.Is(err, tunnel.ErrNoAgent) && p.now() == s {
			break // it is there, and has agents
		}
	}
	return errors.Join(errs...)
}

// One of three servers is killed under load: dials of the others do not fail, and it gets its links back when it is there again.
func TestAServerThatIsKilledTakesNothingButItsOwn(t *testing.T) {
	leavesNothing(t)
	f := newFleet(t, 3)
	for range 2 {
		tunneltest.Run(t, agent.Config{Servers: f.addresses(), TLS: f.ca.AgentTLS(m1)})
	}
	all := func() {
		t.Helper()
		for _, p := range f.places {
			tunneltest.Linked(t, p.now(), m1, 2)
		}
	}
	all()
	address := echoing(t)
	stop := f.load(address, func(err error) { t.Errorf("a dial failed: %v", err) })
	for round := range size(2, 20) {
		i := round % 3
		survivor := f.places[(i+1)%3].now()
		conn, err := survivor.Dial(t.Context(), m1, "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		f.kill(i)
		if err := said(conn, "still here"); err != nil {
			t.Errorf("what another server carries ended: %v", err)
		}
		_ = conn.Close()
		f.start(i)
		all()
	}
	t.Logf("%d dials", stop())
}

// All servers are replaced one by one: no dial fails, no agent is ever without a link, and what is carried ends with its server's
// time and not before.
func TestServersAreReplacedOneByOneAndNothingFails(t *testing.T) {
	leavesNothing(t)
	f := newFleet(t, 3)
	a, _ := tunneltest.Run(t, agent.Config{Servers: f.addresses(), TLS: f.ca.AgentTLS(m1)})
	for _, p := range f.places {
		tunneltest.Linked(t, p.now(), m1, 1)
	}
	address := echoing(t)
	without := atomic.Int64{}
	watching, done := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		for watching.Err() == nil {
			if len(a.Replicas()) == 0 {
				without.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	})
	stop := f.load(address, func(err error) { t.Errorf("a dial failed: %v", err) })
	for i, p := range f.places {
		old := p.now()
		var carried []net.Conn
		for range size(34, 334) {
			conn, err := old.Dial(t.Context(), m1, "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			carried = append(carried, conn)
		}
		old.Drain(time.Minute)
		p.mu.Lock()
		p.server = nil // nothing new is sent there
		p.mu.Unlock()
		f.tell()
		for _, conn := range carried {
			if err := said(conn, "while it drains"); err != nil {
				t.Fatalf("what was carried ended before its time: %v", err)
			}
		}
		p.down()
		old.Stop()
		for _, conn := range carried {
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Fatalf("what was cut looks complete: %v", err)
			}
			_ = conn.Close()
		}
		f.start(i)
		tunneltest.Linked(t, p.now(), m1, 1)
	}
	t.Logf("%d dials", stop())
	done()
	watch.Wait()
	if n := without.Load(); n > 0 {
		t.Errorf("%d times the agent had no link", n)
	}
	want := []string{"a1", "b1", "c1"}
	eventually(t, "it is linked to the new ones only", func() bool { return slices.Equal(a.Replicas(), want) })
}

// All agents lose a server together. They are all back, through no more handshakes at once than there may be, and another
// server carries on.
func TestAgentsThatLoseAServerTogetherAreAllBack(t *testing.T) {
	leavesNothing(t)
	n := size(40, 1000)
	ca := tunneltest.NewAuthority(t)
	var handshakes, begun, most atomic.Int64
	secured := ca.ServerTLS()
	config := server.Config{ID: "a", TLS: func() (*tls.Config, error) {
		handshakes.Add(1)
		if now := begun.Add(1); now > most.Load() {
			most.Store(now)
		}
		return secured()
	}, Changed: func(_ server.Link, ended error) {
		if ended == nil {
			begun.Add(-1)
		}
	}}
	first, second := tunneltest.Serve(t, "", config), tunneltest.Serve(t, "", server.Config{ID: "b", TLS: ca.ServerTLS()})
	begun.Store(0) // New asked once
	wire := lay(t, first.Address)
	for i := range n {
		name := tunnel.Name{Cluster: "m1", Node: fmt.Sprintf("n%d", i)}
		tunneltest.Run(t, agent.Config{Servers: []string{wire.address, second.Address}, TLS: ca.AgentTLS(name), Transport: carrier.Direct})
	}
	there := func(s *tunneltest.Replica) func() bool { return func() bool { return len(s.Links()) == n } }
	eventually(t, "all are linked to the first", there(first))
	eventually(t, "and to the second", there(second))
	address := echoing(t)
	conn, err := second.Dial(t.Context(), tunnel.Name{Cluster: "m1", Node: "n0"}, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	handshakes.Store(0)
	begun.Store(0)
	most.Store(0)
	wire.down()
	first.Stop()
	if err := said(conn, "during the outage"); err != nil {
		t.Error(err)
	}
	config.ID = "a-again"
	again := tunneltest.Serve(t, first.Address, config)
	handshakes.Add(-1) // New asks once
	begun.Add(-1)
	began := time.Now()
	wire.up(t)
	eventually(t, "all are back", func() bool {
		if err := said(conn, "during the herd"); err != nil {
			t.Fatal(err)
		}
		return there(again)()
	})
	lost := handshakes.Load() - int64(n)
	t.Logf("%d agents were back after %s; at most %d handshakes at once, and %d that came to nothing", n, time.Since(began).Round(time.Millisecond), most.Load(), lost)
	if most.Load() > 512+max(lost, 0) {
		t.Errorf("%d connections were no links yet: 512 may be", most.Load())
	}
	for i := range n {
		if err := echoed(again, tunnel.Name{Cluster: "m1", Node: fmt.Sprintf("n%d", i)}, address); err != nil {
			t.Fatal(err)
		}
	}
}

// An agent loses its server for a while, in which it is refused, and has its link again when the server is there again. How soon is logged.
func TestAnAgentIsBackSoonAfterItsServer(t *testing.T) {
	leavesNothing(t)
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	wire := lay(t, s.Address)
	a, _ := tunneltest.Run(t, agent.Config{Servers: []string{wire.address}, TLS: ca.AgentTLS(m1)})
	tunneltest.Linked(t, s, m1, 1)
	outages := []time.Duration{200 * time.Millisecond, 2 * time.Second}
	for range size(0, 10) {
		outages = append(outages, 15*time.Second)
	}
	for _, outage := range outages {
		wire.down()
		eventually(t, "both have lost the link", func() bool { return len(a.Replicas())+len(s.Links()) == 0 })
		time.Sleep(outage) // it is how long that lasts, and nothing else is waited for
		wire.up(t)
		began := time.Now()
		tunneltest.Linked(t, s, m1, 1)
		t.Logf("after an outage of %s it was back after %s", outage, time.Since(began).Round(time.Millisecond))
	}
}

// The network loses what a link carries, and tells nobody. A link that is the only one fails dials in time and is ended; where
// there is another, dials go there.
func TestALinkInABlackHoleIsGoneAroundAndFound(t *testing.T) {
	leavesNothing(t)
	lone := tunnel.Name{Cluster: "lone"}
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	hole := lay(t, s.Address)
	for _, name := range []tunnel.Name{m1, lone} {
		tunneltest.Run(t, agent.Config{Servers: []string{hole.address}, TLS: ca.AgentTLS(name)})
		tunneltest.Linked(t, s, name, 1)
	}
	tunneltest.Run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	tunneltest.Linked(t, s, m1, 2)
	address := echoing(t)
	carried, err := s.Dial(t.Context(), lone, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer carried.Close()
	if err := said(carried, "before"); err != nil {
		t.Fatal(err)
	}
	hole.swallows.Store(true)
	began := time.Now()
	var found sync.WaitGroup
	found.Go(func() { // what hangs is told
		if _, err := carried.Read(make([]byte, 1)); !errors.Is(err, mux.ErrSilent) {
			t.Errorf("what was carried through the hole ended with %v", err)
		}
		t.Logf("the link was found dead after %s", time.Since(began).Round(time.Millisecond))
	})
	found.Go(func() { // nobody waits for ever
		_, err := s.Dial(context.Background(), lone, "tcp", address)
		var failed *tunnel.DialError
		if !errors.As(err, &failed) || failed.Code != mux.Timeout {
			t.Errorf("a dial through the hole ended with %v", err)
		}
		t.Logf("a dial failed after %s", time.Since(began).Round(time.Millisecond))
	})
	dials, slowest := 0, time.Duration(0)
	for len(s.Links()) > 1 { // until the dead ones are gone
		if time.Since(began) > 2*tunneltest.Patience {
			t.Fatal("the dead links are still believed to be alive")
		}
		at := time.Now()
		if err := echoed(s, m1, address); err != nil {
			t.Fatalf("a dial was not hedged: %v", err)
		}
		slowest = max(slowest, time.Since(at))
		dials++
	}
	found.Wait()
	t.Logf("%d dials meanwhile, the slowest %s", dials, slowest.Round(time.Millisecond))
	hole.down()
	hole.swallows.Store(false)
	hole.up(t)
	tunneltest.Linked(t, s, lone, 1)
	tunneltest.Linked(t, s, m1, 2)
}
