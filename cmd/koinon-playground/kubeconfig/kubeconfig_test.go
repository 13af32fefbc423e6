package kubeconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

func TestMergeRenamesContextsAndKeepsTheFirstCurrent(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, a Access) string {
		path := filepath.Join(dir, name)
		if err := Write(path, New(a)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	koinon := file("k", Access{Context: "admin", Server: "https://127.0.0.1:1", CA: []byte("ca1"), Cert: []byte("c1"), Key: []byte("k1")})
	m1 := file("m1", Access{Context: "admin", Server: "https://127.0.0.1:2", CA: []byte("ca2"), Cert: []byte("c2"), Key: []byte("k2"), Namespace: "shop"})
	merged, err := Merge(Source{"koinon", koinon}, Source{"m1", m1})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "merged")
	if err := Write(out, merged); err != nil {
		t.Fatal(err)
	}
	loaded, err := clientcmd.LoadFromFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for name, c := range loaded.Contexts {
		got[name] = []string{
			loaded.Clusters[c.Cluster].Server, string(loaded.Clusters[c.Cluster].CertificateAuthorityData),
			string(loaded.AuthInfos[c.AuthInfo].ClientKeyData), c.Namespace,
		}
	}
	want := map[string][]string{
		"koinon": {"https://127.0.0.1:1", "ca1", "k1", ""},
		"m1":     {"https://127.0.0.1:2", "ca2", "k2", "shop"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contexts (-want +got):\n%s", diff)
	}
	if loaded.CurrentContext != "koinon" {
		t.Errorf("current context: got %q, want koinon", loaded.CurrentContext)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v (%v), want 0600", info.Mode(), err)
	}
}

func TestMergeRefusesAFileWithoutAContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(path, []byte("apiVersion: v1\nkind: Config\ncurrent-context: gone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Merge(Source{"m1", path})
	if err == nil || !strings.Contains(err.Error(), `current context "gone" must exist`) {
		t.Errorf("got %v, want a sentence on the context that is missing", err)
	}
}

func TestWhatUsersHaveAddedStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := Keep(New(Access{Context: "koinon"}), file); err != nil {
		t.Errorf("of a file that is not there: %v", err)
	}
	old := New(Access{Context: "koinon", Server: "https://127.0.0.1:1"})
	added := New(Access{Context: "koinon/m1", Server: "https://127.0.0.1:1/proxy"})
	if err := Write(file, added); err != nil {
		t.Fatal(err)
	}
	if err := Keep(old, file); err != nil {
		t.Fatal(err)
	}
	if err := Write(file, old); err != nil {
		t.Fatal(err)
	}
	now := New(Access{Context: "koinon", Server: "https://127.0.0.1:2"})
	if err := Keep(now, file); err != nil {
		t.Fatal(err)
	}
	servers := map[string]string{}
	for name, c := range now.Contexts {
		servers[name] = now.Clusters[c.Cluster].Server
	}
	if diff := cmp.Diff(map[string]string{"koinon": "https://127.0.0.1:2", "koinon/m1": "https://127.0.0.1:1/proxy"}, servers); diff != "" {
		t.Errorf("servers of contexts (-want +got):\n%s", diff)
	}
}
