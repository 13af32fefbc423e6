package testbed

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Network is where the nodes and pods of a cluster are for its API server, which carries no requests to
// loopback. An address in it is one of 192.0.2.0/24, which is no network's (RFC 5737); its ports
// lead to servers on loopback, and nothing leads out of the machine.
//
// The API server reaches it by HTTP CONNECT to a socket, as one reaches its cluster through a network
// proxy (KEP 1281). It may be used concurrently.
type Network struct {
	server *http.Server
	ended  chan error // has what Serve returned
	config string

	mu    sync.Mutex // guards the rest
	last  netip.Addr
	leads map[string]string // from address:port to a port of loopback
	nodes map[string]bool   // addresses of real nodes
}

const egressConfig = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {uds: {udsName: %q}}
`

// startNetwork serves a network until Close, with its files in a directory.
func startNetwork(dir string) (*Network, error) {
	socket := filepath.Join(dir, "network.sock")
	n := &Network{config: filepath.Join(dir, "egress.yaml"), ended: make(chan error, 1), last: netip.MustParseAddr("192.0.2.0"), leads: map[string]string{}, nodes: map[string]bool{}}
	if err := os.WriteFile(n.config, fmt.Appendf(nil, egressConfig, socket), 0o600); err != nil {
		return nil, fmt.Errorf("say where the network of a cluster is: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen for the network of a cluster: %w", err)
	}
	n.server = &http.Server{Handler: http.HandlerFunc(n.connect), ReadHeaderTimeout: kubeletHeader, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { n.ended <- n.server.Serve(listener) }() // ends with Close
	return n, nil
}

// apiServerArgs have an API server use the network.
func (n *Network) apiServerArgs() []string {
	return []string{"--egress-selector-config-file=" + n.config}
}

// Close ends the network. Connections through it end with their servers.
func (n *Network) Close() error {
	closeErr := n.server.Close()
	if err := <-n.ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the network of a cluster: %w", err)
	}
	return closeErr
}

// Address returns one that nothing has yet.
func (n *Network) Address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = n.last.Next()
	return n.last.String()
}

// Lead has a port of an address lead to a port of loopback.
func (n *Network) Lead(address string, port, to int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leads[net.JoinHostPort(address, strconv.Itoa(port))] = net.JoinHostPort("127.0.0.1", strconv.Itoa(to))
}

// leadToNode has the address of a real node lead to that node.
func (n *Network) leadToNode(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[address] = true
}

// find returns where a host and port lead to. Real nodes and loopback are reached as they are: what the API server
// connects to by itself, such as nodes for exec and servers of aggregated APIs, may be there.
func (n *Network) find(target string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if to, ok := n.leads[target]; ok {
		return to, true
	}
	host, _, err := net.SplitHostPort(target)
	address, addressErr := netip.ParseAddr(host)
	return target, err == nil && (n.nodes[host] || host == "localhost" || addressErr == nil && address.IsLoopback())
}

// connect serves one connection of the API server.
func (n *Network) connect(w http.ResponseWriter, r *http.Request) {
	to, ok := n.find(r.Host)
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, fmt.Sprintf("%s %s leads nowhere", r.Method, r.Host), http.StatusBadGateway)
		return
	}
	connectTo(w, r, to)
}

// connectTo answers CONNECT with a connection to an address.
func connectTo(w http.ResponseWriter, r *http.Request, to string) {
	backend, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = backend.Close() }()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { carry(conn, backend) }) // ends with the connections
	carry(backend, conn)
	back.Wait()
}

// carry copies what comes from one side, and its end. If one breaks, so do both.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err != nil {
		_, _ = to.Close(), from.Close()
	}
}

// FreePort is a port of 127.0.0.1 that nothing listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
