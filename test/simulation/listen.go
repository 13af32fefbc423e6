package simulation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// server is the listener of one member.
type server struct {
	http      *http.Server
	gate      *gate
	authority []byte // PEM
}

// listen starts to serve; wg is done when that has ended.
func (m *Member) listen(wg *sync.WaitGroup) error {
	certificate, authority, err := selfSigned(m.name)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.server = &server{
		gate:      &gate{Listener: listener, connections: map[*connection]struct{}{}},
		authority: authority,
		http: &http.Server{
			Handler:           m,
			TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
			ReadHeaderTimeout: time.Minute,
			ErrorLog:          log.New(io.Discard, "", 0), // of connections that were cut
		},
	}
	// Ends with close.
	wg.Go(func() { _ = m.server.http.ServeTLS(m.server.gate, "", "") })
	return nil
}

func (s *server) close() error { return s.http.Close() }

// selfSigned makes a certificate for loopback that is its own authority.
func selfSigned(name string) (certificate tls.Certificate, authority []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return certificate, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// URL where the member listens.
func (m *Member) URL() string { return "https://" + m.server.gate.Addr().String() }

// CA is the authority of the member's certificate, PEM.
func (m *Member) CA() []byte { return m.server.authority }

// RESTConfig is the administrator's access, without a limit on requests.
func (m *Member) RESTConfig() *rest.Config {
	return &rest.Config{
		Host: m.URL(), BearerToken: m.token, TLSClientConfig: rest.TLSClientConfig{CAData: m.server.authority}, QPS: -1,
	}
}

// Down ends all connections and refuses new ones until Up.
func (m *Member) Down() { m.server.gate.set(true) }

// Up undoes Down.
func (m *Member) Up() { m.server.gate.set(false) }

// gate is a listener that can be shut.
type gate struct {
	net.Listener

	mu          sync.Mutex
	down        bool
	connections map[*connection]struct{}
}

func (g *gate) set(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
	if !down {
		return
	}
	for c := range g.connections {
		reset(c.Conn)
	}
	clear(g.connections)
}

// reset closes a connection without a farewell.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		accepted, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := g.admit(accepted); c != nil {
			return c, nil
		}
	}
}

func (g *gate) admit(accepted net.Conn) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		reset(accepted)
		return nil
	}
	c := &connection{Conn: accepted, gate: g}
	g.connections[c] = struct{}{}
	return c
}

// connection is one that its gate knows until it is closed.
type connection struct {
	net.Conn
	gate *gate
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.connections, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
