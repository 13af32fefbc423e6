package upstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestARequestGoesToTheServerThatIsChosen(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL + "/k8s/clusters/c"}}, CAs: ca.pools, Proxy: noProxy})
	for target, want := range map[string]string{
		"/api/v1/nodes?limit=5":                      "/k8s/clusters/c/api/v1/nodes?limit=5",
		"http://10.0.0.1/api/v1/namespaces/a%2Fb":    "/k8s/clusters/c/api/v1/namespaces/a%2Fb",
		"https://user:password@127.0.0.1:1/version?": "/k8s/clusters/c/version",
	} {
		got, err := get(t, u.Transport(Forwarded()), target, http.Header{"Host": {"elsewhere"}})
		if want := `a: certificate none, authorization "", HTTP/2, host true, ` + want; err != nil || got != want && got != want+"?" {
			t.Errorf("%s:\n got %s, %v\nwant %s", target, got, err, want)
		}
	}
}

func TestAServerThatDiesIsLeftAndAllThatRunsThereEnds(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a, b := serve(t, ca, "a", nil), serve(t, ca, "b", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL, Priority: 1}, {URL: b.URL, Priority: 2}}, CAs: ca.pools, Proxy: noProxy})
	node := u.Transport(Forwarded())
	until(t, u, "both are well", func() bool { return healthy(u, a.URL) && healthy(u, b.URL) })
	who, ends := watch(t, node)
	if who != "a" {
		t.Fatalf("the watch is of %s", who)
	}
	_ = a.Config.Close()
	if err := await(t, "the watch to end", ends); err == nil || err == io.EOF {
		t.Errorf("the watch has ended as if it had come to its end: %v", err)
	}
	until(t, u, "the other is chosen", func() bool { return chosen(u) == b.URL })
	if who, _ := watch(t, node); who != "b" {
		t.Errorf("the watch is of %s", who)
	}
}

func TestAServerThatAnswers500IsLeftAndItsWatchesEnd(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a, b := serve(t, ca, "a", nil), serve(t, ca, "b", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL, Priority: 1}, {URL: b.URL, Priority: 2}}, CAs: ca.pools, Proxy: noProxy})
	node := u.Transport(Forwarded())
	until(t, u, "both are well", func() bool { return healthy(u, a.URL) && healthy(u, b.URL) })
	_, ends := watch(t, node)
	a.ready.Store(http.StatusInternalServerError)
	const why = "it answers GET /readyz with 500 Internal Server Error"
	if err := await(t, "the watch to end", ends); err == nil || err == io.EOF {
		t.Errorf("the watch has ended as if it had come to its end: %v", err)
	}
	until(t, u, "the other is chosen", func() bool { return chosen(u) == b.URL })
	eventually(t, func() string { return fmt.Sprintf("%+v says why", u.Status()[0]) }, func() bool {
		got := u.Status()[0]
		return got.Err != nil && got.Err.Error() == why && !got.Since.IsZero()
	})
	eventually(t, func() string { return "the server to see the watch end" }, func() bool { return a.watching.Load() == 0 })
}

func TestABlackHoleIsLeftAndAllThatHangsThereEnds(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a, b := serve(t, ca, "a", nil), serve(t, ca, "b", nil)
	link := newRelay(t, a)
	u, _ := start(t, Config{Servers: []Server{{URL: link.url(), Priority: 1}, {URL: b.URL, Priority: 2}}, CAs: ca.pools, Proxy: noProxy})
	node := u.Transport(Forwarded())
	until(t, u, "both are well", func() bool { return healthy(u, link.url()) && healthy(u, b.URL) })
	_, watches := watch(t, node)
	exec := upgrade(t, node)
	began := time.Now()
	link.freeze()
	asked := make(chan error, 1)
	go func() { // ends with the answer
		_, err := get(t, node, "/api/v1/nodes", nil)
		asked <- err
	}()
	if err := await(t, "the watch to end", watches); err == nil || err == io.EOF {
		t.Errorf("the watch has ended as if it had come to its end: %v", err)
	}
	t.Logf("noticed after %s", time.Since(began))
	if err := await(t, "the request to end", asked); err == nil {
		t.Error("the request has an answer")
	}
	if _, err := exec.Read(make([]byte, 1)); err == nil {
		t.Error("what was upgraded goes on")
	}
	if got, err := get(t, node, "/", nil); err != nil || !strings.HasPrefix(got, "b:") {
		t.Errorf("got %q, %v", got, err)
	}
	link.thaw()
	until(t, u, "it is back", func() bool { return healthy(u, link.url()) })
}

func TestTheOnlyServerMayBeAwayAndThenRequestsFailAtOnce(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	link := newRelay(t, a)
	u, _ := start(t, Config{Servers: []Server{{URL: link.url(), Priority: 1}}, CAs: ca.pools, Proxy: noProxy})
	node := u.Transport(Forwarded())
	until(t, u, "it is well", u.Available)
	link.freeze()
	began := time.Now()
	until(t, u, "it is lost", func() bool { return !u.Available() })
	t.Logf("noticed after %s", time.Since(began))
	for range 1000 { // each would hang
		if _, err := get(t, node, "/", nil); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), link.url()+": ") {
			t.Fatalf("got %v", err)
		}
	}
	link.thaw()
	until(t, u, "it is back", u.Available)
	if _, err := get(t, node, "/", nil); err != nil {
		t.Error(err)
	}
}

func TestALinkThatIsBusyIsNoBlackHole(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	u := create(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy})
	a.ready.Store(hangs)
	const patience = 500 * time.Millisecond
	if _, err := u.askReady(t.Context(), u.servers[0], patience); err == nil || err.Error() != "it has not answered within 500ms" {
		t.Errorf("an idle one: got %v", err)
	}
	flood, err := open(t, u.Transport(Forwarded()), "/flood", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, flood.Body) }() // ends with the body
	if _, err := u.askReady(t.Context(), u.servers[0], patience); err != nil {
		t.Errorf("a busy one: got %v", err)
	}
	_ = flood.Body.Close()
}

func TestWhatKeepsAServerFromBeingAskedIsASentence(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	expired, elsewhere := localhost, localhost
	expired.NotBefore, expired.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	elsewhere.IPAddresses, elsewhere.DNSNames = nil, []string{"cloud.example.org"}
	as := func(certificate *tls.Certificate) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates = []tls.Certificate{*certificate} }
	}
	for what, test := range map[string]struct {
		change func(*tls.Config)
		status int
		want   string // empty: it is well
	}{
		"it is well":                   {nil, 200, ""},
		"nobody may ask":               {nil, 401, ""},
		"not everybody may ask":        {nil, 403, ""},
		"it has much to do":            {nil, 429, ""},
		"it begins":                    {nil, 500, "it answers GET /readyz with 500 Internal Server Error"},
		"its proxy has no server":      {nil, 503, "it answers GET /readyz with 503 Service Unavailable"},
		"a portal answers":             {nil, 302, "it answers GET /readyz with 302 Found"},
		"it is no API server":          {nil, 404, "it answers GET /readyz with 404 Not Found"},
		"another authority":            {as(other.sign(t, &localhost)), 200, "of an authority that is not trusted here"},
		"an expired certificate":       {as(ca.sign(t, &expired)), 200, "this machine's clock says " + stamp(time.Now())[:10]},
		"another name":                 {as(ca.sign(t, &elsewhere)), 200, "its certificate is for other names than the one in the URL"},
		"it wants another certificate": {func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, other.pool() }, 200, "perhaps since it does not believe the certificate of this node"},
		"it knows old TLS only":        {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 }, 200, "tls: "},
	} {
		t.Run(what, func(t *testing.T) {
			s := serve(t, ca, "a", test.change)
			s.ready.Store(int32(test.status))
			node := Certificate(func() (*tls.Certificate, error) { return ca.client(t, "node"), nil })
			u, _ := start(t, Config{Servers: []Server{{URL: s.URL}}, CAs: ca.pools, Proxy: noProxy, Probe: node})
			is := func() bool {
				u.servers[0].kick() // the server's reason may be lost when it closes
				got := u.Status()[0]
				return test.want == "" && got.Healthy || test.want != "" && got.Err != nil && strings.Contains(got.Err.Error(), test.want)
			}
			eventually(t, func() string { return fmt.Sprintf("%q; it says: %v", test.want, u.Status()[0].Err) }, is)
			if test.want == "" {
				return
			}
			if _, err := get(t, u.Transport(Forwarded()), "/", nil); !errors.Is(err, ErrAway) {
				t.Errorf("a request: %v", err)
			}
		})
	}
}

func TestWhoAsksAndWhoIsAskedIsNeverMixed(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a, b := serve(t, ca, "a", nil), serve(t, ca, "b", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL, Priority: 1}, {URL: b.URL, Priority: 2}}, CAs: ca.pools, Proxy: noProxy})
	node := ca.client(t, "node")
	ways := map[string]http.RoundTripper{
		`certificate node, authorization ""`:             u.Transport(Certificate(func() (*tls.Certificate, error) { return node, nil })),
		`certificate none, authorization "Bearer hub"`:   u.Transport(Token(func() (string, error) { return "hub", nil })),
		`certificate none, authorization "Bearer pod-1"`: u.Transport(Forwarded()),
		`certificate none, authorization ""`:             u.Transport(Credential{}),
	}
	var all sync.WaitGroup
	for range 25 {
		for want, via := range ways {
			all.Go(func() {
				header := http.Header{}
				if strings.Contains(want, "pod") {
					header.Set("Authorization", "Bearer pod-1")
				}
				for answers, deadline := 0, time.Now().Add(patience); answers < 5 && !t.Failed(); {
					changed := u.Changes()
					switch got, err := get(t, via, "/", header); {
					case err == nil && strings.Contains(got, want):
						answers++
					case err == nil:
						t.Errorf("got %s, want %s", got, want)
					case time.Now().After(deadline):
						t.Errorf("%s: %v", want, err)
					default: // it was on a server that was lost
						select {
						case <-changed:
						case <-time.After(100 * time.Millisecond):
						}
					}
				}
			})
		}
	}
	a.ready.Store(500)
	u.servers[0].kick() // all move in the middle
	all.Wait()
}

func TestARequestWithATokenIsNotMadeAsSomebodyElse(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy})
	node := ca.client(t, "node")
	for what, via := range map[string]http.RoundTripper{
		"the node's certificate": u.Transport(Certificate(func() (*tls.Certificate, error) { return node, nil })),
		"the hub's token":        u.Transport(Token(func() (string, error) { return "hub", nil })),
		"nobody":                 u.Transport(Credential{}),
	} {
		for _, header := range []http.Header{
			{"Authorization": {"Bearer pod"}}, {"authorization": {"Bearer pod"}}, {"AUTHORIZATION": {""}}, {"Authorization": nil},
			{"Sec-Websocket-Protocol": {"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.cG9k"}}, {"Sec-WebSocket-Protocol": {"x", "base64url.bearer.authorization.k8s.io.cG9k"}},
		} {
			body := &closes{}
			request := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: header, Body: body}
			if _, err := via.RoundTrip(request.WithContext(t.Context())); !errors.Is(err, ErrOwnCredential) || !body.closed {
				t.Errorf("%s, %v: got %v, body closed: %t", what, header, err, body.closed)
			}
		}
	}
}

// closes is a body that says whether it was closed.
type closes struct{ closed bool }

func (c *closes) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closes) Close() error             { c.closed = true; return nil }

func TestWhoHasNoCredentialIsNobodyElse(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	none := errors.New("none yet")
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy})
	for what, via := range map[string]http.RoundTripper{
		"a certificate that fails": u.Transport(Certificate(func() (*tls.Certificate, error) { return nil, none })),
		"no certificate":           u.Transport(Certificate(func() (*tls.Certificate, error) { return nil, nil })),
		"a token that fails":       u.Transport(Token(func() (string, error) { return "", none })),
	} {
		if got, err := get(t, via, "/", nil); err == nil {
			t.Errorf("%s: got %s", what, got)
		}
	}
}

func TestWhoHasNoCredentialYetReachesAServerToAskForOne(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	none := errors.New("none yet")
	for what, probe := range map[string]Credential{
		"a certificate": Certificate(func() (*tls.Certificate, error) { return nil, none }),
		"a token":       Token(func() (string, error) { return "", none }),
	} {
		u, _ := start(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy, Probe: probe})
		until(t, u, what+": it is well", u.Available)
	}
}

func TestANewCertificateIsShownAndTheOneBeforeIsNotForLong(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	var current atomic.Pointer[tls.Certificate]
	current.Store(ca.client(t, "first"))
	u := create(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy})
	u.retireAfter = 0
	node := u.Transport(Certificate(func() (*tls.Certificate, error) { return current.Load(), nil }))
	shows := func(want string) {
		t.Helper()
		if got, err := get(t, node, "/", nil); err != nil || !strings.Contains(got, "certificate "+want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	shows("first")
	_, ends := watch(t, node)
	same := *current.Load()
	current.Store(&same)
	shows("first")
	select {
	case err := <-ends:
		t.Fatalf("the same certificate has ended a watch: %v", err)
	default:
	}
	current.Store(ca.client(t, "second"))
	shows("second")
	if err := await(t, "the watch of the first to end", ends); !errors.Is(err, errReplaced) {
		t.Errorf("got %v", err)
	}
	_, ends = watch(t, node)
	current.Store(ca.client(t, "third"))
	node.(*transport).refresh() // nobody asks
	if err := await(t, "the watch of the second to end", ends); !errors.Is(err, errReplaced) {
		t.Errorf("got %v", err)
	}
	shows("third")
}

func TestAnAuthorityThatIsAddedIsBelievedAndOneThatIsRemovedIsNot(t *testing.T) {
	t.Parallel()
	old, next := newAuthority(t), newAuthority(t)
	a := serve(t, next, "a", nil)
	var current atomic.Pointer[x509.CertPool]
	current.Store(old.pool())
	u := create(t, Config{Servers: []Server{{URL: a.URL}}, CAs: func() (*x509.CertPool, error) { return current.Load(), nil }, Proxy: noProxy})
	node := u.Transport(Forwarded())
	believed := func(want bool) {
		t.Helper()
		if _, err := get(t, node, "/", nil); (err == nil) != want {
			t.Errorf("believed: want %t, got %v", want, err)
		}
	}
	believed(false)
	both := old.pool()
	both.AddCert(next.certificate)
	current.Store(both)
	believed(true)
	current.Store(old.pool())
	believed(false)
	current.Store(nil)
	believed(false)
}

// upgrade asks for another protocol, and checks that it is there.
func upgrade(t *testing.T, via http.RoundTripper) io.ReadWriteCloser {
	t.Helper()
	response, err := open(t, via, "/api/v1/namespaces/a/pods/b/exec?command=c", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s", response.Status)
	}
	conn, ok := response.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("nothing can be written: %T", response.Body)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestAnUpgradeGoesThroughAReverseProxy(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy})
	if got, err := get(t, u.Transport(Forwarded()), "/", nil); err != nil || !strings.Contains(got, "HTTP/2") {
		t.Fatalf("got %s, %v", got, err)
	}
	hub := httptest.NewServer(&httputil.ReverseProxy{Transport: u.Transport(Forwarded()), Rewrite: func(*httputil.ProxyRequest) {}})
	t.Cleanup(hub.Close)
	for _, protocol := range []string{"SPDY/3.1", "websocket"} {
		conn, err := net.Dial("tcp", hub.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "GET /exec HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		from := bufio.NewReader(conn)
		response, err := http.ReadResponse(from, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Upgrade") != protocol {
			t.Fatalf("%s: got %v, %v", protocol, response, err)
		}
		sent, got := bytes.Repeat([]byte("much "), 100_000), make([]byte, 500_000)
		go func() { _, _ = conn.Write(sent) }() // ends with the connection
		if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(sent, got) {
			t.Errorf("%s: what comes back is not what was sent: %v", protocol, err)
		}
	}
}

func TestAProxyIsHonoured(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	link := newRelay(t, a) // what is behind the proxy
	var connects atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || "https://"+r.Host != a.URL {
			http.Error(w, "it is for the API server alone", http.StatusForbidden)
			return
		}
		connects.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		link.carry(t.Context(), conn)
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: func(*http.Request) (*url.URL, error) { return at, nil }})
	until(t, u, "it is well", u.Available)
	if got, err := get(t, u.Transport(Forwarded()), "/", http.Header{"Authorization": {"Bearer pod"}}); err != nil || !strings.Contains(got, `authorization "Bearer pod", HTTP/2`) {
		t.Errorf("got %s, %v", got, err)
	}
	upgrade(t, u.Transport(Forwarded()))
	if connects.Load() < 3 { // of the probe, the request and the upgrade
		t.Errorf("the proxy was asked %d times", connects.Load())
	}
}

func TestNothingIsLeftAfterTheEnd(t *testing.T) {
	ca := newAuthority(t)
	a, b := serve(t, ca, "a", nil), serve(t, ca, "b", nil)
	before := runtime.NumGoroutine()
	u, stop := start(t, Config{Servers: []Server{{URL: a.URL, Priority: 1}, {URL: b.URL, Priority: 2}}, CAs: ca.pools, Proxy: noProxy})
	node := u.Transport(Forwarded())
	var watches []<-chan error
	for range 20 {
		_, ends := watch(t, node)
		watches = append(watches, ends)
	}
	upgrade(t, node)
	stop()
	for _, ends := range watches {
		if err := await(t, "a watch to end", ends); !errors.Is(err, errEnded) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := get(t, node, "/", nil); !errors.Is(err, errEnded) {
		t.Errorf("after the end: %v", err)
	}
	eventually(t, func() string {
		stacks := make([]byte, 1<<20)
		return fmt.Sprintf("%d goroutines as before; there are %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
	}, func() bool { return runtime.NumGoroutine() <= before })
}
