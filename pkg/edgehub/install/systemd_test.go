//go:build linux

package install

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// systemd is systemd as far as the installer uses it: what it starts are processes. It is strict: a unit that is on the disk is not known, or as it was, before daemon-reload, and what is not there cannot be disabled.
type systemd struct {
	m *machineUnderTest

	mu sync.Mutex
	// What follows is guarded by mu.

	loaded map[string]string
	runs   map[string]*exec.Cmd
	// started counts how often a unit was, and broken are units that do not start again.
	started map[string]int
	broken  map[string]bool
}

// serve answers testdata/systemctl until it is asked to quit.
func (s *systemd) serve(t *testing.T) {
	for _, name := range []string{"ask", "answer", "fifo"} {
		if err := syscall.Mkfifo(s.m.path(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() { // ends when it is asked to quit
		defer close(ended)
		for {
			text, err := os.ReadFile(s.m.path("ask"))
			if err != nil || string(text) == "quit" {
				return
			}
			out, err := s.do(strings.Fields(string(text)))
			answer := "0\n" + out
			if err != nil {
				answer = "1\n" + err.Error() + "\n"
			}
			if os.WriteFile(s.m.path("answer"), []byte(answer), 0) != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := os.WriteFile(s.m.path("ask"), []byte("quit"), 0); err != nil {
			t.Error(err)
		}
		<-ended
		for unit := range s.runs {
			s.stop(unit)
		}
	})
}

// running says whether a unit runs, and how often it was started.
func (s *systemd) running(unit string) (bool, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[unit] != nil, s.started[unit]
}

// breaks has units not start again, and no others.
func (s *systemd) breaks(units ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = map[string]bool{}
	for _, unit := range units {
		s.broken[unit] = true
	}
}

func (s *systemd) do(args []string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unit := args[len(args)-1]
	on, wants := s.m.path("units/"+unit), s.m.path("units/multi-user.target.wants/"+unit)
	switch what := args[0]; what {
	case "daemon-reload":
		return "", s.reload()
	case "show":
		return s.show(args[1]), nil
	case "start":
		return "", s.start(unit)
	case "restart":
		if s.broken[unit] {
			return "", fmt.Errorf("Job for %s failed.", unit) //nolint:staticcheck // systemd's
		}
		s.stop(unit)
		return "", s.start(unit)
	case "enable", "disable":
		if _, err := os.Stat(on); err != nil {
			return "", fmt.Errorf("Failed to %s unit: Unit file %s does not exist.", what, unit) //nolint:staticcheck // systemd's
		}
		if what == "disable" {
			s.stop(unit)
			_ = os.Remove(wants)
			return "", nil
		}
		if err := os.MkdirAll(filepath.Dir(wants), 0o755); err != nil {
			return "", err
		}
		_ = os.Remove(wants)
		return "", os.Symlink(on, wants)
	}
	return "", fmt.Errorf("Unknown command verb %s.", args[0]) //nolint:staticcheck // systemd's
}

func (s *systemd) reload() error {
	s.loaded = map[string]string{}
	paths, err := filepath.Glob(s.m.path("units/*.service"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s.loaded[filepath.Base(path)] = string(text)
	}
	return err
}

func (s *systemd) show(unit string) string {
	state, pid := "not-found", 0
	if _, ok := s.loaded[unit]; ok {
		state = "loaded"
	}
	if cmd := s.runs[unit]; cmd != nil {
		pid = cmd.Process.Pid
	}
	return fmt.Sprintf("LoadState=%s\nMainPID=%d\n", state, pid)
}

func (s *systemd) stop(unit string) {
	if cmd := s.runs[unit]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(s.runs, unit)
	}
}

// start starts a program, and keeps what it reads when it does.
func (s *systemd) start(unit string) error {
	text, ok := s.loaded[unit]
	if !ok {
		return fmt.Errorf("Failed to start %s: Unit %s not found.", unit, unit) //nolint:staticcheck // systemd's
	}
	if s.runs[unit] != nil {
		return nil
	}
	_, text, _ = strings.Cut(strings.ReplaceAll(text, "\\\n", ""), "ExecStart=")
	text, _, _ = strings.Cut(text, "\n")
	words := strings.Fields(text)
	read := s.m.path("run/" + unit)
	if err := os.RemoveAll(read); err != nil {
		return err
	}
	if err := os.CopyFS(read, existing{os.DirFS(s.m.path("etc"))}); err != nil {
		return err
	}
	cmd := exec.Command(words[0], words[1:]...)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.runs[unit] = cmd
	s.started[unit]++
	return nil
}

// existing is a file system with links as what they lead to.
type existing struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (e existing) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(e.FS, name)
	for at, entry := range entries {
		if info, err := fs.Stat(e.FS, filepath.Join(name, entry.Name())); err == nil {
			entries[at] = fs.FileInfoToDirEntry(info)
		}
	}
	return entries, err
}
