package app

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// koinon runs the command line and returns what it printed.
func koinon(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := NewCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestHelpOfTheServerBeginsWithExamplesAndItsOwnFlags(t *testing.T) {
	help, err := koinon(t, "server", "--help")
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, want := range []string{"Run the control plane", "Examples:\n", "koinon server --data-dir", "Usage:\n", "--data-dir string", "--datastore string", "--host-kubeconfig string", "--feature-gates NAME=true|false,..."} {
		next := strings.Index(help[at+1:], want)
		if next < 0 {
			t.Fatalf("%q is not there, or not in its place:\n%s", want, help)
		}
		at += 1 + next
	}
	for _, foreign := range []string{"colonSeparated", "wardle", "Options are:", "members of the cluster", "this master"} {
		if strings.Contains(help, foreign) {
			t.Errorf("help says %q", foreign)
		}
	}
}

func TestMistakesInFlagsAreOneSentenceEach(t *testing.T) {
	_, err := koinon(t, "server", "--in-cluster", "--host-kubeconfig", "x", "--data-dir", t.TempDir())
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "--datastore is not given") || lines[1] != "--host-kubeconfig and --in-cluster are both given: the host is the one or the other" {
		t.Errorf("got %q", lines)
	}
}

func TestAKubeconfigOfADirectoryThatIsNotThere(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nope")
	for _, args := range [][]string{nil, {"--server", "https://10.0.0.5:6443"}, {"--break-glass", "--output", "-"}} {
		_, err := koinon(t, append([]string{"kubeconfig", "--data-dir", missing}, args...)...)
		if want := "the directory --data-dir=" + missing + " is not there"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
}

func TestAMistypedCommandOfTheDatastoreIsNotRepeated(t *testing.T) {
	_, err := koinon(t, "datastore", "statos")
	if want := "unknown command: did you mean status? See koinon datastore --help"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
