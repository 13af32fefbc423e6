package koinon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDatastoreIsNotOnTheCommandLine(t *testing.T) {
	s, err := New(Config{
		Binary: "/bin/koinon", DataDir: "/d", LogFile: "/l", PIDFile: "/p", Port: 1,
		Datastore: "mysql://u:secret@127.0.0.1:3306/k", Env: []string{"A=b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if args := strings.Join(s.args(), " "); strings.Contains(args, "secret") {
		t.Errorf("everybody can read the password: %s", args)
	}
	if want := []string{"KOINON_DATASTORE=mysql://u:secret@127.0.0.1:3306/k", "A=b"}; !slices.Equal(s.env(), want) {
		t.Errorf("environment: got %v, want %v", s.env(), want)
	}
}

func TestKubeconfigIsTheHosts(t *testing.T) {
	cfg := Config{Binary: "/bin/koinon", DataDir: "/d", LogFile: "/l", PIDFile: "/p"}
	standalone, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.HostKubeconfig = "/host"
	aggregated, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := standalone.Kubeconfig(); got != "/d/admin.kubeconfig" {
		t.Errorf("standalone: got %s", got)
	}
	if got := aggregated.Kubeconfig(); got != "/host" {
		t.Errorf("behind a host: got %s", got)
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Binary: "/bin/koinon", DataDir: "/d", LogFile: "/l", PIDFile: "/p"}
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"a relative data directory": {func(c *Config) { c.DataDir = "d" }, `data directory of koinon: "d" must be an absolute path`},
		"no binary":                 {func(c *Config) { c.Binary = "" }, `binary of koinon: "" must be an absolute path`},
		"a port that is none":       {func(c *Config) { c.Port = 70000 }, "port of koinon: 70000 must be 0 (any) to 65535"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			if _, err := New(cfg); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestFindBinary(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", t.TempDir())
	if _, err := FindBinary(filepath.Join(dir, "koinon-playground")); !errors.Is(err, ErrNoBinary) {
		t.Errorf("none anywhere: got %v, want ErrNoBinary", err)
	}
	want := filepath.Join(dir, "koinon")
	if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := FindBinary(filepath.Join(dir, "koinon-playground")); got != want || err != nil {
		t.Errorf("one beside: got %s, %v, want %s", got, err, want)
	}
}
