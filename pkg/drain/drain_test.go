package drain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

// server is a running Server with clients.
type server struct {
	*testing.T
	*Server
	addr  string
	tls   *tls.Config // of clients
	clock *testingclock.FakePassiveClock
	// connections is how many were opened.
	connections atomic.Int32
}

const maxAge = time.Hour

func start(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS() // for its certificate
	certificates.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certificates.Certificate())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		T: t, addr: listener.Addr().String(), tls: &tls.Config{RootCAs: roots, ServerName: "example.com"},
		clock: testingclock.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
	s.Server, err = New(Config{
		Listener: listener, TLS: &tls.Config{Certificates: certificates.TLS.Certificates, MinVersion: tls.VersionTLS12},
		Handler: handler, MaxAge: maxAge, ErrorLog: log.New(io.Discard, "", 0), Clock: s.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { // ends with the shutdown
		if err := s.Serve(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel() // wait for nobody
		_ = s.Shutdown(ended)
		serving.Wait()
	})
	return s
}

// client is one as in the aggregator, which would speak HTTP/2 if it could.
func (s *server) client() *http.Client {
	transport := &http.Transport{
		TLSClientConfig: s.tls, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 25,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			s.connections.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}
	s.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// post sends a body that cannot be sent twice, as a proxy does.
func (s *server) post(client *http.Client) {
	s.Helper()
	body := io.MultiReader(strings.NewReader("a "), strings.NewReader("body"))
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "https://"+s.addr, body)
	if err != nil {
		s.Error(err)
		return
	}
	response, err := client.Do(request)
	if err != nil {
		s.Error(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || string(answer) != "a body" || response.ProtoMajor != 1 {
		s.Errorf("got %q in %s, %v", answer, response.Proto, err)
	}
}

func (s *server) opened(want int32, when string) {
	s.Helper()
	if got := s.connections.Load(); got != want {
		s.Errorf("connections %s: got %d, want %d", when, got, want)
	}
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

func TestAConnectionIsKeptUntilItIsOld(t *testing.T) {
	s := start(t, echo)
	client := s.client()
	s.post(client)
	s.clock.SetTime(s.clock.Now().Add(maxAge / 2))
	s.post(client)
	s.opened(1, "before their time is over")
	s.clock.SetTime(s.clock.Now().Add(maxAge))
	s.post(client) // is answered over the old one
	s.opened(1, "for the request that ends it")
	s.post(client)
	s.opened(2, "after it was closed")
}

// TestAnIdleConnectionSurvivesADrain is about a client that sends its next request at any
// moment of a drain.
func TestAnIdleConnectionSurvivesADrain(t *testing.T) {
	s := start(t, echo)
	client := s.client()
	s.post(client)
	s.Drain()
	s.post(client)
	s.opened(1, "for the first request during the drain")
	s.post(client)
	s.opened(2, "after the client was sent away")
}

func TestARequestThatIsServedWhenTheDrainBeginsIsAnswered(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-answer
		echo(w, r)
	})
	var asking, ending sync.WaitGroup
	asking.Go(func() { s.post(s.client()) })
	<-arrived
	s.Drain()
	ending.Go(func() {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	close(answer)
	asking.Wait()
	ending.Wait()
}

func TestNoWriteFailsWhileConnectionsAreClosedAllTheTime(t *testing.T) {
	var count atomic.Int32
	var s *server
	s = start(t, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1)%20 == 0 {
			s.clock.SetTime(s.clock.Now().Add(maxAge))
		}
		echo(w, r)
	})
	client := s.client()
	const clients, requests = 24, 25
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			for range requests {
				s.post(client)
			}
		})
	}
	asking.Wait()
	if got := s.connections.Load(); got <= clients {
		t.Errorf("connections: got %d, want more than one for each client", got)
	}
}

func TestAnUpgradeIsLeftAlone(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "tunnel")
		w.Header().Add("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	s.Drain()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tunnel")
	response, err := s.client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := response.Header.Values("Connection"); len(got) != 1 || got[0] != "Upgrade" {
		t.Errorf("Connection: got %q", got)
	}
}
