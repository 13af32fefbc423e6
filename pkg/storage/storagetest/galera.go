package storagetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// galeraLibrary is where package galera-4 has it.
const galeraLibrary = "/usr/lib/galera/libgalera_smm.so"

// Galera is a cluster in which every node takes writes.
type Galera struct {
	Nodes []*MariaDB
	// peers are the addresses at which the nodes talk to one another.
	peers []string
}

// StartGalera runs a cluster on loopback and returns when all nodes are in step. It skips the
// test when Galera is not installed.
//
// All nodes begin with a copy of the same data, and a node that comes back gets what it
// missed from another one's write-set cache, so that nothing has to be transferred whole.
func StartGalera(t testing.TB, nodes int) *Galera {
	t.Helper()
	if !isFile(galeraLibrary) || lookPath("mariabackup") == "" || lookPath("socat") == "" {
		t.Skip("Galera is not installed: install the packages galera-4, mariadb-backup and socat to test against a cluster")
	}
	g := &Galera{}
	for range nodes {
		g.peers = append(g.peers, freeAddress(t))
	}
	first := prepareMariaDB(t, t.TempDir())
	first.args = g.args(t, 0)
	first.start(t, "--wsrep-new-cluster", "--wsrep-cluster-address="+g.address(), "--init-file="+first.users(t))
	first.Stop(t)
	g.Nodes = append(g.Nodes, first)
	for i := 1; i < nodes; i++ {
		node := &MariaDB{Address: freeAddress(t), Dir: t.TempDir(), args: g.args(t, i)}
		if output, err := exec.Command("cp", "-a", first.data(), node.data()).CombinedOutput(); err != nil {
			t.Fatalf("copy the data of the first node: %v\n%s", err, output)
		}
		g.Nodes = append(g.Nodes, node)
	}
	first.start(t, "--wsrep-new-cluster", "--wsrep-cluster-address="+g.address())
	for i, node := range g.Nodes {
		if i > 0 {
			// Only those that are there already: nodes that meet outside the cluster
			// form one that has no majority, and lose time.
			node.start(t, "--wsrep-cluster-address=gcomm://"+strings.Join(g.peers[:i], ","))
		}
		g.waitMember(t, i, i+1)
	}
	return g
}

func (g *Galera) address() string { return "gcomm://" + strings.Join(g.peers, ",") }

func (g *Galera) args(t testing.TB, node int) []string {
	t.Helper()
	_, port, _ := net.SplitHostPort(g.peers[node])
	options := []string{
		"base_port=" + port, "gmcast.listen_addr=tcp://" + g.peers[node], "ist.recv_addr=" + freeAddress(t),
		// How soon a node that does not answer is left out.
		"evs.suspect_timeout=PT3S", "evs.inactive_timeout=PT6S",
	}
	return []string{
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON", "--wsrep-provider=" + galeraLibrary,
		"--wsrep-cluster-name=koinon", fmt.Sprintf("--wsrep-node-name=node%d", node),
		"--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=mariabackup", "--wsrep-sst-auth=root:", "--wsrep-sst-receive-address=" + freeAddress(t),
		"--wsrep-provider-options=" + strings.Join(options, ";"),
	}
}

// waitMember waits until a node takes statements as part of a cluster of so many nodes.
func (g *Galera) waitMember(t testing.TB, node, size int) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for g.status(t, node, "wsrep_ready") != "ON" || g.status(t, node, "wsrep_cluster_size") != fmt.Sprint(size) {
		if time.Now().After(deadline) {
			g.Nodes[node].fatal(t, fmt.Errorf("node %d is not one of %d", node, size))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (g *Galera) status(t testing.TB, node int, name string) string {
	t.Helper()
	var value string
	query := "SELECT variable_value FROM information_schema.global_status WHERE variable_name = ?"
	_ = g.Nodes[node].DB(t).QueryRow(query, name).Scan(&value)
	return value
}

// recovered is what a node that was killed says of how far it was.
var recovered = regexp.MustCompile(`Recovered position: (\S+)`)

// rejoins is how often a node is started that ends while it gets what it missed: as the service manager of a machine
// does it. The other node gives it ten seconds to listen, and a busy machine does not always have them.
const rejoins = 3

// Rejoin starts a node that was stopped or killed, and returns when it is in step again with
// so many nodes.
func (g *Galera) Rejoin(t testing.TB, node, size int) {
	t.Helper()
	m := g.Nodes[node]
	for attempt := 1; ; attempt++ {
		m.launch(t, "--wsrep-cluster-address="+g.address(), "--wsrep-start-position="+g.position(t, node))
		err := m.waitReady(t.Context(), "DO 0")
		if err == nil {
			break
		}
		if attempt == rejoins || !errors.Is(err, errEnded) {
			m.fatal(t, err)
		}
		t.Logf("node %d has ended while it joined, and is started again", node)
	}
	g.waitMember(t, node, size)
}

// position is how far a node was that does not run.
func (g *Galera) position(t testing.TB, node int) string {
	t.Helper()
	m := g.Nodes[node]
	report := filepath.Join(m.Dir, "recovery.err")
	_ = os.Remove(report)
	command := m.command(t, "--wsrep-recover", "--log-error="+report, "--wsrep-cluster-address="+g.address())
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("recover node %d: %v\n%s", node, err, output)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	position := recovered.FindSubmatch(text)
	if position == nil {
		t.Fatalf("node %d does not say how far it was:\n%s", node, text)
	}
	first, _, _ := strings.Cut(string(position[1]), ",") // a comma begins the position in the binary log
	return first
}
