package agent_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

var m1 = tunnel.Name{Cluster: "m1"}

// run runs an agent until the test ends, and returns the address of an echo that it may dial.
func run(t *testing.T, config agent.Config) (a *agent.Agent, echo string) {
	t.Helper()
	a, _ = tunneltest.Run(t, config)
	return a, tunneltest.Target(t, "")
}

func TestANewCertificateReplacesTheLinkAndKeepsItsStreams(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	var current atomic.Pointer[tls.Config]
	first, _ := tn.AgentTLS(t, m1)()
	current.Store(first)
	a, echo := run(t, agent.Config{Servers: []string{tn.Address}, TLS: func() (*tls.Config, error) { return current.Load(), nil }})
	before := tn.Linked(t, m1, 1)[0]
	conn, err := tn.Dial(t.Context(), m1, "tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))

	tn.SetClock(time.Hour)
	second, _ := tn.AgentTLS(t, m1)()
	current.Store(second)
	stopDialing := make(chan struct{})
	var dialing sync.WaitGroup
	dialing.Go(func() { // nothing that is new fails meanwhile
		for {
			select {
			case <-stopDialing:
				return
			default:
			}
			conn, err := tn.Dial(t.Context(), m1, "tcp", echo)
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		}
	})
	a.Reconnect()
	for _, l := range tn.Linked(t, m1, 2) {
		if l.Since.Equal(before.Since) == l.ValidUntil.After(before.ValidUntil) {
			t.Errorf("the link since %s has a certificate until %s", l.Since, l.ValidUntil)
		}
	}
	authoritytest.Eventually(t, "the old one wants nothing new", func() bool {
		links := tn.Linked(t, m1, 2)
		return links[0].Draining && !links[1].Draining
	})
	if _, err := io.WriteString(conn, "still here"); err != nil {
		t.Error(err)
	}
	got := make([]byte, len("still here"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "still here" {
		t.Errorf("what the old link carries ended: %q, %v", got, err)
	}
	_ = conn.Close()
	if left := tn.Linked(t, m1, 1)[0]; !left.ValidUntil.After(before.ValidUntil) {
		t.Error("the link with the old certificate is the one that is left")
	}
	close(stopDialing)
	dialing.Wait()
}

func TestALinkThatWasMadeWhileTheCertificateChangedIsReplacedToo(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	first, _ := tn.AgentTLS(t, m1)()
	tn.SetClock(time.Hour)
	second, _ := tn.AgentTLS(t, m1)()
	var a *agent.Agent
	asked, ready := atomic.Int32{}, make(chan struct{})
	a, _ = run(t, agent.Config{Servers: []string{tn.Address}, TLS: func() (*tls.Config, error) {
		<-ready
		if asked.Add(1) > 1 {
			return second, nil
		}
		a.Reconnect() // there is another by now
		return first, nil
	}})
	close(ready)
	authoritytest.Eventually(t, "it has one link, with the new certificate", func() bool {
		links := tn.Links()
		return len(links) == 1 && links[0].ValidUntil.Equal(second.Certificates[0].Leaf.NotAfter)
	})
}

// log is what an agent says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) says(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), what)
}

func TestAnAgentThatIsRefusedSaysWhy(t *testing.T) {
	other := authoritytest.Start(t, nil)
	for what, test := range map[string]struct {
		tls  func(*testing.T, *authoritytest.Tunnel) func() (*tls.Config, error)
		do   func(*authoritytest.Tunnel)
		want string
	}{
		"it was revoked": {
			func(t *testing.T, tn *authoritytest.Tunnel) func() (*tls.Config, error) { return tn.AgentTLS(t, m1) },
			func(tn *authoritytest.Tunnel) { tn.Revoke(m1, errors.New("its certificate was revoked")) },
			`the server refuses this agent: cluster \"m1\": its certificate was revoked`,
		},
		"its certificate has expired": {
			func(t *testing.T, tn *authoritytest.Tunnel) func() (*tls.Config, error) {
				tn.SetClock(-30 * 24 * time.Hour)
				return tn.AgentTLS(t, m1)
			},
			func(*authoritytest.Tunnel) {},
			"it has expired, or the clock of one of the two is wrong",
		},
		"it is another server's": {
			func(t *testing.T, tn *authoritytest.Tunnel) func() (*tls.Config, error) {
				config, _ := other.AgentTLS(t, m1)()
				config = config.Clone()
				config.RootCAs = tn.Servers.Pool()
				return func() (*tls.Config, error) { return config, nil }
			},
			func(*authoritytest.Tunnel) {},
			"the server does not know the authority of this agent's certificate",
		},
	} {
		t.Run(what, func(t *testing.T) {
			tn, said := authoritytest.Start(t, nil), &log{}
			test.do(tn)
			run(t, agent.Config{Servers: []string{tn.Address}, TLS: test.tls(t, tn), Logger: slog.New(slog.NewTextHandler(said, nil))})
			authoritytest.Eventually(t, "it says "+test.want, func() bool { return said.says(test.want) })
			tn.Linked(t, m1, 0)
		})
	}
}

func TestAnAgentThatGoesIsNotChosenAndCarriesWhatItHas(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	a, echo := run(t, agent.Config{Servers: []string{tn.Address}, TLS: tn.AgentTLS(t, m1)})
	tn.Linked(t, m1, 1)
	conn, err := tn.Dial(t.Context(), m1, "tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a.Drain(time.Minute)
	authoritytest.Eventually(t, "its link wants nothing new", func() bool { return tn.Links()[0].Draining })
	if n := a.Status().Streams(); n != 1 {
		t.Errorf("it carries %d", n)
	}
	var failed *tunnel.DialError
	const want = `the agent is shutting down`
	if _, err := tn.Dial(t.Context(), m1, "tcp", echo); !errors.As(err, &failed) || failed.Code != mux.Draining || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("what is new ends with %v, and not with %q", err, want)
	}
	_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))
	_, _ = io.WriteString(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("what it carries ended: %v", err)
	}
	_ = conn.Close()
	authoritytest.Eventually(t, "it carries nothing", func() bool { return a.Status().Streams() == 0 })
	if s := a.Status(); s.Received == 0 || s.Sent == 0 {
		t.Errorf("it says that it has carried %d and %d bytes", s.Received, s.Sent)
	}
}
