package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The ways to the target, which are columns.
const (
	wayTCP       = "TCP"
	wayTLS       = "TLS"
	wayConnect   = "CONNECT"      // ours, HTTP CONNECT on a Unix socket
	wayDialer    = "in process"   // ours, by the server's dialer in its process
	wayTheirs    = "konnectivity" // HTTP CONNECT on a Unix socket
	wayTheirsRPC = "konnectivity gRPC"
)

var wayNames = []string{wayTCP, wayTLS, wayConnect, wayDialer, wayTheirs, wayTheirsRPC}

// way is one of them.
type way struct {
	name string
	// address is the target's for this way.
	address string
	// do does work of clients by this way.
	do func(context.Context, order) (answer, error)
	// tunnel is what carries it; nil if nothing does.
	tunnel tunnelUnderTest
}

// processes are whose processor time is that of the tunnel.
func (y *way) processes() []int {
	if y.tunnel == nil {
		return nil
	}
	return y.tunnel.pids()
}

// tunnelUnderTest is a server and its agents.
type tunnelUnderTest interface {
	// pids are those of the server and the agents.
	pids() []int
	// killServer and killAgent end a process, and startServer and startAgent start it again; agents are numbered.
	killServer()
	startServer(context.Context) error
	killAgent(i int)
	startAgent(ctx context.Context, i int) error
	// linked waits until so many agents are known to the server.
	linked(ctx context.Context, n int) error
	// memory is what server and agent have in use, after a garbage collection, and resident.
	memory(ctx context.Context) (server, agent footprint, err error)
	close()
}

// footprint is memory in bytes: of the heap and of stacks, and as Linux sees it.
type footprint struct{ inUse, resident int64 }

func (f footprint) minus(g footprint) footprint {
	return footprint{f.inUse - g.inUse, f.resident - g.resident}
}

// world is a target, and tunnels to it, of which nothing was used before.
type world struct {
	*bench
	dir    string
	target *process
	// addresses are the target's.
	addresses map[string]string
	ours      *ours
	theirs    *theirs // nil if it is not measured
	theirsRPC *theirs
	relays    []*relay
	closers   []func()
	ways      []*way
	// delay is half of a round trip between agents and servers, and between clients and a target without a tunnel.
	delay time.Duration
}

// inWorld measures in a world that ends afterwards. It has a target and no tunnels yet.
func (b *bench) inWorld(ctx context.Context, name string, measure func(*world) error) (err error) {
	w := &world{bench: b, dir: filepath.Join(b.Dir, name)}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return err
	}
	defer w.close()
	if err := makeCertificates(w.dir); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	var ready answer
	if w.target, ready, err = b.startRole(ctx, w.dir, "target", role{Play: "target", Dir: w.dir}); err != nil {
		return err
	}
	w.addresses = ready.Addresses
	return measure(w)
}

func (w *world) close() {
	for _, f := range slices.Backward(w.closers) {
		f()
	}
	w.closers = nil
	for _, r := range w.relays {
		r.close()
	}
	w.relays = nil
	if w.target != nil {
		w.target.kill()
	}
}

// far is an address that reaches another, as far away as this world has it.
func (w *world) far(address string) (string, error) {
	if w.delay == 0 {
		return address, nil
	}
	r, err := newRelay(address, w.delay)
	if err != nil {
		return "", err
	}
	w.relays = append(w.relays, r)
	return r.address(), nil
}

// populate starts tunnels with so many agents each, and makes the ways.
func (w *world) populate(ctx context.Context, agents int) error {
	if err := w.populateDirect(); err != nil {
		return err
	}
	var err error
	if w.ours, err = w.startOurs(ctx, agents); err != nil {
		return err
	}
	w.closers = append(w.closers, w.ours.close)
	socket := &worker{dial: throughConnect("unix", w.ours.socket, nil)}
	w.ways = append(w.ways,
		&way{wayConnect, w.addresses[addressTCP], socket.do, w.ours},
		&way{wayDialer, w.addresses[addressTCP], w.ours.do, w.ours})
	if w.bench.theirs == "" {
		return nil
	}
	if w.theirs, err = w.startTheirs(ctx, modeConnect, agents); err != nil {
		return err
	}
	w.closers = append(w.closers, w.theirs.close)
	if w.theirsRPC, err = w.startTheirs(ctx, modeRPC, agents); err != nil {
		return err
	}
	w.closers = append(w.closers, w.theirsRPC.close)
	w.ways = append(w.ways,
		&way{wayTheirs, w.addresses[addressTCP], (&worker{dial: throughConnect("unix", w.theirs.socket, nil)}).do, w.theirs},
		&way{wayTheirsRPC, w.addresses[addressTCP], (&worker{dial: throughRPC(w.theirsRPC.socket)}).do, w.theirsRPC})
	return nil
}

func (w *world) populateDirect() error {
	pool, err := loadPool(w.dir, serversCA)
	if err != nil {
		return err
	}
	plain, err := w.far(w.addresses[addressTCP])
	if err != nil {
		return err
	}
	secure, err := w.far(w.addresses[addressTLS])
	if err != nil {
		return err
	}
	direct := &worker{dial: func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
	withTLS := &worker{dial: func(ctx context.Context, address string) (net.Conn, error) {
		return (&tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}}).DialContext(ctx, "tcp", address)
	}}
	w.ways = append(w.ways, &way{wayTCP, plain, direct.do, nil}, &way{wayTLS, secure, withTLS.do, nil})
	return nil
}

// of is the way of a name, nil if it is not measured.
func (w *world) of(name string) *way {
	if i := slices.IndexFunc(w.ways, func(y *way) bool { return y.name == name }); i >= 0 {
		return w.ways[i]
	}
	return nil
}

// turns has each of some ways do something in each round, another one first each time.
func (w *world) turns(ctx context.Context, names []string, do func(y *way) error) error {
	var ways []*way
	for _, y := range w.ways {
		if slices.Contains(names, y.name) {
			ways = append(ways, y)
		}
	}
	for round := range w.rounds {
		for i := range ways {
			y := ways[(i+round)%len(ways)]
			if err := do(y); err != nil {
				return fmt.Errorf("%s: %w", y.name, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// throughConnect dials through an HTTP proxy as a kube-apiserver does: with CONNECT on a connection of its own.
func throughConnect(network, proxy string, config *tls.Config) dialFunc {
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, proxy)
		if err != nil {
			return nil, err
		}
		if config != nil {
			secure := tls.Client(conn, config)
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			conn = secure
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		err = connect(conn, address)
		if !stop() {
			err = errors.Join(err, ctx.Err())
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

func connect(conn net.Conn, address string) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address); err != nil {
		return err
	}
	head := make([]byte, 0, 4*kibi)
	for !strings.HasSuffix(string(head), "\r\n\r\n") { // the target says nothing before it is asked
		n, err := conn.Read(head[len(head):cap(head)])
		if head = head[:len(head)+n]; err != nil || len(head) == cap(head) {
			return fmt.Errorf("%q: %w", head, errors.Join(err, errors.New("that is no answer to CONNECT")))
		}
	}
	if status, _, _ := strings.Cut(string(head), "\r\n"); !strings.Contains(status, " 200 ") {
		return errors.New(status)
	}
	return nil
}
