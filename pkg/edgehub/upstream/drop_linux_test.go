package upstream

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// inNamespace has the test go on in a network namespace of its own, and reports whether this is there.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "KOINON_TEST_NAMESPACE"
	if os.Getenv(mark) != "" {
		run(t, "ip link set lo up")
		return true
	}
	for _, command := range []string{"unshare --net true", "unshare --net iptables -P INPUT ACCEPT", "ip -V"} {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", command, err, out)
		}
	}
	child := exec.CommandContext(t.Context(), "unshare", "--net", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=100s")
	child.Env = append(os.Environ(), mark+"=true")
	out, err := child.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || strings.Contains(string(out), "--- SKIP") {
		t.Fatalf("in a namespace: %v", err)
	}
	return false
}

func run(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// drop has packets to a server go nowhere, without a word.
func drop(t *testing.T, address net.Addr) {
	t.Helper()
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		t.Fatal(err)
	}
	run(t, "iptables -A INPUT -p tcp --dport "+port+" -j DROP")
}

func TestPacketsThatAreDroppedAreNoticedByConnectionsThemselves(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	ca := newAuthority(t)
	a := serve(t, ca, "a", nil)
	u := create(t, Config{Servers: []Server{{URL: a.URL}}, CAs: ca.pools, Proxy: noProxy}) // nobody asks whether it is well
	node := u.Transport(Forwarded())
	_, watches := watch(t, node)
	exec := upgrade(t, node)
	drop(t, a.Listener.Addr())
	began := time.Now()
	if _, err := exec.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { // ends with the connection
		_, err := exec.Read(make([]byte, 1))
		ended <- err
	}()
	if err := await(t, "the watch to end", watches); err == nil {
		t.Error("the watch has ended as if it had come to its end")
	}
	t.Logf("the watch ended after %s", time.Since(began))
	if err := await(t, "what was upgraded to end", ended); err == nil {
		t.Error("what was upgraded goes on")
	}
	t.Logf("what was upgraded ended after %s", time.Since(began))
}

func TestAServerBehindALinkThatDropsIsLeft(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	ca := newAuthority(t)
	a, b := serve(t, ca, "a", nil), serve(t, ca, "b", nil)
	u, _ := start(t, Config{Servers: []Server{{URL: a.URL, Priority: 1}, {URL: b.URL, Priority: 2}}, CAs: ca.pools, Proxy: noProxy})
	node := u.Transport(Forwarded())
	until(t, u, "both are well", func() bool { return healthy(u, a.URL) && healthy(u, b.URL) })
	_, watches := watch(t, node)
	drop(t, a.Listener.Addr())
	began := time.Now()
	if err := await(t, "the watch to end", watches); err == nil {
		t.Error("the watch has ended as if it had come to its end")
	}
	until(t, u, "the other is chosen", func() bool { return chosen(u) == b.URL })
	t.Logf("left after %s", time.Since(began))
	if who, _ := watch(t, node); who != "b" {
		t.Errorf("the watch is of %s", who)
	}
	drop(t, b.Listener.Addr())
	began = time.Now()
	until(t, u, "none is well", func() bool { return !u.Available() })
	t.Logf("nobody is there after %s", time.Since(began))
}
