// Package authoritytest has a tunnel's server with its authorities, for tests: real TLS on loopback, tokens in memory.
//
// A Tunnel may be used concurrently.
package authoritytest

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Patience bounds what tests wait for.
const Patience = tunneltest.Patience

var (
	// Quiet logs nothing.
	Quiet = tunneltest.Quiet
	// Eventually waits for something.
	Eventually = tunneltest.Eventually
	// NewCA returns an authority with a new key.
	NewCA = tunneltest.NewNamedAuthority
)

// CA is an authority with a new key.
type CA = tunneltest.Authority

// Tunnel is a server that listens.
type Tunnel struct {
	*server.Server
	Authority *authority.Authority
	Tokens    *Tokens
	// Servers and Agents are the authorities of both.
	Servers, Agents *CA
	// Address is where it listens.
	Address string

	revoked     sync.Map // names whose certificates are not allowed, to reasons
	certificate atomic.Pointer[tls.Certificate]
	announced   atomic.Pointer[[]byte] // the authorities of servers that agents are told
	clock       atomic.Int64           // what the authority's clock is ahead, in nanoseconds
}

// Start returns one that ends with the test. prepare, if not nil, is called with the server before it serves.
func Start(t testing.TB, prepare func(*server.Server)) *Tunnel {
	t.Helper()
	tn := &Tunnel{Tokens: NewTokens(), Servers: NewCA(t, "servers"), Agents: NewCA(t, "agents")}
	tn.Announce(tn.Servers)
	tn.ServeAs(tn.Servers.ForServer(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	var err error
	tn.Authority, err = authority.New(authority.Config{
		Signer: func() (*x509.Certificate, crypto.Signer, error) { return tn.Agents.Certificate, tn.Agents.Key, nil },
		CA:     func() ([]byte, error) { return *tn.announced.Load(), nil },
		Tokens: tn.Tokens, Allowed: tn.allowed, Now: tn.Now, Logger: Quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	tn.Server, err = server.New(server.Config{
		ID: "a", HTTP: tn.Authority, Allowed: tn.allowed, Logger: Quiet,
		TLS: func() (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{*tn.certificate.Load()}, ClientCAs: tn.Agents.Pool()}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(tn.Server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tn.Address = listener.Addr().String()
	tunneltest.During(t, func(ctx context.Context) error {
		defer tn.Close()
		return tn.Serve(ctx, listener)
	})
	return tn
}

// ServeAs has the server show a certificate from now on.
func (tn *Tunnel) ServeAs(certificate tls.Certificate) { tn.certificate.Store(&certificate) }

// Announce has agents be told of these authorities of servers from now on.
func (tn *Tunnel) Announce(all ...*CA) {
	var text []byte
	for _, ca := range all {
		text = append(text, ca.PEM()...)
	}
	tn.announced.Store(&text)
}

// Now is what the authority's clock says.
func (tn *Tunnel) Now() time.Time { return time.Now().Add(time.Duration(tn.clock.Load())) }

// SetClock has the authority's clock be ahead.
func (tn *Tunnel) SetClock(ahead time.Duration) { tn.clock.Store(int64(ahead)) }

// Revoke ends what a name may; reason is what its agents are told.
func (tn *Tunnel) Revoke(name tunnel.Name, reason error) {
	tn.revoked.Store(name, reason)
	tn.Recheck()
}

func (tn *Tunnel) allowed(name tunnel.Name, _ *x509.Certificate) error {
	if reason, ok := tn.revoked.Load(name); ok {
		return reason.(error)
	}
	return nil
}

// Pin is that of the servers' authority.
func (tn *Tunnel) Pin() identity.Pin { return identity.PinOf(tn.Servers.Certificate) }

// Issue makes a certificate of an agent.
func (tn *Tunnel) Issue(t testing.TB, name tunnel.Name) tls.Certificate {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tn.Authority.Sign(name, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}
}

// AgentTLS is for agent.Config, with a certificate of a name.
func (tn *Tunnel) AgentTLS(t testing.TB, name tunnel.Name) func() (*tls.Config, error) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{tn.Issue(t, name)}, RootCAs: tn.Servers.Pool()}
	return func() (*tls.Config, error) { return config, nil }
}

// Linked waits until there are n links of a name, and returns them.
func (tn *Tunnel) Linked(t testing.TB, name tunnel.Name, n int) []server.Link {
	t.Helper()
	var found []server.Link
	Eventually(t, name.String()+" is linked as often as it should be", func() bool {
		found = nil
		for _, l := range tn.Links() {
			if l.Name == name {
				found = append(found, l)
			}
		}
		return len(found) == n
	})
	return found
}
