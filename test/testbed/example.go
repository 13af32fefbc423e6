package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Example is a file of artifacts/examples, with something in place of what its reader has to put there: old and new, one pair after the other.
func Example(t testing.TB, name string, oldnew ...string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "artifacts", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Errorf("there is no %q in %s", oldnew[i], name)
		}
	}
	return strings.NewReplacer(oldnew...).Replace(string(text))
}
