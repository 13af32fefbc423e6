package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	stock "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// Modes of konnectivity's server.
const (
	modeConnect = "http-connect"
	modeRPC     = "grpc"
)

// theirs is konnectivity's server and agent, with the defaults of their flags but for ports, and with less in their logs.
type theirs struct {
	*bench
	mode, dir, socket string
	// ports of the server and of agents: for links, then for administration and health.
	port, admin, health int
	adminOf, healthOf   []int
	far                 string
	server              *process
	agents              []*process
}

func (w *world) startTheirs(ctx context.Context, mode string, agents int) (*theirs, error) {
	t := &theirs{bench: w.bench, mode: mode, dir: w.dir, socket: filepath.Join(w.dir, mode+".sock")}
	ports, err := w.freePorts(3 + 2*max(agents, 1))
	if err != nil {
		return nil, err
	}
	t.port, t.admin, t.health = ports[0], ports[1], ports[2]
	for i := range max(agents, 1) {
		t.adminOf, t.healthOf = append(t.adminOf, ports[3+2*i]), append(t.healthOf, ports[4+2*i])
	}
	if err := t.startServer(ctx); err != nil {
		return nil, err
	}
	if t.far, err = w.far(net.JoinHostPort("127.0.0.1", strconv.Itoa(t.port))); err != nil {
		t.close()
		return nil, err
	}
	for i := range agents {
		t.agents = append(t.agents, nil)
		if err := t.startAgent(ctx, i); err != nil {
			t.close()
			return nil, err
		}
	}
	if err := t.linked(ctx, agents); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// freePorts are such as konnectivity takes: not those that the system gives to whoever asks for any. None is given twice.
func (b *bench) freePorts(n int) ([]int, error) {
	const first, last = 20000, 32000
	var ports []int
	b.port = max(b.port, first+os.Getpid()%4000)
	for ; b.port < last && len(ports) < n; b.port++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(b.port))
		if err != nil {
			continue
		}
		ports = append(ports, b.port)
		_ = l.Close()
	}
	if len(ports) < n {
		return nil, fmt.Errorf("there are not %d free ports from %d to %d", n, first, last)
	}
	return ports, nil
}

func (t *theirs) file(name string) string { return filepath.Join(t.dir, name) }

func (t *theirs) startServer(ctx context.Context) error {
	p, err := start(t.dir, "their-server-"+t.mode, t.bench.theirs, []string{
		"server", "--mode=" + t.mode, "--uds-name=" + t.socket, "--server-port=0", "--cluster-cert=" + t.file(serverTLS+".crt"), "--cluster-key=" + t.file(serverTLS+".key"),
		"--cluster-ca-cert=" + t.file(agentsCA+".crt"), "--agent-port=" + strconv.Itoa(t.port), "--agent-bind-address=127.0.0.1", "--admin-port=" + strconv.Itoa(t.admin),
		"--admin-bind-address=127.0.0.1", "--health-port=" + strconv.Itoa(t.health), "--health-bind-address=127.0.0.1", "--enable-profiling", "--v=0", "--logtostderr",
	}, nil, false)
	if err != nil {
		return err
	}
	t.server = p
	return nil
}

// agentFlags are those of an agent.
func (t *theirs) agentFlags(i int) []string {
	_, port, _ := net.SplitHostPort(t.far)
	return []string{
		"--ca-cert=" + t.file(serversCA+".crt"), "--agent-cert=" + t.file(agentTLS+".crt"), "--agent-key=" + t.file(agentTLS+".key"), "--proxy-server-host=127.0.0.1",
		"--proxy-server-port=" + port, "--admin-server-port=" + strconv.Itoa(t.adminOf[i]), "--admin-bind-address=127.0.0.1", "--health-server-host=127.0.0.1",
		"--health-server-port=" + strconv.Itoa(t.healthOf[i]), "--enable-profiling", "--v=0", "--logtostderr",
	}
}

func (t *theirs) startAgent(_ context.Context, i int) error {
	p, err := start(t.dir, "their-agent-"+t.mode+"-"+strconv.Itoa(i), t.bench.theirs, append([]string{"agent"}, t.agentFlags(i)...), nil, false)
	if err != nil {
		return err
	}
	t.agents[i] = p
	return nil
}

func (t *theirs) killServer()     { t.server.kill() }
func (t *theirs) killAgent(i int) { t.agents[i].kill() }

func (t *theirs) pids() []int {
	pids := []int{t.server.pid()}
	for _, a := range t.agents {
		pids = append(pids, a.pid())
	}
	return pids
}

// readyMetric counts the agents at their server.
const readyMetric = "konnectivity_network_proxy_server_ready_backend_connections"

func (t *theirs) linked(ctx context.Context, n int) error {
	return eventually(ctx, fmt.Sprintf("%d agents are connected to konnectivity's server", n), func() bool {
		lines, err := get(ctx, t.health, "/metrics")
		if err != nil {
			return false
		}
		found := float64(0)
		for _, line := range lines {
			if rest, ok := strings.CutPrefix(line, readyMetric); ok {
				value, _ := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
				found += value
			}
		}
		return int(found) == n
	})
}

// get returns the lines of an answer.
func get(ctx context.Context, port int, path string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+path, nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, got.Status)
	}
	var lines []string
	for scanner := bufio.NewScanner(got.Body); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	return lines, nil
}

func (t *theirs) memory(ctx context.Context) (server, agent footprint, err error) {
	if server, err = t.memoryOf(ctx, t.server, t.admin); err != nil || len(t.agents) == 0 {
		return server, agent, err
	}
	agent, err = t.memoryOf(ctx, t.agents[0], t.adminOf[0])
	return server, agent, err
}

// memoryOf reads what a heap profile says at its end, after a garbage collection.
func (t *theirs) memoryOf(ctx context.Context, p *process, admin int) (f footprint, err error) {
	var lines []string
	for range 3 {
		if lines, err = get(ctx, admin, "/debug/pprof/heap?debug=1&gc=1"); err != nil {
			return f, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	found := 0
	for _, line := range lines {
		for _, prefix := range []string{"# HeapInuse = ", "# Stack = "} {
			rest, ok := strings.CutPrefix(line, prefix)
			if !ok {
				continue
			}
			text, _, _ := strings.Cut(rest, " ")
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return f, fmt.Errorf("%s: %q: %w", p.name, line, err)
			}
			f.inUse += n
			found++
		}
	}
	if found != 2 {
		return f, fmt.Errorf("%s does not say how much memory it has in use", p.name)
	}
	f.resident, err = resident(p.pid())
	return f, err
}

func (t *theirs) close() {
	for _, a := range t.agents {
		if a != nil {
			a.kill()
		}
	}
	if t.server != nil {
		t.server.kill()
	}
}

// restart has both begin anew: what is stuck stays so.
func (t *theirs) restart(ctx context.Context) error {
	for i := range t.agents {
		t.killAgent(i)
	}
	t.killServer()
	err := t.startServer(ctx)
	for i := range t.agents {
		err = errors.Join(err, t.startAgent(ctx, i))
	}
	if err != nil {
		return err
	}
	return t.linked(ctx, len(t.agents))
}

// throughRPC dials as a kube-apiserver does in this mode: with the stock client, and a gRPC connection for each.
func throughRPC(socket string) dialFunc {
	return func(ctx context.Context, address string) (net.Conn, error) {
		life, end := context.WithCancel(context.Background())
		through, err := stock.CreateSingleUseGrpcTunnelWithContext(ctx, life, "passthrough:///"+socket,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}))
		if err != nil {
			end()
			return nil, err
		}
		conn, err := through.DialContext(ctx, "tcp", address)
		if err != nil {
			end()
			return nil, err
		}
		return &rpcConn{conn, end}, nil
	}
}

// rpcConn ends its tunnel with itself.
type rpcConn struct {
	net.Conn
	end context.CancelFunc
}

func (c *rpcConn) Close() error {
	defer time.AfterFunc(closeLimit, c.end).Stop()
	err := c.Conn.Close()
	c.end()
	return err
}

// closeLimit is how long the stock client may wait for an answer when it closes. It would wait for ten seconds.
const closeLimit = time.Second
