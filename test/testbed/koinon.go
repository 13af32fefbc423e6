package testbed

import (
	"cmp"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/cmd/koinon-playground/koinon"
)

// KoinonOptions say how to run the control plane.
type KoinonOptions struct {
	// HostKubeconfig puts the server behind a real host. Empty: standalone.
	HostKubeconfig string
	// Datastore is a DSN. Empty: SQLite in the data directory.
	Datastore string
	// Args are added to "koinon server".
	Args []string
	// Env is added to the environment, as KEY=VALUE.
	Env []string
	// StopGrace is how long the server may take to end when it is asked to: 30 s by default.
	StopGrace time.Duration
}

// Koinon is a running control plane.
type Koinon struct {
	place     place
	server    *koinon.Server
	stopGrace time.Duration
}

const defaultStopGrace = 30 * time.Second

// StartKoinon starts a control plane that lives as long as the test, and returns once it
// is ready. In aggregated mode, ready is what the server says of itself: the host's
// APIServices may take a moment more.
func StartKoinon(t testing.TB, o KoinonOptions) *Koinon {
	t.Helper()
	skipShort(t)
	k, err := newKoinon(o)
	if err != nil {
		t.Fatal(err)
	}
	k.place.clean(t, koinonBinary, func(ctx context.Context) error { return k.server.Kill(ctx) })
	if err := k.server.StartOnAnyPort(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

func newKoinon(o KoinonOptions) (*Koinon, error) {
	binary, err := Binary(koinonBinary)
	if err != nil {
		return nil, err
	}
	p, err := newPlace(koinonBinary)
	if err != nil {
		return nil, err
	}
	server, err := koinon.New(koinon.Config{
		Binary:         binary,
		DataDir:        filepath.Join(p.dir, "data"),
		LogFile:        filepath.Join(p.logs(), "koinon.log"),
		PIDFile:        filepath.Join(p.dir, "koinon.pid"),
		Datastore:      o.Datastore,
		HostKubeconfig: o.HostKubeconfig,
		Args:           o.Args,
		Env:            o.Env,
		Tied:           true,
	})
	if err != nil {
		_, removeErr := p.remove("")
		return nil, errors.Join(err, removeErr)
	}
	return &Koinon{place: p, server: server, stopGrace: cmp.Or(o.StopGrace, defaultStopGrace)}, nil
}

// Kubeconfig is the path of the administrator's kubeconfig: in aggregated mode, the
// host's.
func (k *Koinon) Kubeconfig() string { return k.server.Kubeconfig() }

// RESTConfig is the administrator's access, without a limit on requests. Every call
// returns a copy.
func (k *Koinon) RESTConfig(t testing.TB) *rest.Config {
	t.Helper()
	return config(t, k.server.RESTConfig)
}

// URL of the server itself.
func (k *Koinon) URL() string { return k.server.URL() }

// Port that the server listens on, on 127.0.0.1.
func (k *Koinon) Port() int { return k.server.Port }

// DataDir of the server.
func (k *Koinon) DataDir() string { return k.server.DataDir }

// LogFile of the server.
func (k *Koinon) LogFile() string { return k.server.LogFile }

// User makes a certificate of a user of the server's own authority. dir has it, and that of the authority, in tls.crt, tls.key and ca.crt.
func (k *Koinon) User(t testing.TB, name string, args ...string) (kubeconfig, dir string) {
	t.Helper()
	binary, err := Binary(koinonBinary)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	kubeconfig = filepath.Join(dir, "kubeconfig")
	cmd := exec.CommandContext(t.Context(), binary, append([]string{
		"kubeconfig", "--data-dir=" + k.DataDir(), "--user=" + name, "--output=" + kubeconfig, "--certificate-directory=" + dir,
	}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("koinon kubeconfig: %v\n%s", err, out)
	}
	return kubeconfig, dir
}

// Kill9 kills the server as with kill -9, and keeps its data.
func (k *Koinon) Kill9(t testing.TB) {
	t.Helper()
	if err := k.server.Kill(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// Stop asks the server to end and waits for that; one that does not is killed, and fails
// the test.
func (k *Koinon) Stop(t testing.TB) {
	t.Helper()
	began := time.Now()
	if err := k.server.Stop(context.WithoutCancel(t.Context()), k.stopGrace); err != nil {
		t.Fatal(err)
	}
	if time.Since(began) >= k.stopGrace {
		t.Errorf("koinon did not end within %s of being asked to", k.stopGrace)
	}
}

// Start starts a server that was stopped or killed, on the same port and data, and waits
// until it is ready.
func (k *Koinon) Start(t testing.TB) {
	t.Helper()
	if err := k.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Restart stops the server as Stop does, and starts it again.
func (k *Koinon) Restart(t testing.TB) {
	t.Helper()
	k.Stop(t)
	k.Start(t)
}

// stop ends a server that no test owns.
func (k *Koinon) stop(ctx context.Context, keepLogsAs string) error {
	err := k.server.Kill(ctx)
	_, removeErr := k.place.remove(keepLogsAs)
	return errors.Join(err, removeErr)
}
