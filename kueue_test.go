package koinon

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The test of Kueue is skipped where hack/kueue.sh succeeds and builds nothing, so that it may do so for want of a network alone.
func TestKueueIsLeftOutOnlyWhereItsModulesCannotBeReached(t *testing.T) {
	for said, leftOut := range map[string]bool{
		`go: example.com/a@v1.0.0: Get "https://proxy.example/a": dial tcp: lookup proxy.example: no such host`: true,
		"go: example.com/a@v1.0.0: reading https://proxy.example/a: 404 Not Found":                              true,
		"go: example.com/a@v1.0.0: module lookup disabled by GOPROXY=off":                                       true,
		"verifying example.com/a@v1.0.0: checksum mismatch\nSECURITY ERROR":                                     false,
		"go: example.com/a@v1.0.0: dial tcp: refused\nverifying example.com/b@v1.0.0: checksum mismatch":        false,
		"go: errors parsing go.mod": false,
	} {
		dir := t.TempDir()
		fake := "#!/bin/sh\ncat >&2 <<'END'\n" + said + "\nEND\nexit 1\n"
		if err := os.WriteFile(filepath.Join(dir, "go"), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "hack/kueue.sh", filepath.Join(dir, "kueue"))
		cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); (err == nil) != leftOut {
			t.Errorf("go said %q, and it ended with %v:\n%s", said, err, out)
		}
	}
}
