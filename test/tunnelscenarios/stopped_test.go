package tunnelscenarios

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// A process of agents and one of a server stand still (SIGSTOP) for longer than a link may be silent, as machines do that are suspended or swap. The
// other ends find their links dead, and tell who uses them; when the processes go on, all is as before.
func TestProcessesThatStoodStillAreBackWhenTheyGoOn(t *testing.T) {
	leavesNothing(t)
	dir, target := t.TempDir(), echoing(t)
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := func(name string) *x509.CertPool {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		return pool
	}
	signal := func(s syscall.Signal, processes ...*helper) {
		t.Helper()
		for _, p := range processes {
			if err := syscall.Kill(p.pid, s); err != nil {
				t.Fatal(err)
			}
		}
	}

	// A server here, and its agent in a process.
	ca := tunneltest.NewAuthority(t)
	write("servers.crt", ca.PEM())
	far := startHelper(t, "agents")
	far.tell(dir)
	far.hears("authority")
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(time.Now().Add(time.Hour))}, ClientCAs: pool("agents.crt")}
	here := tunneltest.Serve(t, "", server.Config{ID: "here", TLS: func() (*tls.Config, error) { return config, nil }})
	far.tell(here.Address, "1")
	far.hears("agents")
	tunneltest.Linked(t, here, node(0), 1)

	// An agent here, and its server in a process.
	write("agents.crt", ca.PEM())
	other := startHelper(t, "server")
	other.tell(dir)
	address := other.hears("address")
	trusting, err := ca.AgentTLS(m1)()
	if err != nil {
		t.Fatal(err)
	}
	trusting.RootCAs = pool("servers.crt")
	near, _ := tunneltest.Run(t, agent.Config{Servers: []string{address}, TLS: func() (*tls.Config, error) { return trusting, nil }})
	other.tell(target)
	other.hears("dialed")

	carried, err := here.Dial(t.Context(), node(0), "tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer carried.Close()
	signal(syscall.SIGSTOP, far, other)
	goOn := sync.OnceFunc(func() { signal(syscall.SIGCONT, far, other) })
	defer goOn() // they end when they are told to, and not before
	_ = carried.SetDeadline(time.Now().Add(2 * tunneltest.Patience))
	if n, err := carried.Read(make([]byte, 1)); err == nil || err == io.EOF || os.IsTimeout(err) {
		t.Errorf("what was carried ended with %d bytes, %v", n, err)
	}
	eventually(t, "both other ends have found their links dead", func() bool { return len(here.Links())+len(near.Replicas()) == 0 })
	goOn()
	tunneltest.Linked(t, here, node(0), 1)
	if err := echoed(here, node(0), target); err != nil {
		t.Error(err)
	}
	other.tell(target)
	other.hears("dialed")
}
