package tunnelconfig

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

const head = "apiVersion: tunnel.koinon.io/v1alpha1\nkind: TunnelConfiguration\n"

const whole = head + `
defaults:
  clusters: {connections: 100, idleTimeout: 1h}
  nodes: {connections: 10, connectTimeout: 2s}
  tenants: {dialsPerSecond: 200, weight: 2}
clusters:
- name: m1
  bytesPerSecond: 20Mi
  nodes: {connections: 5}
nodes:
- {cluster: m1, name: n1, waitingDials: 7}
- {cluster: m2, name: n1, idleTimeout: 10m}
tenants:
- {name: "user:alice", connections: 3}
- {name: "user:bob", weight: 6}
`

func TestWhatIsNotSaidIsTakenFromWhatIsMoreGeneral(t *testing.T) {
	rules, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	type limits = frontend.Limits
	type timeouts = frontend.Timeouts
	for name, want := range map[tunnel.Name]struct {
		limits
		timeouts
	}{
		{Cluster: "m1"}:             {limits{Connections: 100, BytesPerSecond: 20 << 20}, timeouts{Idle: time.Hour}},
		{Cluster: "m2"}:             {limits{Connections: 100}, timeouts{Idle: time.Hour}},
		{Cluster: "m1", Node: "n1"}: {limits{Connections: 5, Dials: 7}, timeouts{Connect: 2 * time.Second}},
		{Cluster: "m1", Node: "n2"}: {limits{Connections: 5}, timeouts{Connect: 2 * time.Second}},
		{Cluster: "m2", Node: "n1"}: {limits{Connections: 10}, timeouts{Connect: 2 * time.Second, Idle: 10 * time.Minute}},
		{Cluster: "m2", Node: "n2"}: {limits{Connections: 10}, timeouts{Connect: 2 * time.Second}},
	} {
		gotLimits, gotTimeouts := rules.Name(name)
		if diff := cmp.Diff(want.limits, gotLimits) + cmp.Diff(want.timeouts, gotTimeouts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for tenant, want := range map[string]limits{
		"user:alice": {Connections: 3, DialsPerSecond: 200, Weight: 2}, "user:bob": {DialsPerSecond: 200, Weight: 6}, "socket:m1": {DialsPerSecond: 200, Weight: 2},
	} {
		if diff := cmp.Diff(want, rules.Tenant(tenant)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tenant, diff)
		}
	}
}

func TestMistakesAreSentences(t *testing.T) {
	for what, test := range map[string]struct{ text, want string }{
		"nothing":              {"", `it has apiVersion "" and kind ""`},
		"another kind":         {"apiVersion: v1\nkind: ConfigMap\n", `it has apiVersion "v1" and kind "ConfigMap"`},
		"an unknown field":     {head + "defaults: {clusters: {connection: 1}}", `unknown field "defaults.clusters.connection"`},
		"a field twice":        {head + "clusters: []\nclusters: []\n", `key "clusters" already set in map`},
		"no number":            {head + "defaults: {nodes: {connections: many}}", "it is no TunnelConfiguration"},
		"nothing is carried":   {head + "defaults: {clusters: {connections: 0}}", "defaults.clusters.connections is 0: it must be between 1 and 1000000"},
		"too few bytes":        {head + "defaults: {tenants: {bytesPerSecond: 1Ki}}", "defaults.tenants.bytesPerSecond is 1Ki: it must be between 16Ki and 1Pi"},
		"too long a dial":      {head + "clusters: [{name: m1, connectTimeout: 1m}]", "clusters[0].connectTimeout is 1m0s: it must be between 100ms and 8s"},
		"too short a silence":  {head + "nodes: [{cluster: m1, name: n1, idleTimeout: 1ms}]", "nodes[0].idleTimeout is 1ms"},
		"a timeout of tenants": {head + "tenants: [{name: 'user:a', idleTimeout: 1h}]", `unknown field "tenants[0].idleTimeout"`},
		"too heavy":            {head + "tenants: [{name: 'user:a', weight: 101}]", "tenants[0].weight is 101: it must be between 1 and 100"},
		"a cluster's weight":   {head + "clusters: [{name: m1, weight: 2}]", `unknown field "clusters[0].weight"`},
		"a bad name":           {head + "clusters: [{name: M1}]", `clusters[0]: "M1" is no name of a cluster`},
		"a node of nobody":     {head + "nodes: [{cluster: m1}]", "nodes[0]: it has no name"},
		"a cluster twice":      {head + "clusters: [{name: m1}, {name: m1}]", `clusters[1]: cluster "m1" is there twice`},
		"a bad tenant":         {head + "tenants: [{name: alice}]", `tenants[0]: its name is "alice": user:NAME and socket:CLUSTER are allowed`},
		"a tenant twice":       {head + "tenants: [{name: 'user:a'}, {name: 'user:a'}]", `"user:a" is there twice`},
		"too long":             {head + strings.Repeat("#", MaxBytes), "bytes: 4194304 are allowed"},
	} {
		if _, err := Parse([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestAFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tunnel.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(path); err == nil {
		t.Error("a file that is not there is opened")
	}
	write(head + "wrong: true\n")
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is wrong: got %v", err)
	}
	write(head)
	file, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		file.Run(ctx, time.Millisecond, func(err error) {
			select {
			case changes <- err:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { cancel(); <-ended }()
	connections := func() int {
		limits, _ := file.Rules().Name(tunnel.Name{Cluster: "m1"})
		return limits.Connections
	}
	for _, step := range []struct {
		what  string
		do    func()
		right bool
		want  int
	}{
		{"other limits", func() { write(head + "defaults: {clusters: {connections: 5}}") }, true, 5},
		{"a mistake", func() { write(head + "defaults: {clusters: {connections: -5}}") }, false, 5},
		{"no file", func() { _ = os.Remove(path) }, false, 5},
		{"a file again", func() { write(head + "defaults: {clusters: {connections: 6}}") }, true, 6},
		{"a directory", func() { _ = os.Remove(path); _ = os.Mkdir(path, 0o700) }, false, 6},
		{"a file in its place", func() { _ = os.Remove(path); write(head + "defaults: {clusters: {connections: 7}}") }, true, 7},
		{"a pipe that nobody writes to", func() { _ = os.Remove(path); _ = syscall.Mkfifo(path, 0o600) }, false, 7},
		{"a file in the place of that", func() { write(head + "defaults: {clusters: {connections: 8}}") }, true, 8},
		{"an empty file", func() { write("") }, false, 8},
	} {
		step.do()
		if err := <-changes; (err == nil) != step.right || connections() != step.want {
			t.Errorf("%s: got %v and %d", step.what, err, connections())
		}
	}
}

// Whatever is in a file, it is right or refused, and what is right has limits that mean something.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(head + "clusters: [{name: m1, nodes: {bytesPerSecond: 1e30}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := Parse(text)
		if err != nil {
			return
		}
		for _, name := range []tunnel.Name{{Cluster: "m1"}, {Cluster: "m1", Node: "n1"}} {
			limits, timeouts := rules.Name(name)
			if limits.Connections < 0 || limits.Dials < 0 || limits.BytesPerSecond < 0 || limits.DialsPerSecond < 0 || timeouts.Connect < 0 || timeouts.Idle < 0 {
				t.Fatalf("%s has %+v, %+v", name, limits, timeouts)
			}
		}
	})
}
