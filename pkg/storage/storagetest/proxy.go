package storagetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is something that goes wrong between a client and the database.
type Fault string

// The faults that cut one connection, at a step of one statement.
const (
	// CutBeforeQuery cuts before the statement reaches the server.
	CutBeforeQuery Fault = "cut before the query"
	// CutAfterQuery cuts as soon as the server has the statement: it may or may not get
	// to its end.
	CutAfterQuery Fault = "cut after the query"
	// CutBeforeAnswer cuts when the server begins to answer: of several statements in one
	// packet the first is done.
	CutBeforeAnswer Fault = "cut before the answer"
	// CutInAnswer cuts in the middle of the first packet of the answer.
	CutInAnswer Fault = "cut in the middle of the answer"
	// CutBeforeLastAnswer cuts when the server has done all of the statement, and keeps
	// the last packet of the answer: after a COMMIT the transaction is committed and the
	// client does not know.
	CutBeforeLastAnswer Fault = "cut before the last answer"
	// LoseAnswer keeps the answer and the connection: the client waits.
	LoseAnswer Fault = "answer lost, connection kept"
	// SlowQuery holds the statement back for 300 ms.
	SlowQuery Fault = "slow query"
	// CutInHandshake cuts a new connection when the server has greeted.
	CutInHandshake Fault = "cut in the handshake"
)

// The faults that meet all connections.
const (
	// CutAll cuts every connection.
	CutAll Fault = "all connections cut"
	// RefuseAll takes no new connections for a while.
	RefuseAll Fault = "connections refused"
	// LoseAll loses every byte for a while; the connections of that time never recover,
	// and nobody is told.
	LoseAll Fault = "all bytes lost"
)

// slowQuery is how long SlowQuery lasts.
const slowQuery = 300 * time.Millisecond

// atStatement are the faults that wait for a statement.
var atStatement = []Fault{CutBeforeQuery, CutAfterQuery, CutBeforeAnswer, CutInAnswer, CutBeforeLastAnswer, LoseAnswer, SlowQuery}

// AllFaults are those that random mode draws from if nothing else is said. LoseAnswer and
// LoseAll are not among them: they last until the client's own timeout.
var AllFaults = []Fault{CutBeforeQuery, CutAfterQuery, CutBeforeAnswer, CutInAnswer, CutBeforeLastAnswer, SlowQuery, CutInHandshake, CutAll, RefuseAll}

// Proxy stands between clients and a MySQL server and makes connections fail.
type Proxy struct {
	// Address is host:port on loopback.
	Address string

	mu       sync.Mutex // guards the rest
	listener net.Listener
	backend  string
	conns    map[*proxied]bool
	armed    []armed
	counts   map[Fault]int
	before   func(statement string)
	losing   bool
	closed   bool
	running  sync.WaitGroup
}

// armed is a fault that waits for its statement.
type armed struct {
	fault    Fault
	patterns []string
	done     chan struct{}
}

// StartProxy forwards to a server until the test ends.
func StartProxy(t testing.TB, backend string) *Proxy {
	t.Helper()
	p := &Proxy{Address: freeAddress(t), backend: backend, conns: map[*proxied]bool{}, counts: map[Fault]int{}}
	if err := p.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// DSN is what follows the scheme in the URL of a database behind the proxy.
func (p *Proxy) DSN(database string) string { return dsn(storeUser, p.Address, database) }

// SetBackend makes new connections go to another server. Those that are open stay.
func (p *Proxy) SetBackend(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backend = address
}

// Arm makes the fault happen once, to the next statement that holds all of the patterns, or
// to the next one at all if there are none. The channel is closed when it has happened.
func (p *Proxy) Arm(fault Fault, patterns ...string) <-chan struct{} {
	done := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, armed{fault, patterns, done})
	return done
}

// Before has a function called with each statement before it reaches the server, which waits
// meanwhile; nil means none.
func (p *Proxy) Before(call func(statement string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = call
}

func (p *Proxy) come(statement string) {
	p.mu.Lock()
	call := p.before
	p.mu.Unlock()
	if call != nil {
		call(statement)
	}
}

// Faults is how often each fault has happened.
func (p *Proxy) Faults() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Cut resets every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	p.counts[CutAll]++
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, conn := range conns {
		conn.cut()
	}
}

// Refuse makes new connections fail, until Accept. Those that are open stay.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[RefuseAll]++
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Accept takes connections again.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	listener, err := net.Listen("tcp", p.Address)
	if err != nil {
		return fmt.Errorf("listen as a proxy: %w", err)
	}
	p.listener = listener
	p.running.Go(func() { p.accept(listener) }) // ends with the listener
	return nil
}

// Lose loses every byte from now on, until Find. Connections of that time stay lost.
func (p *Proxy) Lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[LoseAll]++
	p.losing = true
	for conn := range p.conns {
		conn.lost.Store(true)
	}
}

// Find ends Lose, for new connections.
func (p *Proxy) Find() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losing = false
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, conn := range conns {
		conn.cut()
	}
	p.running.Wait()
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.running.Go(func() { p.serve(client) }) // ends with the connection
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	backend := p.backend
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", backend, time.Second)
	if err != nil {
		reset(client)
		return
	}
	conn := &proxied{proxy: p, client: client, server: server, ended: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		conn.cut()
		return
	}
	p.conns[conn] = true
	conn.lost.Store(p.losing)
	p.mu.Unlock()
	conn.run()
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
}

// take returns the first armed fault among those that a statement has, and counts it.
func (p *Proxy) take(text string, among ...Fault) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.armed {
		if slices.Contains(among, a.fault) && (len(a.patterns) == 0 || matches(text, a.patterns)) {
			p.armed = slices.Delete(p.armed, i, i+1)
			p.counts[a.fault]++
			close(a.done)
			return a.fault
		}
	}
	return ""
}

// Plan says what goes wrong at random.
type Plan struct {
	// Seed makes the plan; what it meets depends on the load.
	Seed uint64
	// Mean is the mean time between two faults.
	Mean time.Duration
	// Faults are drawn from; nil means AllFaults.
	Faults []Fault
	// Patterns are what the statements hold that are met; nil means any statement.
	Patterns []string
}

// Randomly makes connections fail until the function that it returns is called.
func (p *Proxy) Randomly(plan Plan) (stop func()) {
	if plan.Faults == nil {
		plan.Faults = AllFaults
	}
	random := rand.New(rand.NewPCG(plan.Seed, 0))
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { // ends with stop
		for {
			pause := time.Duration(random.ExpFloat64() * float64(plan.Mean))
			fault := plan.Faults[random.IntN(len(plan.Faults))]
			length := time.Duration(50+random.IntN(500)) * time.Millisecond
			select {
			case <-time.After(pause):
			case <-done:
				return
			}
			p.happen(fault, plan.Patterns, length, done)
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		running.Wait()
		p.mu.Lock()
		p.armed = nil
		p.mu.Unlock()
	})
}

func (p *Proxy) happen(fault Fault, patterns []string, length time.Duration, done <-chan struct{}) {
	wait := func() {
		select {
		case <-time.After(length):
		case <-done:
		}
	}
	switch fault {
	case CutAll:
		p.Cut()
	case RefuseAll:
		p.Refuse()
		wait()
		_ = p.Accept()
	case LoseAll:
		p.Lose()
		wait()
		p.Find()
	case CutInHandshake:
		p.Arm(fault)
	default:
		p.Arm(fault, patterns...)
	}
}

// Summary is the faults in one line.
func Summary(faults map[Fault]int) string {
	var parts []string
	for _, fault := range slices.Sorted(maps.Keys(faults)) {
		parts = append(parts, fmt.Sprintf("%s %d", fault, faults[fault]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
