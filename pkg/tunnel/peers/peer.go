package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// connectTimeout is how long a connection may take to become a link.
	connectTimeout = 10 * time.Second
	// firstPause and lastPause are what is waited before the next try, at most: a random part of it.
	firstPause, lastPause = 50 * time.Millisecond, 5 * time.Second
	// retiredCheck is how often it is looked whether a link to a server whose Lease is gone carries something.
	retiredCheck = time.Second
)

// peer is another server, as long as its Lease is there, and its link.
type peer struct {
	mesh        *Mesh
	id, address string
	// stop has no other link made; the one that there is goes on while it carries something.
	stop context.CancelFunc
	// link is the one that is up; nil if none is.
	link atomic.Pointer[Link]
}

// Link is one to another server. It knows the names of agents that are there.
type Link struct {
	// ID is the other server's.
	ID      string
	since   time.Time
	session *mux.Session
	// going: the other server will go, or has no Lease any more.
	going atomic.Bool
	// heard is told of nodes of which the other server says something else.
	heard func(tunnel.Name)

	mu sync.RWMutex
	// names are guarded by mu.
	names names
}

// Agents are the instances of the agents that a name has there.
func (l *Link) Agents(name tunnel.Name) []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.names.entries[name].Agents
}

// Streams are how many are open on it.
func (l *Link) Streams() int { return l.session.Streams() }

// Going reports whether the other server will go.
func (l *Link) Going() bool { return l.going.Load() }

// RoundTrip is that of late, 0 if it is not known.
func (l *Link) RoundTrip() time.Duration { return l.session.RoundTrip() }

// Open has the other server dial over a link of an agent with it. Errors are *mux.Error, or those of the link or of ctx.
func (l *Link) Open(ctx context.Context, name tunnel.Name, asked tunnel.Request) (*mux.Stream, error) {
	if n := l.session.Streams(); n >= maxStreams {
		return nil, &mux.Error{Code: mux.Overloaded, Text: fmt.Sprintf("%d streams are open on the link to the server %s, as many as may be", n, l.ID)}
	}
	return l.session.OpenFor(ctx, asked.Share, request{Dial: &dialRequest{name, asked, tunnel.IsShared(ctx)}})
}

// keep keeps a link until ctx ends, which is when the Lease is gone, or the mesh is closed.
func (p *peer) keep(ctx context.Context) {
	logger := p.mesh.config.Logger.With("peer", p.id, "address", p.address)
	pause := time.Duration(0)
	for wait(ctx, pause) {
		began := time.Now()
		linked, err := p.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case linked:
			logger.Info("Lost the link to another server", "err", err)
		default:
			logger.Warn("Failed to connect to another server", "err", err)
		}
		if linked && time.Since(began) >= lastPause {
			pause = 0
			continue
		}
		pause = min(max(firstPause, pause*3/2), lastPause)
	}
}

// wait waits for a random part of a pause, and reports whether to go on.
func wait(ctx context.Context, pause time.Duration) bool {
	if pause > 0 {
		pause = rand.N(pause) + 1
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// once makes a link, and returns why it ended.
func (p *peer) once(ctx context.Context) (linked bool, err error) {
	l, err := p.connect(ctx)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(p.mesh.ctx, func() { _ = l.session.Close() })
	defer stop()
	p.link.Store(l)
	defer l.forget() // once nobody finds it
	defer p.link.Store(nil)
	p.mesh.config.Logger.Info("Linked to another server", "peer", p.id, "address", p.address)
	learning := make(chan error, 1)
	go func() { learning <- l.learn() }() // ends with the session
	select {
	case err = <-learning:
	case <-ctx.Done():
		l.retire()
		err = <-learning
	}
	_ = l.session.Close()
	if ended := l.session.Err(); !errors.Is(ended, mux.ErrClosed) {
		err = ended
	}
	return true, err
}

// retire ends a link once it carries nothing but names.
func (l *Link) retire() {
	l.going.Store(true)
	check := time.NewTicker(retiredCheck)
	defer check.Stop()
	for l.session.Streams() > 1 {
		select {
		case <-l.session.Ended():
			return
		case <-check.C:
		}
	}
	_ = l.session.Close()
}

// connect makes a link.
func (p *peer) connect(ctx context.Context) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config, err := p.clientTLS()
	if err != nil {
		return nil, err
	}
	conn, err := p.mesh.dialer.Dial(ctx, p.address, config)
	if err != nil {
		return nil, err
	}
	said, err := json.Marshal(hello{p.mesh.config.ID})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	l := &Link{ID: p.id, since: time.Now(), heard: p.mesh.config.Heard}
	l.session, err = mux.New(ctx, conn.Conn, conn.Batch, mux.Config{
		Made: true, Hello: mux.Hello{Info: said}, Budget: p.mesh.config.Budget, OnDrain: func(json.RawMessage) { l.going.Store(true) },
		PingEvery: p.mesh.config.PingEvery, DeadAfter: 3 * p.mesh.config.PingEvery,
	})
	if err != nil {
		return nil, carrier.Explain(err)
	}
	return l, nil
}

// clientTLS verifies that the server with the id is there, wherever that is.
func (p *peer) clientTLS() (*tls.Config, error) {
	certificate, trusted, err := p.mesh.config.TLS()
	if err != nil {
		return nil, fmt.Errorf("the certificate for other servers: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*certificate}, NextProtos: []string{tunnel.ServerALPN}, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true, // by package tls, which compares names of hosts; what follows does all else that it would do
		VerifyConnection: func(state tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				intermediates.AddCert(c)
			}
			leaf := state.PeerCertificates[0]
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: trusted, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
				return fmt.Errorf("what answers is no server of this tunnel: %w", err)
			}
			id, err := tunnel.ServerOf(leaf)
			if err == nil && id != p.id {
				err = fmt.Errorf("the server %q answers, and not %q", id, p.id)
			}
			return err
		},
	}, nil
}

// learn follows the names of the other server until the link ends. A stream on which something is missing is replaced.
func (l *Link) learn() error {
	for again := false; ; again = true {
		err := l.follow()
		if l.session.Err() != nil {
			return l.session.Err()
		}
		var refused *mux.Error
		if again || errors.As(err, &refused) {
			return fmt.Errorf("its names: %w", err)
		}
	}
}

// follow reads names until something is missing.
func (l *Link) follow() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	stream, err := l.session.Open(ctx, request{Names: &struct{}{}})
	if err != nil {
		return err
	}
	defer stream.Close()
	var fresh names // what was known before counts until all of it has come
	whole := false
	for last := uint64(0); ; last++ {
		// There is a digest every while: a server that is silent for longer does not tell of changes either.
		_ = stream.SetReadDeadline(time.Now().Add(3 * digestEvery))
		var m message
		if err := receive(stream, &m, maxMessage); err != nil {
			return err
		}
		var before names
		if whole {
			l.mu.Lock()
			err = l.names.take(&m, last)
			l.mu.Unlock()
			l.tell(m.Set)
		} else if err = fresh.take(&m, last); err == nil && !m.More {
			whole = true
			l.mu.Lock()
			before, l.names = l.names, fresh
			l.mu.Unlock()
			l.tell(slices.Collect(maps.Values(before.entries)))
			l.tell(slices.Collect(maps.Values(fresh.entries)))
		}
		if err != nil {
			return err
		}
	}
}

// tell has it heard of which nodes the other server says something else.
func (l *Link) tell(entries []entry) {
	for _, e := range entries {
		if l.heard != nil && e.Node != "" {
			l.heard(e.Name)
		}
	}
}

// forget has it heard that the other server says nothing any more.
func (l *Link) forget() {
	l.mu.Lock()
	gone := l.names
	l.names = names{}
	l.mu.Unlock()
	l.tell(slices.Collect(maps.Values(gone.entries)))
}

// report asks the other server.
func (l *Link) report(ctx context.Context, name tunnel.Name, probe bool) (*tunnel.Report, error) {
	asked := &reportRequest{Name: name, Probe: probe}
	until, ok := ctx.Deadline()
	if ok {
		asked.TimeoutMillis = max(1, time.Until(until).Milliseconds()*3/4) // it says what it has before nobody waits
	}
	stream, err := l.session.Open(ctx, request{Report: asked})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	if ok {
		_ = stream.SetReadDeadline(until)
	}
	var report tunnel.Report
	if err := receive(stream, &report, maxReport); err != nil {
		return nil, err
	}
	return &report, nil
}

// dialTCP goes directly: servers are in one network, and no proxy of the environment is between them.
func dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}
