// Package tunneltest runs servers and agents of the tunnel over TLS on loopback, for the tests of what uses them.
package tunneltest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

// Patience bounds what a test waits for.
const Patience = 30 * time.Second

// Authority signs.
type Authority struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey

	t      testing.TB
	serial int64
}

// NewAuthority returns an authority of its own.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	return NewNamedAuthority(t, "authority")
}

// NewNamedAuthority returns one whose name begins so, and is good for a year before and after.
func NewNamedAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("%s %d", name, time.Now().UnixNano())}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
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
	return &Authority{Certificate: certificate, Key: key, t: t, serial: 1}
}

// Pool is the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// Issue signs a certificate of an agent if there are URIs, else of a server on loopback.
func (a *Authority) Issue(until time.Time, uris ...*url.URL) tls.Certificate {
	a.t.Helper()
	if len(uris) == 0 {
		return a.ForServer(a.t, time.Now().Add(-time.Hour), until)
	}
	return a.IssueFrom(time.Now().Add(-time.Hour), until, uris...)
}

// IssueFrom signs a certificate of an agent that begins at a time.
func (a *Authority) IssueFrom(from, until time.Time, uris ...*url.URL) tls.Certificate {
	a.t.Helper()
	return a.sign(&x509.Certificate{NotBefore: from, NotAfter: until, URIs: uris, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// ForServer is a certificate of a server on loopback, with the authority's behind it.
func (a *Authority) ForServer(t testing.TB, from, until time.Time) tls.Certificate {
	t.Helper()
	certificate := a.sign(&x509.Certificate{
		NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"tunnel.example.org"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	})
	certificate.Certificate = append(certificate.Certificate, a.Certificate.Raw)
	return certificate
}

// sign gives a certificate a key and a number.
func (a *Authority) sign(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ServerTLS is what a server has that trusts agents of the authority.
func (a *Authority) ServerTLS() func() (*tls.Config, error) {
	config := &tls.Config{Certificates: []tls.Certificate{a.Issue(time.Now().Add(time.Hour))}, ClientCAs: a.Pool()}
	return func() (*tls.Config, error) { return config, nil }
}

// AgentTLS is what the agent of a name has.
func (a *Authority) AgentTLS(name tunnel.Name) func() (*tls.Config, error) {
	config := &tls.Config{Certificates: []tls.Certificate{a.Issue(time.Now().Add(time.Hour), name.URI())}, RootCAs: a.Pool()}
	return func() (*tls.Config, error) { return config, nil }
}

// Quiet logs nothing.
var Quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// Replica is a server that listens.
type Replica struct {
	*server.Server
	ID, Address string
	Stop        func()
}

// Serve runs a server. address is where it listens; empty for any.
func Serve(t *testing.T, address string, config server.Config) *Replica {
	t.Helper()
	config.Logger = Quiet
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if address == "" {
		address = "127.0.0.1:0"
	}
	var listener net.Listener
	Eventually(t, "the server can listen", func() bool {
		listener, err = net.Listen("tcp", address)
		return err == nil
	})
	stop := During(t, func(ctx context.Context) error {
		defer s.Close()
		return s.Serve(ctx, listener)
	})
	return &Replica{s, config.ID, listener.Addr().String(), stop}
}

// During runs something until the test ends, in the order of its cleanups, or until stop is called; it is over when that returns. The test fails if it
// returns an error.
func During(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Run runs an agent. It is over when stop returns.
func Run(t testing.TB, config agent.Config) (a *agent.Agent, stop func()) {
	t.Helper()
	if config.Logger == nil {
		config.Logger = Quiet
	}
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
	return a, During(t, func(ctx context.Context) error {
		_ = a.Run(ctx) // which is that it was refused, or ctx has ended
		return nil
	})
}

// Hear dials and reads so many bytes.
func Hear(s *Replica, name tunnel.Name, address string, n int) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := s.Dial(ctx, name, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(Patience))
	got := make([]byte, n)
	_, err = io.ReadFull(conn, got)
	return string(got), err
}

// Linked waits until a name has so many agents.
func Linked(t *testing.T, s *Replica, name tunnel.Name, n int) {
	t.Helper()
	Eventually(t, "agents of "+name.String()+" are there", func() bool {
		found := 0
		for _, l := range s.Links() {
			if l.Name == name {
				found++
			}
		}
		return found == n
	})
}

// Eventually waits until something is so.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(Patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %s: %s", Patience, what)
		}
	}
}

// PEM is the authority's certificate, as files have it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})
}

// WritePair writes a certificate and its key to files of a directory.
func WritePair(t *testing.T, dir string, pair tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// SocketDir is a directory for Unix sockets: the names of tests are too long for their paths.
func SocketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tunnel")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Deaf is an address at which whoever connects waits: its queue is full.
func Deaf(t *testing.T) (address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	err = errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0))
	if err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("this system queues whatever comes")
	return ""
}

// Connecting is how many sockets of this machine connect to an address of 127.0.0.1 and have no answer yet.
func Connecting(t *testing.T, address string) (sockets int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("sockets cannot be counted here")
	}
	_, text, _ := net.SplitHostPort(address)
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), fmt.Sprintf(" 0100007F:%04X 02 ", port))
}
