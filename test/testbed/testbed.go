// Package testbed starts real clusters and a real Koinon for integration tests.
//
//	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
//	k := testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig()})
//	testbed.Kubectl(t, host.Kubeconfig(), "get", "namespaces")
//
// A cluster is stock etcd, kube-apiserver and kube-controller-manager, with simulated
// nodes, as processes on free ports of loopback. It takes three to four seconds and about
// 500 MiB, so tests of one package should share: see Shared.
//
// The programs come from the bin directory of the repository, or the one that KOINON_BIN
// names; "make build" fills it. KOINON_KUBERNETES names an executable with the kube-apiserver and
// kube-controller-manager of another version, for all clusters, KOINON_KUBECTL another kubectl. Tests
// are skipped with -short.
//
// Everything ends with the test, and on Linux also if the test is killed. The logs of a
// test that failed are kept in _output/test-logs (or in KOINON_TEST_LOGS); the test says
// where.
//
// Functions may be called from several tests at once; one cluster or server is used by
// one goroutine at a time.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// playgroundBinary and koinonBinary are names in the bin directory.
const (
	playgroundBinary = "koinon-playground"
	koinonBinary     = "koinon"
)

// Root returns the root directory of the repository.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no go.mod in this directory or above")
		}
		dir = parent
	}
}

// Binary returns the path of a program that "make build" makes.
func Binary(name string) (string, error) {
	dir := os.Getenv("KOINON_BIN")
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not built, and this test runs it: run \"make build\" (or set KOINON_BIN to the directory that has it)", path)
	}
	return path, nil
}

// place is the directory of one cluster or server.
type place struct{ dir string }

func newPlace(name string) (place, error) {
	dir, err := os.MkdirTemp("", "koinon-test-"+name+"-")
	if err != nil {
		return place{}, fmt.Errorf("make a directory for %s: %w", name, err)
	}
	return place{dir}, os.Mkdir(filepath.Join(dir, "logs"), 0o700)
}

func (p place) logs() string { return filepath.Join(p.dir, "logs") }

// remove removes the directory, and keeps a copy of the logs if asked to. It returns
// where that is.
func (p place) remove(keepAs string) (kept string, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	if keepAs == "" {
		return "", nil
	}
	parent := os.Getenv("KOINON_TEST_LOGS")
	if parent == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		parent = filepath.Join(root, "_output", "test-logs")
	}
	kept = filepath.Join(parent, unsafeInNames.ReplaceAllString(keepAs, "_"))
	if err := os.RemoveAll(kept); err != nil {
		return "", fmt.Errorf("replace the logs of an earlier run: %w", err)
	}
	if err := os.CopyFS(kept, os.DirFS(p.logs())); err != nil {
		return "", fmt.Errorf("keep logs: %w", err)
	}
	return kept, nil
}

var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// clean registers what is to be done when the test ends.
func (p place) clean(t testing.TB, name string, kill func(context.Context) error) {
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		keepAs := ""
		if t.Failed() {
			keepAs = t.Name() + "-" + name
		}
		err := kill(ctx)
		kept, removeErr := p.remove(keepAs)
		if err := errors.Join(err, removeErr); err != nil {
			t.Errorf("clean up %s: %v", name, err)
		}
		if kept != "" {
			t.Logf("the logs of %s are in %s", name, kept)
		}
	})
}

func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
}

func must[T any](t testing.TB, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// config is RESTConfig of either.
func config(t testing.TB, load func() (*rest.Config, error)) *rest.Config {
	t.Helper()
	cfg, err := load()
	return must(t, cfg, err)
}

// orDefault returns the name, or the other one if it is empty.
func orDefault(name, other string) string {
	if strings.TrimSpace(name) == "" {
		return other
	}
	return name
}
