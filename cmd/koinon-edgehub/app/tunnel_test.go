package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
)

// tunnelOf is an agent of the node n1, which runs until the test ends, in a directory. give gives it a token.
func tunnelOf(t *testing.T, dir string) (a *nodeAgent, give func(node string)) {
	t.Helper()
	servers := authoritytest.Start(t, nil)
	options := NewOptions().Tunnel
	options.Servers, options.TokenFile, options.CAPins, options.Kubelet = []string{servers.Address}, filepath.Join(t.TempDir(), "token"), []string{servers.Pin().String()}, defaultKubelet
	a, err := options.newAgent(dir, "n1", authoritytest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	a.firstPause = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return a, func(node string) {
		token := servers.Tokens.New(t, tunnel.Name{Cluster: "m1", Node: node}, time.Now(), time.Hour)
		if err := os.WriteFile(options.TokenFile, []byte(token), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// says waits until an agent has a problem, and joins until it has none, and a link.
func (a *nodeAgent) says(t *testing.T, want string) {
	t.Helper()
	authoritytest.Eventually(t, "it says "+want, func() bool { return strings.Contains(a.report(time.Now()).Problem, want) })
}

func (a *nodeAgent) joins(t *testing.T) {
	t.Helper()
	authoritytest.Eventually(t, "it has joined", func() bool { r := a.report(time.Now()); return r.Problem == "" && r.Links == 1 })
}

func TestADiskOnWhichTheTunnelCannotKeepAnythingIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	// A file in the place of a directory is a disk that fails, for root, too.
	if err := os.WriteFile(filepath.Join(dir, "tunnel"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newTestHub(t, dir)
	var give func(string)
	h.tunnel, give = tunnelOf(t, dir)
	give("n1")
	h.tunnel.says(t, "--state-dir: ")
	if problems, printed := told(t, h); !strings.Contains(problems, "tunnel: --state-dir: ") || !strings.Contains(printed, "not joined yet") {
		t.Errorf("got %s and\n%s", problems, printed)
	}
	if err := os.Remove(filepath.Join(dir, "tunnel")); err != nil {
		t.Fatal(err)
	}
	h.tunnel.joins(t)
	if problems, printed := told(t, h); strings.Contains(problems, "tunnel") || !strings.Contains(printed, "links to servers: 1") {
		t.Errorf("got %s and\n%s", problems, printed)
	}
	if ended := h.tunnel.report(time.Now().Add(10 * 365 * 24 * time.Hour)); !strings.Contains(ended.Problem, "put a new token") {
		t.Errorf("once its certificate has ended: got %+v", ended)
	}
}

func TestADirectoryOfTheTunnelThatIsRemovedIsMadeAgainAndAFailingOneIsSaid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tunnel")
	a := &nodeAgent{dir: dir}
	if err := a.write(filepath.Join(dir, "key"), nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := a.write(filepath.Join(dir, "key"), nil, 0o600); err == nil || !strings.Contains(a.report(time.Now()).Problem, "--state-dir: ") {
		t.Errorf("got %v, and %+v", err, a.report(time.Now()))
	}
	if err := errors.Join(os.Remove(dir), a.write(filepath.Join(dir, "key"), nil, 0o600)); err != nil || a.report(time.Now()).Problem != "" {
		t.Errorf("got %v, and %+v", err, a.report(time.Now()))
	}
}

func TestADirectoryOfTheTunnelThatCannotBeReadIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tunnel", "agent.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, _ := tunnelOf(t, dir)
	a.says(t, "--state-dir: ")
}

func TestATokenForAnotherNodeIsMendedWithoutAnotherStart(t *testing.T) {
	dir := t.TempDir()
	a, give := tunnelOf(t, dir)
	a.says(t, "there is no token")
	give("n2")
	a.says(t, fmt.Sprintf(`the token was for node "n2" of cluster "m1", and this is the node "n1": remove the directory %s`, filepath.Join(dir, "tunnel")))
	give("n1")
	// Which may be written to meanwhile.
	authoritytest.Eventually(t, "the directory is removed", func() bool { return os.RemoveAll(filepath.Join(dir, "tunnel")) == nil })
	a.joins(t)
}
