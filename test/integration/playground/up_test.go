package playground

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/testbed"
)

// landed is the table that the quickstart ends with, without its head.
var landed = []string{
	"FederatedDeployment web rz00a m1 shop-rz00a 2/2 OK",
	"FederatedDeployment web rz01a m2 shop-rz01a 3/3 OK", // the override
	"FederatedDeployment web rz01b m2 shop-rz01b 2/2 OK",
	"FederatedService web rz00a m1 shop-rz00a - OK",
	"FederatedService web rz01a m2 shop-rz01a - OK",
	"FederatedService web rz01b m2 shop-rz01b - OK",
	"FederatedConfigMap settings m1 m1 shop - OK",
	"FederatedConfigMap settings m2 m2 shop - OK",
	"FederatedNamespace shop m1 m1 shop - OK",
	"FederatedNamespace shop m2 m2 shop - OK",
}

func TestQuickstartFromUpToDown(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	if _, err := testbed.Binary("koinon"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "my playground")
	t.Cleanup(func() { // in case the test fails half-way: down of what is gone is harmless
		binary, _ := testbed.Binary("koinon-playground")
		_ = exec.Command(binary, "down", "--dir", dir).Run()
	})
	up := []string{"up", "--dir", dir}
	out := playground(t, up...)
	if diff := cmp.Diff(landed, tableOf(out)); diff != "" {
		t.Fatalf("what landed where (-want +got):\n%s\nof:\n%s", diff, out)
	}
	kubeconfig := strings.TrimSpace(playground(t, "kubeconfig", "--dir", dir))

	t.Run("overrides and both shapes are in the members", func(t *testing.T) {
		theme := testbed.Kubectl(t, kubeconfig, "--context", "m2", "get", "configmap", "settings", "-n", "shop", "-o", "jsonpath={.data.theme}")
		if theme != "dark" {
			t.Errorf("theme in m2: got %q, want dark", theme)
		}
		port := testbed.Kubectl(t, kubeconfig, "--context", "m1", "get", "service", "web", "-n", "shop-rz00a", "-o", "jsonpath={.spec.ports[0].targetPort}")
		if port != "8080" {
			t.Errorf("target port in m1: got %q, want 8080", port)
		}
	})
	t.Run("a second up changes nothing, not even what the user changed", func(t *testing.T) {
		testbed.Kubectl(t, kubeconfig, "annotate", "cell", "rz00a", "-n", "shop", "note=mine")
		playground(t, up...)
		if note := testbed.Kubectl(t, kubeconfig, "get", "cell", "rz00a", "-n", "shop", "-o", "jsonpath={.metadata.annotations.note}"); note != "mine" {
			t.Errorf("the user's annotation: got %q, want mine", note)
		}
	})
	t.Run("up repairs what was killed", func(t *testing.T) {
		for _, pidFile := range []string{"koinon.pid", "m1/kube-apiserver.pid", "m2/etcd.pid"} {
			// 0: kill at once, and wait until it is gone; a user is never quicker.
			if err := process.Stop(t.Context(), filepath.Join(dir, pidFile), 0); err != nil {
				t.Fatal(err)
			}
		}
		out := playground(t, up...)
		if diff := cmp.Diff(landed, tableOf(out)); diff != "" {
			t.Errorf("what landed where (-want +got):\n%s", diff)
		}
		playground(t, "status", "--dir", dir)
	})
	t.Run("the next commands work, and the last removes everything", func(t *testing.T) {
		for _, command := range nextOf(t, out) {
			runShell(t, kubeconfig, command)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory is still there: %v", err)
		}
	})
}

// tableOf returns the lines of the table, each with single spaces.
func tableOf(out string) []string {
	_, table, _ := strings.Cut(out, "KIND ")
	table, _, _ = strings.Cut(table, "\nNext:")
	var rows []string
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	return rows
}

// nextOf returns the commands to paste.
func nextOf(t *testing.T, out string) []string {
	t.Helper()
	_, next, found := strings.Cut(out, "\nNext:\n")
	if !found {
		t.Fatalf("no next commands in:\n%s", out)
	}
	var commands []string
	for line := range strings.Lines(next) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "export ") {
			commands = append(commands, line)
		}
	}
	return commands
}

func runShell(t *testing.T, kubeconfig, command string) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s", command, err, output.String())
	}
}
