package app

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// run runs a command line.
func run(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestHelp(t *testing.T) {
	for _, command := range []string{"", "up", "down", "status", "kubeconfig", "cluster", "cluster up", "nodes"} {
		t.Run(command, func(t *testing.T) {
			got, err := run(t, append(strings.Fields(command), "--help")...)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "help-"+strings.ReplaceAll("koinon-playground "+command, " ", "-")+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("help text (-want +got), write with -update:\n%s", diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	koinon := filepath.Join(t.TempDir(), "koinon")
	tests := map[string]struct {
		args []string
		want string
	}{
		"one member is too few for the examples": {
			args: []string{"up", "--dir", empty, "--koinon", koinon, "--members", "1"},
			want: "--members=1 must be 2 (the examples name m1 and m2) to 20",
		},
		"a cluster name that is no label": {
			args: []string{"cluster", "up", "--dir", filepath.Join(t.TempDir(), "x"), "--name", "A_b"},
			want: `cluster name "A_b": `,
		},
		"a cluster with too many nodes": {
			args: []string{"cluster", "up", "--dir", filepath.Join(t.TempDir(), "x"), "--nodes", "1000"},
			want: "cluster cluster: 1000 nodes, must be 0 to 250",
		},
		"the status of nothing":     {args: []string{"status", "--dir", empty}, want: "there is no playground in " + empty},
		"the kubeconfig of nothing": {args: []string{"kubeconfig", "--dir", empty}, want: "there is no playground in " + empty},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, err := os.Stat(empty); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a directory was made: %v", err)
			}
		})
	}
}

func TestDownOfNothingIsHarmless(t *testing.T) {
	if _, err := run(t, "down", "--dir", filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
}
