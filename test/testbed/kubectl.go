package testbed

import (
	"bytes"
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
	binary, err := Binary(playgroundBinary)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"kubectl", "--kubeconfig", kubeconfig}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	// A cache of its own: discovery of one cluster must not answer for the next one that
	// has its port.
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+t.TempDir())
	err = cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(fmt.Errorf("run kubectl: %w", err))
	}
	return KubectlResult{Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
}
