package storesuite

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // for the replacement of the test server
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	apiserver = "k8s.io/apiserver"
	// replaced is the file of k8s.io/apiserver that ours takes the place of.
	replaced = "pkg/storage/etcd3/testserver/test_server.go"
)

//go:embed testserver/test_server.go
var testServer []byte

// Suite is a package of k8s.io/apiserver with tests of a store.
type Suite string

// Suites are those that are run.
var Suites = []Suite{"etcd3", "cacher"}

func (s Suite) importPath() string { return apiserver + "/pkg/storage/" + string(s) }

// Workspace is a copy of k8s.io/apiserver whose storage tests use our store, and a go.mod
// that makes the module in the current directory use the copy.
type Workspace struct {
	// apiserver is the copy. It is kept for the next run, so that Go's cache knows it.
	apiserver string
	// dir holds go.mod, go.sum and the test binaries.
	dir string
}

// NewWorkspace prepares a workspace. dir is an empty directory; the copy is made beneath
// the user's cache directory, unless it is there already.
func NewWorkspace(ctx context.Context, dir string) (*Workspace, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	copied, err := copyModule(ctx, filepath.Join(cache, "koinon", "storesuite"))
	if err != nil {
		return nil, err
	}
	w := &Workspace{apiserver: copied, dir: dir}
	return w, w.writeModFile(ctx)
}

// module is what `go list -m -json` says of a module.
type module struct {
	Dir     string
	Version string
	GoMod   string
	Replace *module
}

func findModule(ctx context.Context, args ...string) (module, error) {
	var found module
	output, err := outputOf(exec.CommandContext(ctx, "go", append([]string{"list", "-m", "-json"}, args...)...))
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(output, &found); err != nil {
		return found, fmt.Errorf("read the output of go list: %w", err)
	}
	if found.Replace != nil {
		found.Version = found.Replace.Version
	}
	return found, nil
}

// copyModule copies k8s.io/apiserver into a directory below parent, and returns it. Its
// name has the version and a hash of our test server in it, and it appears complete or not
// at all.
func copyModule(ctx context.Context, parent string) (string, error) {
	source, err := findModule(ctx, apiserver)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", apiserver, err)
	}
	target := filepath.Join(parent, fmt.Sprintf("apiserver-%s-%.6x", source.Version, sha256.Sum256(testServer)))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of the copy: %w", err)
	}
	unfinished, err := os.MkdirTemp(parent, "unfinished-")
	if err != nil {
		return "", fmt.Errorf("make the copy of %s: %w", apiserver, err)
	}
	defer func() { _ = os.RemoveAll(unfinished) }()
	if err := copyTree(unfinished, source.Dir); err != nil {
		return "", fmt.Errorf("copy %s: %w", apiserver, err)
	}
	if err := os.WriteFile(filepath.Join(unfinished, replaced), testServer, 0o600); err != nil {
		return "", fmt.Errorf("replace the test server: %w", err)
	}
	// Another process may have been quicker; its copy is the same.
	if err := os.Rename(unfinished, target); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep the copy of %s: %w", apiserver, err)
	}
	return target, nil
}

// copyTree copies files and directories. What is in the module cache is read-only; the copy
// is not, so that it can be removed.
func copyTree(target, source string) error {
	return fs.WalkDir(os.DirFS(source), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(target, path), 0o700)
		}
		content, err := os.ReadFile(filepath.Join(source, path))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, path), content, 0o600)
	})
}

// writeModFile writes our go.mod with the copy as replacement, and go.sum beside it.
func (w *Workspace) writeModFile(ctx context.Context) error {
	own, err := findModule(ctx)
	if err != nil {
		return fmt.Errorf("find our own module: %w", err)
	}
	for name, from := range map[string]string{w.modFile(): own.GoMod, filepath.Join(w.dir, "go.sum"): filepath.Join(own.Dir, "go.sum")} {
		content, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("copy go.mod and go.sum: %w", err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return fmt.Errorf("copy go.mod and go.sum: %w", err)
		}
	}
	if _, err := outputOf(exec.CommandContext(ctx, "go", "mod", "edit", "-replace="+apiserver+"="+w.apiserver, w.modFile())); err != nil {
		return fmt.Errorf("replace %s: %w", apiserver, err)
	}
	return nil
}

func (w *Workspace) modFile() string { return filepath.Join(w.dir, "go.mod") }

func (w *Workspace) binary(suite Suite) string { return filepath.Join(w.dir, string(suite)+".test") }

// Build compiles the tests of a suite. It must have ended before Run.
func (w *Workspace) Build(ctx context.Context, suite Suite) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-modfile="+w.modFile(), "-o", w.binary(suite), suite.importPath())
	if _, err := outputOf(cmd); err != nil {
		return fmt.Errorf("compile the tests of %s: %w", suite.importPath(), err)
	}
	return nil
}

// outputOf returns what a command writes; its error has what it complains about.
func outputOf(cmd *exec.Cmd) ([]byte, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, complaint.String())
	}
	return output, nil
}
