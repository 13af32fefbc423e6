package testbed

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Kubectl runs the real kubectl and returns its standard output. It fails the test if
// kubectl fails.
func Kubectl(t testing.TB, kubeconfig string, args ...string) string {
	t.Helper()
	return KubectlStdin(t, kubeconfig, "", args...)
}

// KubectlStdin is Kubectl with an input, as for "apply -f -".
func KubectlStdin(t testing.TB, kubeconfig, stdin string, args ...string) string {
	t.Helper()
	result := RunKubectl(t, kubeconfig, stdin, args...)
	if result.Err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), result.Err, result.Stderr)
	}
	return result.Stdout
}

// KubectlResult is what a run of kubectl gave.
type KubectlResult struct {
	Stdout string
	// Stderr holds warnings too.
	Stderr string
	// Err is not nil if kubectl failed.
	Err error
}

// RunKubectl runs the real kubectl, for tests of warnings and refusals. It fails the test
// only if kubectl cannot be started.
func RunKubectl(t testing.TB, kubeconfig, stdin string, args ...string) KubectlResult {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := KubectlCommand(t, kubeconfig, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(fmt.Errorf("run kubectl: %w", err))
	}
	return KubectlResult{Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
}

// KubectlCommand is the real kubectl, to be run: the one of the test bed, or that which KOINON_KUBECTL
// names, of another version.
func KubectlCommand(t testing.TB, kubeconfig string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--kubeconfig", kubeconfig}, args...)
	binary := os.Getenv("KOINON_KUBECTL")
	if binary == "" {
		var err error
		if binary, err = Binary(playgroundBinary); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"kubectl"}, args...)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	// A cache of its own: discovery of one cluster must not answer for the next one that
	// has its port.
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+t.TempDir())
	return cmd
}

// Plugin runs kubectl koinon. It fails the test if that fails.
func Plugin(t testing.TB, kubeconfig string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := runPlugin(t.Context(), kubeconfig, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout, stderr
}

func runPlugin(ctx context.Context, kubeconfig string, args ...string) (stdout, stderr string, err error) {
	binary, err := Binary("kubectl-koinon")
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, binary, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", "", fmt.Errorf("kubectl koinon %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	return out.String(), said.String(), nil
}
