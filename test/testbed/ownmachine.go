package testbed

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ownMachineVariable is set by hack/own-machine.sh: to the control group that nodes are below.
const ownMachineVariable = "KOINON_OWN_MACHINE"

// cniDirectory is where Debian puts the plugins that containerd makes the networks of pods with.
const cniDirectory = "/usr/lib/cni"

// kubeletBinary is a name in the bin directory.
const kubeletBinary = "kubelet"

// RequireNodes is for a test to call before it starts what it joins real nodes to. It skips the test
// unless the tests run on a machine of their own, and fails it if they do and something else is missing.
func RequireNodes(t testing.TB) {
	t.Helper()
	skipShort(t)
	own := os.Getenv(ownMachineVariable) != ""
	err := nodeRequirements()
	switch {
	case !own && err != nil:
		t.Skipf("runs a real node, which \"make test-edge\" does, and would not on this machine: %v", err)
	case !own:
		t.Skip("runs a real node: \"make test-edge\" does")
	case err != nil:
		t.Fatalf("this test runs a real node: %v", err)
	}
}

// ResolveOnOwnMachine has a name resolve to an address until the test ends, as a line of /etc/hosts does, on the machine that the tests run
// on and on no other.
func ResolveOnOwnMachine(t testing.TB, name, address string) {
	t.Helper()
	RequireNodes(t)
	const hosts = "/etc/hosts"
	text, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, fmt.Appendf(text, "\n%s %s\n", address, name), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := command(t.Context(), "mount", "--bind", file, hosts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command(context.WithoutCancel(t.Context()), "umount", hosts); err != nil {
			t.Error(err)
		}
	})
}

// nodeRequirements returns what this machine lacks for a real node.
func nodeRequirements() error {
	if os.Getuid() != 0 {
		return errors.New("it needs root, for namespaces and containers")
	}
	for _, need := range []struct{ program, pkg string }{
		{"bash", "bash"}, {"ip", "iproute2"}, {"unshare", "util-linux"}, {"nsenter", "util-linux"}, {"setpriv", "util-linux"},
		{"containerd", "containerd"}, {"containerd-shim-runc-v2", "containerd"}, {"ctr", "containerd"}, {"runc", "runc"},
		{filepath.Join(cniDirectory, "bridge"), "containernetworking-plugins"},
		{filepath.Join(cniDirectory, "host-local"), "containernetworking-plugins"},
		{filepath.Join(cniDirectory, "loopback"), "containernetworking-plugins"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			return fmt.Errorf("there is no %s: install the Debian package %s, as hack/edge-packages.sh does", need.program, need.pkg)
		}
	}
	if _, err := staticBusybox(); err != nil {
		return err
	}
	if _, err := Binary(kubeletBinary); err != nil {
		return errors.New("kubelet is not built: \"make test-edge\" does that")
	}
	return nil
}

// staticBusybox returns the path of a busybox that needs no libraries.
func staticBusybox() (string, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return "", errors.New("there is no busybox: install the Debian package busybox-static, as hack/edge-packages.sh does")
	}
	program, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s is no program that images can be made of: %w", path, err)
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s needs libraries, which images do not have: install the Debian package busybox-static, as hack/edge-packages.sh does", path)
		}
	}
	return path, nil
}
