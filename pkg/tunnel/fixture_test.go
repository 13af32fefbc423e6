package tunnel_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// authority signs.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, certificate: certificate, key: key, serial: 1}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue signs a certificate of an agent if there are URIs, else of a server.
func (a *authority) issue(until time.Time, uris ...*url.URL) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, URIs: uris}
	if len(uris) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) serverTLS() func() (*tls.Config, error) {
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(time.Now().Add(time.Hour))}, ClientCAs: a.pool()}
	return func() (*tls.Config, error) { return config, nil }
}

func (a *authority) agentTLS(name tunnel.Name) func() (*tls.Config, error) {
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(time.Now().Add(time.Hour), name.URI())}, RootCAs: a.pool()}
	return func() (*tls.Config, error) { return config, nil }
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// replica is a server that listens.
type replica struct {
	*server.Server
	address string
	stop    func()
}

// serve runs a server. address is where it listens; empty for any.
func serve(t *testing.T, address string, config server.Config) *replica {
	t.Helper()
	config.Logger = quiet
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if address == "" {
		address = "127.0.0.1:0"
	}
	var listener net.Listener
	eventually(t, "the server can listen", func() bool {
		listener, err = net.Listen("tcp", address)
		return err == nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-ended
		s.Close()
	})
	t.Cleanup(stop)
	return &replica{s, listener.Addr().String(), stop}
}

// run runs an agent. It is over when stop returns.
func run(t *testing.T, config agent.Config) (a *agent.Agent, stop func()) {
	t.Helper()
	config.Logger = quiet
	if config.Policy == nil {
		policy, err := agent.NewPolicy(nil, "127.0.0.1:*")
		if err != nil {
			t.Fatal(err)
		}
		config.Policy = policy
	}
	a, err := agent.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return a, stop
}

// target answers each connection with a word, and then echoes.
func target(t *testing.T, word string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, word)
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// hear dials and reads so many bytes.
func hear(s *replica, name tunnel.Name, address string, n int) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := s.Dial(ctx, name, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	got := make([]byte, n)
	_, err = io.ReadFull(conn, got)
	return string(got), err
}

func linked(t *testing.T, s *replica, name tunnel.Name, n int) {
	t.Helper()
	eventually(t, "agents of "+name.String()+" are there", func() bool {
		found := 0
		for _, l := range s.Links() {
			if l.Name == name {
				found++
			}
		}
		return found == n
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

var errRevoked = errors.New("its certificate was revoked")
