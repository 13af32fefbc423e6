package frontend_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

func TestAClientIsConnected(t *testing.T) {
	fx := newFixture(t, nil)
	target := listen(t, func(conn net.Conn) { // says something when it has heard all
		heard, _ := io.ReadAll(conn)
		_, _ = conn.Write(append([]byte("heard "), heard...))
	})
	type client interface {
		net.Conn
		CloseWrite() error
	}
	for kind, dial := range map[string]func() client{
		"Unix socket": func() client { return fx.dialUnix() },
		"TLS":         func() client { return fx.dialTLS(fx.tenantTLS("t1")) },
	} {
		t.Run(kind, func(t *testing.T) {
			conn := dial()
			status, body, answer, err := ask(conn, target, "Koinon-Cluster: m1")
			if err != nil || status != 200 || len(answer.Header) != 0 {
				t.Fatalf("%d %s %v: %v", status, body, answer, err)
			}
			_, _ = io.WriteString(conn, "all of it")
			_ = conn.CloseWrite()
			if got, err := io.ReadAll(conn); err != nil || string(got) != "heard all of it" {
				t.Errorf("got %q: %v", got, err)
			}
			fx.released()
		})
	}
	fx.events.mu.Lock()
	defer fx.events.mu.Unlock()
	if want := []string{"connect m1/ t1 200", "connect m1/ t1 200"}; !slices.Equal(fx.events.answered, want) {
		t.Errorf("the observer was told %q", fx.events.answered)
	}
	if want := []string{"connect m1/ t1 9 15", "connect m1/ t1 9 15"}; !slices.Equal(fx.events.ended, want) {
		t.Errorf("the observer was told %q", fx.events.ended)
	}
}

func TestEachConnectionHasALineInTheLog(t *testing.T) {
	var text bytes.Buffer
	fx := newFixture(t, func(c *frontend.Config) { c.Logger = slog.New(slog.NewJSONHandler(&text, nil)) })
	target := echoing(t)
	conn := connected(fx, fx.dialUnix(), target)
	_, _ = io.WriteString(conn, "something")
	_, _ = io.ReadFull(conn, make([]byte, 9))
	_ = conn.Close()
	if status, _, _, err := ask(fx.dialUnix(), "127.0.0.1:1"); err != nil || status != 502 {
		t.Errorf("%d: %v", status, err)
	}
	fx.released()
	fx.front.Close() // what is logged has been written then
	var lines []map[string]any
	for d := json.NewDecoder(&text); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		delete(line, "dialed")
		delete(line, "lasted")
		lines = append(lines, line)
	}
	want := []map[string]any{
		{
			"level": "INFO", "msg": "Carried a connection", "front": "connect", "tenant": "t1", "cluster": "m1", "node": "", "address": target,
			"sent": 9.0, "received": 9.0, "end": "done",
		},
		{
			"level": "INFO", "msg": "Refused a connection", "front": "connect", "tenant": "t1", "cluster": "m1", "node": "", "target": "127.0.0.1:1",
			"status": 502.0, "err": `cluster "m1": 127.0.0.1:1 cannot be reached through the tunnel: connection refused`,
		},
	}
	slices.SortFunc(lines, func(a, b map[string]any) int { return cmp.Compare(a["msg"].(string), b["msg"].(string)) })
	if diff := gocmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// dialer answers as an Opener with an error, or not before ctx ends.
type dialer struct {
	err    error
	begun  atomic.Int32
	ended  atomic.Int32
	opener frontend.Opener // for what has no error; nil hangs
}

func (d *dialer) Open(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error) {
	d.begun.Add(1)
	defer d.ended.Add(1)
	switch {
	case d.err != nil:
		return nil, &tunnel.DialError{Name: name, Address: address, Code: mux.CodeOf(d.err), Err: d.err}
	case d.opener != nil:
		return d.opener.Open(ctx, name, network, address)
	}
	<-ctx.Done()
	return nil, &tunnel.DialError{Name: name, Address: address, Code: mux.Timeout, Err: context.Cause(ctx)}
}

func TestWhoIsNotConnectedLearnsWhy(t *testing.T) {
	const at = `cluster "m1": 10.0.0.1:443 cannot be reached through the tunnel: `
	for what, test := range map[string]struct {
		err    error
		status int
		retry  string
		text   string
	}{
		"refused":              {&mux.Error{Code: mux.Refused, Text: "connection refused"}, 502, "", at + "connection refused"},
		"unreachable":          {&mux.Error{Code: mux.Unreachable, Text: "no route to host"}, 502, "", at + "no route to host"},
		"broken":               {&mux.Error{Code: mux.Broken, Text: "broken pipe"}, 502, "", at + "broken pipe"},
		"no answer in time":    {&mux.Error{Code: mux.Timeout, Text: "no answer in time"}, 504, "", at + "no answer in time"},
		"the agent's policy":   {&mux.Error{Code: mux.Denied, Text: "the agent's policy does not allow it"}, 403, "", at + "the agent's policy does not allow it"},
		"a limit of the agent": {&mux.Error{Code: mux.Overloaded, Text: "too many"}, 429, "1", at + "too many"},
		"an agent that leaves": {&mux.Error{Code: mux.Draining, Text: "it goes"}, 503, "2", at + "it goes"},
		"no agent":             {tunnel.ErrNoAgent, 503, "2", at + "no agent of it is connected"},
		"a link that was lost": {mux.ErrLost, 503, "2", at + "the link was lost"},
		"what cannot be shown": {&mux.Error{Code: mux.Refused, Text: "a\r\nSet-Cookie: ü"}, 502, "", at + "a??Set-Cookie: ?"},
		"a long story":         {&mux.Error{Code: mux.Refused, Text: strings.Repeat("x", 1000)}, 502, "", (at + strings.Repeat("x", 1000))[:512]},
	} {
		t.Run(what, func(t *testing.T) {
			fx := newFixture(t, func(c *frontend.Config) { c.Opener = &dialer{err: test.err} })
			status, body, answer, err := ask(fx.dialUnix(), "10.0.0.1:443")
			if err != nil || status != test.status || body != test.text || answer.Header.Get("Retry-After") != test.retry {
				t.Errorf("got %d %q %v: %v", status, body, answer.Header, err)
			}
			if _, reason, _ := strings.Cut(answer.Status, " "); reason != test.text {
				t.Errorf("the status line says %q", answer.Status)
			}
		})
	}
}

// A node whose agent is away is asked for as a host: both are said.
func TestAHostThatMayBeANodeIsToldToHaveNoAgent(t *testing.T) {
	const node = `; it was tried as a host, since no agent of node "n9" is connected`
	for _, test := range []struct {
		err    error
		target string
		want   string
	}{
		{&mux.Error{Code: mux.Unreachable, Text: "the agent does not find n9: no such host"}, "n9:10250", `502 cluster "m1": n9:10250 cannot be reached through the tunnel: the agent does not find n9: no such host` + node},
		{&mux.Error{Code: mux.Denied, Text: "no"}, "n9:9100", `403 cluster "m1": n9:9100 cannot be reached through the tunnel: no` + node},
		{tunnel.ErrNoAgent, "n9:10250", `503 cluster "m1": n9:10250 cannot be reached through the tunnel: no agent of it is connected` + node},
		{tunnel.ErrNoAgent, "n1:10250", `503 node "n1" of cluster "m1": kubelet cannot be reached through the tunnel: no agent of it is connected`},
		{tunnel.ErrNoAgent, "10.0.0.1:10250", `503 cluster "m1": 10.0.0.1:10250 cannot be reached through the tunnel: no agent of it is connected`},
		{tunnel.ErrNoAgent, "n9.m1.tunnel.test:10250", `503 node "n9" of cluster "m1": kubelet cannot be reached through the tunnel: no agent of it is connected`},
	} {
		fx := newFixture(t, func(c *frontend.Config) { c.Opener = &dialer{err: test.err} })
		if _, _, answer, err := ask(fx.dialUnix(), test.target); err != nil || answer.Status != test.want {
			t.Errorf("%s: got %v: %v", test.target, answer, err)
		}
	}
}

func TestWhatIsRefusedAtTheDoor(t *testing.T) {
	never := &dialer{err: errors.New("it was dialed")}
	fx := newFixture(t, func(c *frontend.Config) { c.Opener = never })
	t1 := fx.tenantTLS("t1")
	for what, test := range map[string]struct {
		tls     *tls.Config // nil is the Unix socket
		target  string
		headers []string
		status  int
		text    string
	}{
		"a bad target":                        {nil, "10.0.0.1", nil, 400, `the target "10.0.0.1" is not HOST:PORT`},
		"another cluster than the door's":     {nil, "10.0.0.1:443", []string{"Koinon-Cluster: m2"}, 403, `cluster "m2" is asked for, and cluster "m1" is all that may be reached in this way`},
		"a host of another cluster":           {nil, "m2.tunnel.test:443", nil, 403, `m2.tunnel.test is not in cluster "m1", and that is all that may be reached in this way`},
		"no cluster":                          {t1, "10.0.0.1:443", nil, 400, "nothing says which cluster 10.0.0.1:443 is in: a header Koinon-Cluster or a host of that cluster would"},
		"a cluster of another tenant":         {t1, "m2.tunnel.test:443", nil, 403, `cluster "m2": apiserver may not be reached by t1: it is another's`},
		"a cluster that is not there":         {t1, "m9.tunnel.test:443", nil, 403, `cluster "m9": apiserver may not be reached by t1: it is another's`},
		"a node that is not there":            {t1, "n9.m1.tunnel.test:10250", nil, 503, `node "n9" of cluster "m1": kubelet cannot be reached through the tunnel: no agent of it is connected`},
		"a certificate that is no tenant's":   {fx.tenantTLS("t1"), "m1.tunnel.test:443", nil, 403, "the certificate of the client: it is no tenant's"},
		"a name that is the start of another": {t1, "m.tunnel.test:443", nil, 403, `cluster "m": apiserver may not be reached by t1: it is another's`},
	} {
		t.Run(what, func(t *testing.T) {
			var conn net.Conn
			switch {
			case strings.Contains(what, "no tenant's"):
				conn = fx.dialTLS(&tls.Config{RootCAs: fx.ca.Pool(), Certificates: []tls.Certificate{fx.ca.Issue(time.Now().Add(time.Hour), m1.URI())}})
			case test.tls != nil:
				conn = fx.dialTLS(test.tls)
			default:
				conn = fx.dialUnix()
			}
			status, body, _, err := ask(conn, test.target, test.headers...)
			if err != nil || status != test.status || body != test.text {
				t.Errorf("got %d %q: %v", status, body, err)
			}
		})
	}
	if n := never.begun.Load(); n > 0 {
		t.Errorf("%d times it was dialed", n)
	}
}

func TestWithoutACertificateThereIsNoTLS(t *testing.T) {
	fx := newFixture(t, nil)
	other := tunneltest.NewAuthority(t)
	for what, certificates := range map[string][]tls.Certificate{
		"no certificate":           nil,
		"another authority's":      {other.Issue(time.Now().Add(time.Hour), m1.URI())},
		"one that has expired":     {fx.ca.Issue(time.Now().Add(-time.Minute), m1.URI())},
		"one that is for a server": {fx.ca.Issue(time.Now().Add(time.Hour))},
	} {
		t.Run(what, func(t *testing.T) {
			conn, err := tls.Dial("tcp", fx.address, &tls.Config{RootCAs: fx.ca.Pool(), Certificates: certificates})
			if err == nil {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
				_, _, _, err = ask(conn, "m1.tunnel.test:443")
			}
			if err == nil {
				t.Error("it was answered")
			}
		})
	}
	t.Run("not even by an open TCP port", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := fx.front.Serve(t.Context(), listener, frontend.Door{Client: frontend.Client{Tenant: "t1", Within: m1}}); err == nil {
			t.Error("it is served")
		}
	})
	t.Run("nor by another configuration for some clients", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		fx.serve(listener, frontend.Door{TLS: func() (*tls.Config, error) {
			config, err := fx.ca.ServerTLS()()
			config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: config.Certificates}, nil
			}
			return config, err
		}})
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: fx.ca.Pool()})
		if err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
			_, _, _, err = ask(conn, "m1.tunnel.test:443")
		}
		if err == nil {
			t.Error("it was answered")
		}
	})
	t.Run("and not without authorities", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := fx.front.Serve(t.Context(), listener, frontend.Door{TLS: func() (*tls.Config, error) { return &tls.Config{}, nil }}); err == nil {
			t.Error("it is served")
		}
	})
}

func TestATargetThatSpeaksFirstIsReadBehindTheAnswer(t *testing.T) {
	fx := newFixture(t, nil)
	target := listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "welcome") })
	for kind, dial := range map[string]func() net.Conn{
		"Unix socket": func() net.Conn { return fx.dialUnix() },
		"TLS":         func() net.Conn { return fx.dialTLS(fx.tenantTLS("t1")) },
	} {
		t.Run(kind, func(t *testing.T) {
			for n := range 50 {
				conn := dial()
				_, _ = io.WriteString(conn, "CONNECT "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nKoinon-Cluster: m1\r\n\r\n")
				if n%2 == 0 { // some are slow to read the answer, and find more than that when they do
					time.Sleep(5 * time.Millisecond)
				}
				if status, body, _, err := answered(conn); err != nil || status != 200 {
					t.Fatalf("%d %s: %v", status, body, err)
				}
				if got, err := io.ReadAll(conn); err != nil || string(got) != "welcome" {
					t.Fatalf("got %q: %v", got, err)
				}
				_ = conn.Close()
			}
		})
	}
}

func TestBytesBeforeTheAnswerAreRefused(t *testing.T) {
	d := &dialer{}
	fx := newFixture(t, func(c *frontend.Config) { c.Opener = d })
	const head = "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	t.Run("with the request", func(t *testing.T) {
		conn := fx.dialUnix()
		_, _ = io.WriteString(conn, head+"GET / HTTP/1.1\r\n\r\n")
		if status, body, _, err := answered(conn); err != nil || status != 400 {
			t.Errorf("%d %s: %v", status, body, err)
		}
	})
	t.Run("while it is dialed", func(t *testing.T) {
		conn := fx.dialUnix()
		_, _ = io.WriteString(conn, head)
		tunneltest.Eventually(t, "it is dialed", func() bool { return d.begun.Load() == 1 })
		_, _ = io.WriteString(conn, "x")
		if status, body, _, err := answered(conn); err != nil || status != 400 {
			t.Errorf("%d %s: %v", status, body, err)
		}
		tunneltest.Eventually(t, "it is dialed no more", func() bool { return d.ended.Load() == 1 })
	})
}

func TestWhoClosesWhileItIsDialedCancelsThatAtTheAgent(t *testing.T) {
	for kind, dial := range map[string]func(*fixture) net.Conn{
		"Unix socket": func(fx *fixture) net.Conn { return fx.dialUnix() },
		"TLS":         func(fx *fixture) net.Conn { return fx.dialTLS(fx.tenantTLS("t1")) },
	} {
		t.Run(kind, func(t *testing.T) {
			fx := newFixture(t, nil)
			target := tunneltest.Deaf(t)
			conn := dial(fx)
			_, _ = io.WriteString(conn, "CONNECT "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nKoinon-Cluster: m1\r\n\r\n")
			tunneltest.Eventually(t, "the agent connects", func() bool { return tunneltest.Connecting(t, target) == 1 })
			_ = conn.Close()
			tunneltest.Eventually(t, "the agent does not connect any more", func() bool { return tunneltest.Connecting(t, target) == 0 })
			fx.released()
			tunneltest.Eventually(t, "the observer was told that the client left, and not that the agent gave up", func() bool {
				fx.events.mu.Lock()
				defer fx.events.mu.Unlock()
				return slices.Equal(fx.events.answered, []string{"connect m1/ t1 499"})
			})
		})
	}
}

func TestATargetThatDoesNotAnswerIsATimeout(t *testing.T) {
	for what, opener := range map[string]frontend.Opener{"the target": nil, "the agent": &dialer{}} {
		t.Run(what, func(t *testing.T) {
			fx := newFixture(t, func(c *frontend.Config) {
				if opener != nil {
					c.Opener = opener
				}
				c.Timeouts = func(tunnel.Name) frontend.Timeouts { return frontend.Timeouts{Connect: 200 * time.Millisecond} }
			})
			if status, body, _, err := ask(fx.dialUnix(), tunneltest.Deaf(t)); err != nil || status != 504 {
				t.Errorf("%d %s: %v", status, body, err)
			}
		})
	}
}

func TestAHeadThatIsTooLongOrTooSlowIsRefused(t *testing.T) {
	fx := newFixture(t, nil)
	t.Run("too long", func(t *testing.T) {
		conn := fx.dialTLS(fx.tenantTLS("t1"))
		go func() {
			_, _ = io.WriteString(conn, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nX: "+strings.Repeat("x", 64<<10))
		}()
		if status, _, _, err := answered(conn); err != nil || status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d: %v", status, err)
		}
	})
	t.Run("too slow", func(t *testing.T) {
		t.Parallel()
		conn := fx.dialUnix()
		stop := make(chan struct{})
		defer close(stop)
		go func() { // a byte now and then
			for _, b := range "CONNECT 10.0.0.1:443 HTTP/1.1\r\nX: " + strings.Repeat("x", 100) {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Millisecond):
					_, _ = conn.Write([]byte{byte(b)})
				}
			}
		}()
		if status, _, _, err := answered(conn); err != nil || status != http.StatusRequestTimeout {
			t.Errorf("%d: %v", status, err)
		}
	})
	t.Run("no TLS at all", func(t *testing.T) {
		t.Parallel()
		conn, err := net.Dial("tcp", fx.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
		if _, err := io.ReadAll(conn); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Error("it waits for ever")
		}
	})
}

func TestLimitsAreOfNamesAndOfTenants(t *testing.T) {
	d := &dialer{}
	fx := newFixture(t, func(c *frontend.Config) {
		d.opener = c.Opener
		c.Opener = d
		c.NameLimits = func(tunnel.Name) frontend.Limits { return frontend.Limits{Connections: 2} }
		c.TenantLimits = func(string) frontend.Limits { return frontend.Limits{Connections: 3} }
	})
	target := echoing(t)
	first, second := connected(fx, fx.dialUnix(), target), connected(fx, fx.dialUnix(), target)
	defer second.Close()
	status, body, answer, err := ask(fx.dialUnix(), target)
	if want := `cluster "m1" has 2 connections, as many as may be`; err != nil || status != 429 || body != want || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %q: %v", status, body, err)
	}
	_ = first.Close()
	tunneltest.Eventually(t, "there is room again", func() bool {
		conn := fx.dialUnix()
		status, _, _, err := ask(conn, target)
		_ = conn.Close()
		return err == nil && status == 200
	})
}

func TestDialsThatWaitAreLimited(t *testing.T) {
	d := &dialer{}
	fx := newFixture(t, func(c *frontend.Config) {
		c.Opener = d
		c.TenantLimits = func(string) frontend.Limits { return frontend.Limits{Dials: 1} }
	})
	waits := fx.dialUnix()
	_, _ = io.WriteString(waits, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	tunneltest.Eventually(t, "it is dialed", func() bool { return d.begun.Load() == 1 })
	status, body, _, err := ask(fx.dialUnix(), "10.0.0.1:443")
	if want := `tenant "t1" has 1 dials that are not answered yet, as many as may be`; err != nil || status != 429 || body != want {
		t.Errorf("%d %q: %v", status, body, err)
	}
}

func TestAnIdleConnectionEnds(t *testing.T) {
	fx := newFixture(t, func(c *frontend.Config) {
		c.Timeouts = func(tunnel.Name) frontend.Timeouts { return frontend.Timeouts{Idle: 400 * time.Millisecond} }
	})
	conn := connected(fx, fx.dialUnix(), echoing(t))
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("got %q: %v", got, err)
	}
	fx.released()
}

func TestCloseEndsWhatIsCarriedAndWhatIsDialed(t *testing.T) {
	d := &dialer{}
	fx := newFixture(t, func(c *frontend.Config) { d.opener = c.Opener })
	conn := connected(fx, fx.dialUnix(), hanging(t))
	secure := fx.dialTLS(fx.tenantTLS("t1"))
	if status, body, _, err := ask(secure, hanging(t), "Koinon-Cluster: m1"); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	drained, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	fx.front.Drain(drained)
	if n := fx.front.Carried(); n != 2 {
		t.Errorf("after draining %d are carried", n)
	}
	fx.front.Close()
	for _, c := range []net.Conn{conn, secure} {
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("it is carried on")
		}
	}
	fx.released()
}

func TestATargetThatResetsAndAClientThatDoes(t *testing.T) {
	fx := newFixture(t, nil)
	t.Run("the target", func(t *testing.T) {
		conn := fx.dialTLS(fx.tenantTLS("t1"))
		target := listen(t, func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 1))
			_ = conn.(*net.TCPConn).SetLinger(0)
		})
		if status, body, _, err := ask(conn, target, "Koinon-Cluster: m1"); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		_, _ = io.WriteString(conn, "x")
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the client takes it for an end: %v", err)
		}
		fx.released()
	})
	t.Run("the client", func(t *testing.T) {
		ended := make(chan error, 1)
		target := listen(t, func(conn net.Conn) {
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		})
		conn := fx.dialTLS(fx.tenantTLS("t1"))
		if status, body, _, err := ask(conn, target, "Koinon-Cluster: m1"); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		raw := conn.NetConn().(*net.TCPConn)
		_ = raw.SetLinger(0)
		_ = raw.Close()
		if err := <-ended; err == nil {
			t.Error("the target takes it for an end")
		}
		fx.released()
	})
}
