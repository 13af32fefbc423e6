// Package home is the directory that a playground lives in.
//
//	DIR/playground.json   marks the directory as ours, and names the clusters
//	DIR/kubeconfig        a context for everything that runs
//	DIR/NAME/             state of cluster NAME, with a pid file for each program
//	DIR/koinon/           data of the control plane
//	DIR/koinon.pid
//	DIR/logs/             a log for each program
//
// An open Home is locked: a second program that opens it waits. A directory without the
// mark is never written to unless it is empty, and never removed.
package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/pkg/durable"
)

const (
	markFile = "playground.json"
	lockFile = "lock"
)

// Koinon is the name of the control plane among the programs of a playground. No cluster
// may have it.
const Koinon = "koinon"

// reserved are the names that no cluster may have, as they are taken in the directory.
var reserved = []string{Koinon, "koinon.pid", "logs", "kubeconfig", markFile, lockFile}

// ErrAbsent says that there is no playground in the directory.
var ErrAbsent = errors.New("there is no playground")

// Mark is the content of the mark file.
type Mark struct {
	// Clusters that run here.
	Clusters []ClusterMark `json:"clusters"`
	// Koinon is the control plane, if one was started.
	Koinon *KoinonMark `json:"koinon,omitempty"`
}

// ClusterMark is what is needed to start a cluster as it was.
type ClusterMark struct {
	Name                  string   `json:"name"`
	Nodes                 int      `json:"nodes"`
	APIServerArgs         []string `json:"apiServerArgs,omitempty"`
	ControllerManagerArgs []string `json:"controllerManagerArgs,omitempty"`
}

// KoinonMark is what is needed to start the control plane as it was.
type KoinonMark struct {
	// Port of 127.0.0.1 that it listens on; 0 before it was first ready.
	Port int `json:"port,omitempty"`
	// Datastore is the DSN of its store; empty is SQLite in its data directory. It may
	// hold a password: only the owner can read the file.
	Datastore string `json:"datastore,omitempty"`
}

// Home is an open playground directory.
type Home struct {
	Dir  string
	Mark Mark
	lock *os.File
}

// Create opens the playground in a directory, or starts a new one there. It waits for
// another program that has it open until ctx is done.
func Create(ctx context.Context, dir string) (*Home, error) {
	h, err := Open(ctx, dir)
	if !errors.Is(err, ErrAbsent) {
		return h, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look into %s: %w", dir, err)
	}
	for _, entry := range entries {
		if entry.Name() != lockFile {
			return nil, fmt.Errorf("%s holds files that are not a playground's (%s): choose an empty or new directory", dir, entry.Name())
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("directory of the playground: %w", err)
	}
	h = &Home{Dir: dir}
	if err := os.MkdirAll(h.Logs(), 0o700); err != nil {
		return nil, fmt.Errorf("make the playground's directory: %w", err)
	}
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	return h, h.Save()
}

// Open opens the playground in a directory. It returns ErrAbsent if there is none.
func Open(ctx context.Context, dir string) (*Home, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of the playground: %w", err)
	}
	h := &Home{Dir: abs}
	if _, err := os.Stat(h.Path(markFile)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrAbsent, dir)
	}
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	if err := h.load(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Peek reads the mark of a playground without locking it, as for a report.
func Peek(dir string) (*Home, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of the playground: %w", err)
	}
	h := &Home{Dir: abs}
	return h, h.load()
}

func (h *Home) load() error {
	data, err := os.ReadFile(h.Path(markFile))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w in %s", ErrAbsent, h.Dir)
	}
	if err != nil {
		return fmt.Errorf("read the playground's mark: %w", err)
	}
	if err := json.Unmarshal(data, &h.Mark); err != nil {
		return fmt.Errorf("read %s: %w", h.Path(markFile), err)
	}
	return nil
}

// acquire takes the lock. The kernel gives it back when the program ends.
func (h *Home) acquire(ctx context.Context) error {
	f, err := os.OpenFile(h.Path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the playground's lock: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			h.lock = f
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return fmt.Errorf("lock the playground: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return fmt.Errorf("another program is at work on the playground in %s: %w", h.Dir, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Close gives the lock back.
func (h *Home) Close() {
	if h.lock != nil {
		h.lock.Close()
		h.lock = nil
	}
}

// Save writes the mark.
func (h *Home) Save() error {
	data, err := json.MarshalIndent(h.Mark, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(h.Path(markFile), append(data, '\n'), 0o600)
}

// Add notes a cluster, before it is started. A cluster that is noted already stays as it
// is.
func (h *Home) Add(c ClusterMark) error {
	if slices.Contains(reserved, c.Name) {
		return fmt.Errorf("cluster name %q: must not be one of %v", c.Name, reserved)
	}
	for _, old := range h.Mark.Clusters {
		if old.Name == c.Name {
			return nil
		}
	}
	h.Mark.Clusters = append(h.Mark.Clusters, c)
	return h.Save()
}

// Cluster returns a noted cluster.
func (h *Home) Cluster(mark ClusterMark, binary string) (*member.Cluster, error) {
	return member.New(member.Config{
		Name:                  mark.Name,
		Dir:                   h.Path(mark.Name),
		LogDir:                h.Logs(),
		Binary:                binary,
		Nodes:                 mark.Nodes,
		APIServerArgs:         mark.APIServerArgs,
		ControllerManagerArgs: mark.ControllerManagerArgs,
	})
}

// Logs is the directory of the logs.
func (h *Home) Logs() string { return h.Path("logs") }

// Kubeconfig is the path of the playground's kubeconfig.
func (h *Home) Kubeconfig() string { return h.Path("kubeconfig") }

// KoinonPIDFile is the pid file of the control plane.
func (h *Home) KoinonPIDFile() string { return h.Path("koinon.pid") }

// Path is the path of a file in the directory.
func (h *Home) Path(elem ...string) string {
	return filepath.Join(append([]string{h.Dir}, elem...)...)
}

// Destroy kills every process of the playground and removes its directory. Files that
// are not the playground's stay, with the directory; the error then says so.
func (h *Home) Destroy(ctx context.Context) error {
	pidFiles := []string{h.KoinonPIDFile()}
	for _, c := range h.Mark.Clusters {
		for _, program := range member.Programs {
			pidFiles = append(pidFiles, h.Path(c.Name, program+".pid"))
		}
	}
	for _, pidFile := range pidFiles {
		if err := process.Stop(ctx, pidFile, 0); err != nil {
			return err
		}
	}
	for _, c := range h.Mark.Clusters {
		if err := os.RemoveAll(h.Path(c.Name)); err != nil {
			return fmt.Errorf("remove cluster %s: %w", c.Name, err)
		}
	}
	for _, name := range reserved {
		if err := os.RemoveAll(h.Path(name)); err != nil {
			return fmt.Errorf("remove the playground: %w", err)
		}
	}
	if err := os.Remove(h.Dir); err != nil {
		return fmt.Errorf("all of the playground is removed, but not its directory: %w", err)
	}
	return nil
}
