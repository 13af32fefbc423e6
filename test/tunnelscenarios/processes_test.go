package tunnelscenarios

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// What an idle agent and an idle connection on a Unix socket may cost the server, in bytes of heap and stacks.
const (
	agentBytes      = 60 << 10
	connectionBytes = 12 << 10
)

// roleVariable is set for processes that have the agents, the targets and the clients: what is measured is the server's alone, and no
// process needs more files than a system gives.
const roleVariable = "KOINON_TEST_ROLE"

// helper is such a process. It is told and says lines.
type helper struct {
	t      *testing.T
	role   string
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	pid    int
	closed func()
}

func startHelper(t *testing.T, role string) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRole$", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helper{t: t, role: role, stdin: stdin, lines: bufio.NewScanner(stdout), pid: cmd.Process.Pid}
	h.closed = sync.OnceFunc(func() { // it ends when its input does
		_ = stdin.Close()
		for h.lines.Scan() {
		}
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("%s: %v", role, err)
		}
	})
	t.Cleanup(h.closed)
	return h
}

func (h *helper) tell(words ...string) { _, _ = io.WriteString(h.stdin, strings.Join(words, " ")+"\n") }

// hears waits for a line that begins with a word, and returns the rest.
func (h *helper) hears(word string) string {
	h.t.Helper()
	for h.lines.Scan() {
		if rest, ok := strings.CutPrefix(h.lines.Text(), word+" "); ok {
			return rest
		}
	}
	h.t.Fatalf("%s does not say %q", h.role, word)
	return ""
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("memory of processes is not known here")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, _ = fmt.Sscanf(rest, "%d", &bytes)
	return bytes << 10
}

// TestRole is what such a process does.
func TestRole(t *testing.T) {
	role := os.Getenv(roleVariable)
	if role == "" {
		t.Skip("it is for processes of other tests")
	}
	in := bufio.NewScanner(os.Stdin)
	listen := func() []string {
		if !in.Scan() {
			return nil
		}
		return strings.Fields(in.Text())
	}
	map[string]func(*testing.T, func() []string){"agents": beAgents, "targets": beTargets, "clients": beClients, "server": beServer}[role](t, listen)
}

// beAgents runs agents of nodes of m1. It is told a directory, the server's address and how many.
func beAgents(t *testing.T, next func() []string) {
	ca := tunneltest.NewAuthority(t)
	dir := next()[0]
	if err := os.WriteFile(filepath.Join(dir, "agents.crt"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Println("authority is there")
	told := next()
	text, err := os.ReadFile(filepath.Join(dir, "servers.crt"))
	if err != nil {
		t.Fatal(err)
	}
	servers := x509.NewCertPool()
	servers.AppendCertsFromPEM(text)
	n := 0
	_, _ = fmt.Sscan(told[1], &n)
	for i := range n {
		config, _ := ca.AgentTLS(node(i))()
		config.RootCAs = servers
		tunneltest.Run(t, agent.Config{Servers: told[:1], TLS: func() (*tls.Config, error) { return config, nil }, MaxStreams: 10_000})
	}
	fmt.Println("agents run")
	next()
}

// beServer is a server, which dials for each line, an agent of m1. It is told a directory.
func beServer(t *testing.T, next func() []string) {
	ca := tunneltest.NewAuthority(t)
	dir := next()[0]
	text, err := os.ReadFile(filepath.Join(dir, "agents.crt"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "servers.crt"), ca.PEM(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(time.Now().Add(time.Hour))}, ClientCAs: x509.NewCertPool()}
	config.ClientCAs.AppendCertsFromPEM(text)
	s := tunneltest.Serve(t, "", server.Config{ID: "other", TLS: func() (*tls.Config, error) { return config, nil }})
	fmt.Println("address " + s.Address)
	for told := next(); told != nil; told = next() {
		tunneltest.Linked(t, s, m1, 1)
		if err := echoed(s, m1, told[0]); err != nil {
			t.Fatal(err)
		}
		fmt.Println("dialed it")
	}
}

// beTargets echoes.
func beTargets(t *testing.T, next func() []string) {
	fmt.Println("address " + echoing(t))
	next()
}

// beClients makes connections, and has all say something for each line. It is told the socket, the target, how many connections and of
// how many nodes.
func beClients(t *testing.T, next func() []string) {
	told := next()
	f := &front{t: t, socket: told[0]}
	connections, nodes := 0, 0
	_, _ = fmt.Sscan(told[2]+" "+told[3], &connections, &nodes)
	conns := make([]net.Conn, connections)
	each(t, connections, 16, func(i int) error {
		conn, status, body, err := f.connect(told[1], frontend.HeaderCluster+": "+node(i%nodes).Cluster, frontend.HeaderNode+": "+node(i%nodes).Node)
		if err != nil || status != 200 {
			return fmt.Errorf("%d %s: %w", status, body, err)
		}
		conns[i] = conn
		return said(conn, "hello")
	})
	fmt.Println("connections are there")
	for next() != nil && !t.Failed() {
		each(t, connections, 16, func(i int) error { return said(conns[i], "still here") })
		fmt.Println("connections answer")
	}
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func node(i int) tunnel.Name { return tunnel.Name{Cluster: "m1", Node: fmt.Sprintf("n%d", i)} }

// A server has a thousand agents, and carries ten thousand connections; each says something when it is there and again when all are.
// Afterwards nothing is left.
func TestThousandsOfAgentsAndConnections(t *testing.T) {
	leavesNothing(t)
	agents, connections := size(20, 1000), size(200, 10_000)
	dir := t.TempDir()
	ca := tunneltest.NewAuthority(t)
	if err := os.WriteFile(filepath.Join(dir, "servers.crt"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	far, targets, clients := startHelper(t, "agents"), startHelper(t, "targets"), startHelper(t, "clients")
	far.tell(dir)
	far.hears("authority")
	text, err := os.ReadFile(filepath.Join(dir, "agents.crt"))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(time.Now().Add(time.Hour))}, ClientCAs: x509.NewCertPool()}
	config.ClientCAs.AppendCertsFromPEM(text)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: func() (*tls.Config, error) { return config, nil }, MaxStreams: 10_000})
	many := func(int) frontend.Limits { return frontend.Limits{Connections: 20_000} }
	f := newFront(t, frontend.Config{
		Opener: s, Policy: policy{},
		NameLimits: func(tunnel.Name) frontend.Limits { return many(0) }, TenantLimits: func(string) frontend.Limits { return many(0) },
	}, frontend.Client{Tenant: "all"})
	before := inUse()
	began := time.Now()
	far.tell(s.Address, fmt.Sprint(agents))
	far.hears("agents")
	eventually(t, "all agents are linked", func() bool { return len(s.Links()) == agents })
	linked := inUse()
	t.Logf("%d agents after %s: %d KiB each in the server; %d KiB each resident in their own process",
		agents, time.Since(began).Round(time.Millisecond), (linked-before)/agents>>10, resident(t, far.pid)/agents>>10)
	began = time.Now()
	clients.tell(f.socket, targets.hears("address"), fmt.Sprint(connections), fmt.Sprint(agents))
	clients.hears("connections")
	made := time.Since(began)
	clients.tell("again")
	clients.hears("connections")
	if n := f.Carried(); n != connections || streams(s) != connections {
		t.Errorf("%d connections and %d streams are carried, and not %d", n, streams(s), connections)
	}
	carried := inUse()
	t.Logf("%d connections after %s: %d bytes each in the server; server %d MiB resident, agents %d MiB", connections, made.Round(time.Millisecond),
		(carried-linked)/connections, resident(t, os.Getpid())>>20, resident(t, far.pid)>>20)
	if long && !raced {
		if each := (linked - before) / agents; each > agentBytes {
			t.Errorf("an idle agent costs the server %d bytes: %d may be", each, agentBytes)
		}
		if each := (carried - linked) / connections; each > connectionBytes {
			t.Errorf("an idle connection costs the server %d bytes: %d may be", each, connectionBytes)
		}
	}
	clients.closed()
	eventually(t, "nothing is carried", func() bool { return streams(s)+f.Carried() == 0 })
	far.closed()
	eventually(t, "nobody is linked", func() bool { return len(s.Links()) == 0 })
}

// inUse is the memory that is in use, in bytes of heap and stacks.
func inUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
