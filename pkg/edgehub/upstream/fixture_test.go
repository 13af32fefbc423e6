package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what has to come.
const patience = 45 * time.Second

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	made := (&authority{}).sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return &authority{made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)}
}

var serial atomic.Int64

func (a *authority) sign(t *testing.T, like *x509.Certificate) *tls.Certificate {
	t.Helper()
	copied := *like
	template := &copied
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(serial.Add(1))
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) client(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	return a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func (a *authority) pools() (*x509.CertPool, error) { return a.pool(), nil }

// apiServer says who asks, and how.
type apiServer struct {
	*httptest.Server
	name  string
	ready atomic.Int32 // the status of /readyz, or hangs
	// watching counts watches.
	watching atomic.Int32
}

const hangs = -1

// localhost are the names in certificates of servers, unless a test says others.
var localhost = x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}

func serve(t *testing.T, ca *authority, name string, change func(*tls.Config)) *apiServer {
	t.Helper()
	s := &apiServer{name: name}
	s.ready.Store(http.StatusOK)
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*ca.sign(t, &localhost)}, ClientAuth: tls.RequestClientCert}
	s.EnableHTTP2, s.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return s
}

// ServeHTTP implements http.Handler.
func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/readyz" && s.ready.Load() == hangs:
		<-r.Context().Done()
	case r.URL.Path == "/flood":
		for text := make([]byte, 32<<10); r.Context().Err() == nil; {
			_, _ = w.Write(text)
		}
	case r.URL.Path == "/readyz":
		w.WriteHeader(int(s.ready.Load()))
	case r.Header.Get("Upgrade") != "":
		s.echo(w, r)
	case r.URL.Query().Has("watch"):
		s.watching.Add(1)
		defer s.watching.Add(-1)
		_, _ = fmt.Fprintln(w, s.name)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		certificate := "none"
		if len(r.TLS.PeerCertificates) > 0 {
			certificate = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = fmt.Fprintf(w, "%s: certificate %s, authorization %q, HTTP/%d, host %v, %s", s.name, certificate, r.Header.Get("Authorization"), r.ProtoMajor, r.Host == s.Listener.Addr().String(), r.RequestURI)
	}
}

// echo is another protocol: it sends back what comes.
func (s *apiServer) echo(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
	_, _ = io.Copy(conn, buffered)
}

// start runs an Upstream. It is stopped at the end of the test, if that does not.
func start(t *testing.T, config Config) (*Upstream, func()) {
	t.Helper()
	u := create(t, config)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { u.Run(ctx) })
	stop := func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return u, stop
}

func create(t *testing.T, config Config) *Upstream {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	u, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// until waits until u is as it should be.
func until(t *testing.T, u *Upstream, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := u.Changes()
		if is() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited %s for: %s. Status: %+v", patience, what, u.Status())
		}
	}
}

// eventually waits until something is so that nobody tells of.
func eventually(t *testing.T, what func() string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", patience, what())
		}
	}
}

// chosen returns the server that is asked, and healthy whether one is well.
func chosen(u *Upstream) string {
	for _, s := range u.Status() {
		if s.Chosen {
			return s.URL
		}
	}
	return ""
}

func healthy(u *Upstream, url string) bool {
	for _, s := range u.Status() {
		if s.URL == url {
			return s.Healthy
		}
	}
	return false
}

// get returns what is answered to a request.
func get(t *testing.T, via http.RoundTripper, target string, header http.Header) (string, error) {
	t.Helper()
	response, err := open(t, via, target, header)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func open(t *testing.T, via http.RoundTripper, target string, header http.Header) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	return via.RoundTrip(request)
}

// watch begins a watch, and returns who answers, and a channel for how it ends.
func watch(t *testing.T, via http.RoundTripper) (who string, ends <-chan error) {
	t.Helper()
	response, err := open(t, via, "/api/v1/pods?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	line := make([]byte, 64)
	n, err := response.Body.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { // ends with the body
		_, err := response.Body.Read(line)
		ended <- err
	}()
	return strings.TrimSpace(string(line[:n])), ended
}

func await[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("waited %s for: %s", patience, what)
	}
	return got
}

// relay is a link to a server, which can be frozen: connections stay, and new ones are accepted, but no byte passes.
type relay struct {
	listener net.Listener
	to       string
	gate     sync.RWMutex // held while it is frozen
	frozen   bool         // the test's alone
}

func newRelay(t *testing.T, to *apiServer) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, to: to.Listener.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.carry(ctx, conn) })
		}
	})
	t.Cleanup(func() { r.thaw(); _ = listener.Close(); cancel(); all.Wait() })
	return r
}

func (r *relay) url() string { return "https://" + r.listener.Addr().String() }

// carry passes bytes until one end closes, or ctx ends.
func (r *relay) carry(ctx context.Context, from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { _ = from.Close(); _ = to.Close() })()
	var both sync.WaitGroup
	both.Go(func() { r.pass(to, from) })
	both.Go(func() { r.pass(from, to) })
	both.Wait()
}

func (r *relay) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		r.gate.RLock()
		_, failed := to.Write(buffer[:n])
		r.gate.RUnlock()
		if err != nil || failed != nil {
			return
		}
	}
}

func (r *relay) freeze() {
	r.gate.Lock()
	r.frozen = true
}

func (r *relay) thaw() {
	if r.frozen {
		r.frozen = false
		r.gate.Unlock()
	}
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }
