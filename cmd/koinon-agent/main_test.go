package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

const (
	// mostBytes is how large the binary may be, and mostResident how much memory it may have while it carries nothing: edge nodes are
	// small.
	mostBytes, mostResident = 15 << 20, 25 << 20
)

var m1 = tunnel.Name{Cluster: "m1"}

// build builds the agent as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "koinon-agent")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// process is an agent that runs.
type process struct {
	*exec.Cmd
	ended chan struct{}
	err   error // once it has ended

	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func start(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.Stderr = p
	p.Env = append(os.Environ(), "HTTPS_PROXY=", "https_proxy=", "KUBERNETES_SERVICE_HOST=")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		p.err = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the agent said:\n%s", p.output())
		}
	})
	return p
}

// end waits until it has ended, and returns how.
func (p *process) end(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(authoritytest.Patience):
		t.Fatal("it does not end")
		return nil
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func get(url string) (int, string) {
	client := http.Client{Timeout: authoritytest.Patience}
	answer, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// resident is how much memory a process has, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Skipf("this system does not say: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Skip("this system does not say")
	return 0
}

func TestTheAgentIsSmallAndLivesFromTokenToSIGTERM(t *testing.T) {
	path := build(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the binary has %.1f MiB", float64(info.Size())/(1<<20))
	if info.Size() >= mostBytes {
		t.Errorf("the binary has %d bytes, and may have %d", info.Size(), mostBytes)
	}
	tn, target, dir := authoritytest.Start(t, nil), tunneltest.Target(t, ""), t.TempDir()
	tn.SetClock(-6 * 24 * time.Hour) // what it gets is due the next time
	token, status := filepath.Join(dir, "token"), freeAddress(t)
	if err := os.WriteFile(token, []byte(tn.Tokens.New(t, m1, tn.Now(), time.Hour)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--server", tn.Address, "--ca-pin", tn.Pin().String(), "--state-dir", filepath.Join(dir, "state"), "--token-file", token,
		"--apiserver", target, "--status-address", status, "--drain-timeout", "30s",
	}
	first := start(t, path, args...)
	tn.Linked(t, m1, 1)
	authoritytest.Eventually(t, "it says that it is healthy", func() bool { // the server knows of a link first
		code, _ := get("http://" + status + "/healthz")
		return code == http.StatusOK
	})
	bytes := resident(t, first.Process.Pid)
	t.Logf("the process has %.1f MiB", float64(bytes)/(1<<20))
	if bytes >= mostResident {
		t.Errorf("the process has %d bytes, and may have %d", bytes, mostResident)
	}
	conn, err := tn.Dial(t.Context(), m1, "tcp", tunnel.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	authoritytest.Eventually(t, "it says that it goes", func() bool {
		links := tn.Links()
		return !slices.ContainsFunc(links, func(l server.Link) bool { return !l.Draining })
	})
	var refused *tunnel.DialError
	if _, err := tn.Dial(t.Context(), m1, "tcp", tunnel.APIServer); !errors.As(err, &refused) || refused.Code != mux.Draining {
		t.Errorf("what is new, which would be lost, ends with %v", err)
	}
	_, _ = io.WriteString(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("what it carries ended: %v", err)
	}
	_ = conn.Close()
	if err := first.end(t); err != nil {
		t.Errorf("it ended with %v", err)
	}

	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	tn.SetClock(0)
	second := start(t, path, args...)
	authoritytest.Eventually(t, "it has renewed its certificate, and no link with another", func() bool {
		links := tn.Links()
		return len(links) == 1 && links[0].ValidUntil.After(time.Now().Add(6*24*time.Hour))
	})
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.end(t); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestWhatKeepsTheAgentFromStartingIsItsLastLine(t *testing.T) {
	path, tn, dir := build(t), authoritytest.Start(t, nil), t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(tn.Tokens.New(t, m1, time.Now().Add(-2*time.Hour), time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), authoritytest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--server", tn.Address, "--ca-pin", tn.Pin().String(), "--state-dir", filepath.Join(dir, "state"), "--token-file", token)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := lines[len(lines)-1]
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(last, "koinon-agent: there is no certificate in "+dir) || !strings.Contains(last, `for cluster "m1" was good until`) {
		t.Errorf("got %v, %s", err, out)
	}
}
