package frontend_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/agent"

	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// idleConnections are carried while memory is measured; idleBytes is what each may cost the server, and idleTLSBytes what crypto/tls and the
// certificate come to beside that.
const (
	idleConnections = 1000
	idleBytes       = 8 << 10
	idleTLSBytes    = 20 << 10
)

// farEnd is set for the process that has the agent, the target and the clients: what is measured is the server's alone.
const farEnd = "KOINON_TEST_FAR_END"

func TestMain(m *testing.M) {
	if dir := os.Getenv(farEnd); dir != "" {
		if err := beFarEnd(dir, os.Args[len(os.Args)-3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beFarEnd runs an agent, and then, when a line comes, clients that are connected and do nothing until the input ends.
func beFarEnd(dir string, args []string) error {
	address, socket, secure := args[0], args[1], args[2]
	ca, err := os.ReadFile(dir + "/ca.crt")
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(dir+"/tls.crt", dir+"/tls.key")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
	policy, err := agent.NewPolicy(nil, "127.0.0.1:*")
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Config{
		Servers: []string{address}, TLS: func() (*tls.Config, error) { return config, nil }, Policy: policy, MaxStreams: 2 * idleConnections, Logger: tunneltest.Quiet,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = a.Run(ctx) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var kept []net.Conn // what nobody holds is closed
	go func() {
		var accepted []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, conn)
			runtime.KeepAlive(accepted)
		}
	}()
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			runtime.KeepAlive(kept)
			return nil
		}
		for range idleConnections {
			var conn net.Conn
			if line == "unix\n" {
				conn, err = net.Dial("unix", socket)
			} else {
				conn, err = tls.Dial("tcp", secure, config)
			}
			if err != nil {
				return err
			}
			kept = append(kept, conn)
			if status, body, _, err := ask(conn, listener.Addr().String(), "Koinon-Cluster: m1"); err != nil || status != 200 {
				return fmt.Errorf("%d %s: %w", status, body, err)
			}
		}
		fmt.Println("ready")
	}
}

func TestAnIdleConnectionIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a process of its own")
	}
	for kind, most := range map[string]uint64{"unix": idleBytes, "tls": idleBytes + idleTLSBytes} {
		t.Run(kind, func(t *testing.T) {
			fx := newFixture(t, nil)
			fx.stop()
			tunneltest.Eventually(t, "the agent of this process is gone", func() bool { return len(fx.server.Links()) == 0 })
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/ca.crt", fx.ca.PEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			// One certificate is the agent's, and a tenant's too.
			fx.policy.tenants["t1"] = "m1"
			tunneltest.WritePair(t, dir, fx.ca.Issue(time.Now().Add(time.Hour), m1.URI(), tenantURI("t1")))
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			far := exec.CommandContext(t.Context(), program, fx.server.Address, fx.unix, fx.address)
			far.Env = append(os.Environ(), farEnd+"="+dir)
			far.Stderr = os.Stderr
			in, err := far.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := far.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := far.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = in.Close(); _ = far.Wait() })
			tunneltest.Eventually(t, "the agent of the other process is there", func() bool { return len(fx.server.Links()) == 1 })
			before := inUse()
			_, _ = io.WriteString(in, kind+"\n")
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatalf("the other process says %q: %v", line, err)
			}
			tunneltest.Eventually(t, "all are carried", func() bool { return fx.front.Carried() == idleConnections })
			each := (inUse() - before) / idleConnections
			t.Logf("%d bytes for each idle connection", each)
			if each > most && !raced {
				t.Errorf("an idle connection takes %d bytes, and may take %d", each, most)
			}
		})
	}
}

// inUse is the memory that is in use, when what is not has been given back.
func inUse() uint64 {
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse + m.MSpanInuse + m.OtherSys
}
