// Package playground tests koinon-playground as its users call it: the built binary, real
// servers, real kubectl.
package playground

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/testbed"
)

// playground runs the built binary and returns its standard output.
func playground(t *testing.T, args ...string) string {
	t.Helper()
	binary, err := testbed.Binary("koinon-playground")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("koinon-playground %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

func TestClusterFromUpToDown(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	dir := filepath.Join(t.TempDir(), "playground")
	up := []string{"cluster", "up", "--dir", dir, "--name", "c1", "--nodes", "3"}
	kubeconfig := strings.TrimSpace(playground(t, up...))
	// In case the test fails half-way: down of what is gone is harmless.
	t.Cleanup(func() {
		binary, _ := testbed.Binary("koinon-playground")
		_ = exec.Command(binary, "cluster", "down", "--dir", dir).Run()
	})
	kubectl := func(args ...string) string { t.Helper(); return testbed.Kubectl(t, kubeconfig, args...) }

	kubectl("create", "deployment", "web", "--image=example.org/web", "--replicas=50")
	kubectl("wait", "--for=jsonpath={.status.readyReplicas}=50", "deployment/web", "--timeout=60s")
	used := strings.Fields(kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"))
	count := map[string]int{}
	for _, node := range used {
		count[node]++
	}
	if len(used) != 50 || len(count) != 3 {
		t.Errorf("pods per node: got %v, want 50 pods spread over 3 nodes", count)
	}
	kubectl("create", "job", "once", "--image=example.org/once")
	kubectl("wait", "--for=condition=complete", "job/once", "--timeout=60s")

	pids := pidsOf(t, dir)
	t.Run("a second up changes nothing", func(t *testing.T) {
		playground(t, up...)
		if again := pidsOf(t, dir); !maps.Equal(pids, again) {
			t.Errorf("processes: got %v, want the same as before, %v", again, pids)
		}
	})
	t.Run("up repairs what was killed", func(t *testing.T) {
		for _, program := range member.Programs {
			if err := process.Stop(t.Context(), filepath.Join(dir, "c1", program+".pid"), 0); err != nil {
				t.Fatal(err)
			}
		}
		playground(t, up...)
		kubectl("wait", "--for=jsonpath={.status.readyReplicas}=50", "deployment/web", "--timeout=60s")
		kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=60s")
	})
	t.Run("down leaves no process and no file", func(t *testing.T) {
		// Pid files go too: copies tell whether their processes are gone.
		copies := t.TempDir()
		for _, program := range member.Programs {
			data, err := os.ReadFile(filepath.Join(dir, "c1", program+".pid"))
			if err := errors.Join(err, os.WriteFile(filepath.Join(copies, program), data, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		playground(t, "cluster", "down", "--dir", dir)
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory is still there: %v", err)
		}
		for _, program := range member.Programs {
			if pid, running := process.Find(filepath.Join(copies, program)); running || pid == 0 {
				t.Errorf("%s (process %d): running is %t, want it gone", program, pid, running)
			}
		}
		playground(t, "cluster", "down", "--dir", dir)
	})
}

// pidsOf returns the pid of each program of cluster c1, all of which must run.
func pidsOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, program := range member.Programs {
		pid, running := process.Find(filepath.Join(dir, "c1", program+".pid"))
		if !running {
			t.Errorf("%s does not run", program)
		}
		pids[program] = pid
	}
	return pids
}
