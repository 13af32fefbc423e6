package member

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func newCluster(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg  Config
		want string
	}{
		"a name that is no DNS label": {Config{Name: "a.b", Dir: t.TempDir()}, `cluster name "a.b": `},
		"fewer than no nodes":         {Config{Name: "c", Dir: t.TempDir(), Nodes: -1}, "cluster c: -1 nodes, must be 0 to 250"},
		"a state that is not ours":    {Config{Name: "c", Dir: dir}, "read the state of cluster c in " + dir},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := New(test.cfg); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestPortsAndCredentialsStayTheSame(t *testing.T) {
	cfg := Config{Name: "c", Dir: filepath.Join(t.TempDir(), "c"), LogDir: t.TempDir()}
	first := newCluster(t, cfg)
	if err := first.prepare(); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := os.ReadFile(first.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	second := newCluster(t, cfg)
	if err := second.prepare(); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(second.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if first.state != second.state || string(kubeconfig) != string(again) {
		t.Errorf("the second start has other ports or another kubeconfig: %+v, then %+v", first.state, second.state)
	}
	if !strings.Contains(string(kubeconfig), second.Server()) {
		t.Errorf("the kubeconfig does not name the server %s", second.Server())
	}
}

func TestEverythingListensOnLoopback(t *testing.T) {
	c := newCluster(t, Config{Name: "c", Dir: filepath.Join(t.TempDir(), "c"), LogDir: t.TempDir(), Nodes: 1})
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	for _, program := range Programs {
		for _, arg := range c.args(program) {
			if strings.Contains(arg, "0.0.0.0") {
				t.Errorf("%s listens everywhere: %s", program, arg)
			}
		}
	}
	for _, program := range []string{APIServer, ControllerManager} {
		if !slices.Contains(c.args(program), "--bind-address=127.0.0.1") {
			t.Errorf("%s has no --bind-address=127.0.0.1: the default is every address", program)
		}
	}
}

func TestArgumentsOfTheCallerComeLast(t *testing.T) {
	c := newCluster(t, Config{Name: "c", Dir: t.TempDir(), LogDir: t.TempDir(), APIServerArgs: []string{"--profiling=true"}})
	args := c.args(APIServer)
	if got := args[len(args)-1]; got != "--profiling=true" {
		t.Errorf("last argument: got %s, want --profiling=true", got)
	}
}
