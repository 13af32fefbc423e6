package quickstart

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/cmd/koinon-playground/home"
)

func TestNextCommandsAreThoseOfProgramsThatAreThere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	print := func() string {
		var out bytes.Buffer
		q := &quickstart{Options: Options{Binary: filepath.Join(dir, "bin", "koinon-playground"), Out: &out}, home: &home.Home{Dir: filepath.Join(dir, "my files")}}
		if err := q.printNext(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if alone := print(); strings.Contains(alone, "PLUGIN") || strings.Contains(alone, "koinon/m1") || !strings.Contains(alone, "  bin/koinon-playground kubectl get fdeploy") {
		t.Errorf("alone: got\n%s", alone)
	}
	if err := os.Mkdir("bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile("bin/kubectl", nil, 0o755), os.WriteFile("bin/kubectl-koinon", nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	want := "  bin/kubectl-koinon kubeconfig m1 --merge && bin/kubectl --context koinon/m1 get pods -A\n"
	if both := print(); !strings.Contains(both, want) || !strings.Contains(both, "  bin/koinon-playground down --dir 'my files'\n") {
		t.Errorf("beside its programs: got\n%s\nwant %q in it", both, want)
	}
}

func TestNearest(t *testing.T) {
	tests := map[string]struct{ cwd, path, want string }{
		"below the current directory": {"/a/b", "/a/b/bin/kubectl", "bin/kubectl"},
		"beside it":                   {"/a/b", "/a/c/kubectl", "/a/c/kubectl"},
		"a name that begins alike":    {"/a/b", "/a/bb/kubectl", "/a/bb/kubectl"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := nearest(test.cwd, test.path); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		".playground/kubeconfig": ".playground/kubeconfig",
		"my files/k":             "'my files/k'",
		"it's":                   `'it'\''s'`,
		"$HOME":                  "'$HOME'",
		"":                       "''",
	} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q): got %s, want %s", word, got, want)
		}
	}
}
