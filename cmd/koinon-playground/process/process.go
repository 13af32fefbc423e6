// Package process starts programs that outlive their parent, and finds and stops them
// again.
//
// What is known of a program is a pid file: one line, "PID STARTTIME". The start time
// (as the operating system tells it) makes sure that a process that was given the same
// pid later is never taken for ours. The package never looks for processes by name.
//
// All functions may be called concurrently, but for one pid file at a time only.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Spec is a program to start.
type Spec struct {
	// Path of the executable, and its arguments.
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// LogFile receives standard output and standard error; it is appended to.
	LogFile string
	// PIDFile is written once the program runs.
	PIDFile string
	// Tied programs die with this process (on Linux even if it is killed). Others are
	// in a session of their own and stay.
	Tied bool
}

// Start starts the program. It returns once the pid file is written; whether the program
// is of any use by then is for the caller to find out. If the one before it was killed a
// moment ago, it waits until that one's ports are free.
func Start(s Spec) error {
	last, _ := Find(s.PIDFile)
	for deadline := time.Now().Add(killTimeout); lingers(last) && time.Now().Before(deadline); {
		time.Sleep(pollInterval)
	}
	log, err := os.OpenFile(s.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", filepath.Base(s.Path), err)
	}
	defer log.Close()
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: !s.Tied}
	if s.Tied {
		dieWithParent(cmd.SysProcAttr)
	}
	started := make(chan error, 1)
	// Ends with the program. Without it, a program that fails would stay a zombie for
	// as long as this process runs.
	go func() {
		if s.Tied {
			// Linux ties a program to the thread that started it, and Go ends threads.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", s.Path, err)
	}
	if err := writePIDFile(s.PIDFile, cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	return nil
}

func writePIDFile(path string, pid int) error {
	start, err := startTime(pid)
	if err != nil {
		start = "gone" // it ended at once: no process will ever match
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "%d %s\n", pid, start), 0o600); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// Find returns the pid of the program that a pid file names, and whether it runs.
func Find(pidFile string) (pid int, running bool) {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, false
	}
	number, start, ok := strings.Cut(strings.TrimSpace(string(data)), " ")
	if _, err := fmt.Sscanf(number, "%d", &pid); !ok || err != nil || pid <= 1 {
		return 0, false
	}
	now, err := startTime(pid)
	return pid, err == nil && now == start
}

// Signal sends a signal to the program of a pid file, if it runs.
func Signal(pidFile string, signal syscall.Signal) error {
	pid, running := Find(pidFile)
	if !running {
		return nil
	}
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d of %s: %w", pid, pidFile, err)
	}
	return nil
}

// pollInterval is how often Stop looks whether a program has ended: programs may be
// children of a process that is gone, so there is nothing to wait on.
const pollInterval = 10 * time.Millisecond

// killTimeout is how long a killed process may take to be gone.
const killTimeout = 10 * time.Second

// Stop ends the program of a pid file and removes the file. It asks first and kills after
// grace, or at once if grace is 0. A program that does not run is no error.
func Stop(ctx context.Context, pidFile string, grace time.Duration) error {
	if grace > 0 {
		if err := Signal(pidFile, syscall.SIGTERM); err != nil {
			return err
		}
	}
	if !waitGone(ctx, pidFile, grace) {
		if err := Signal(pidFile, syscall.SIGKILL); err != nil {
			return err
		}
		if !waitGone(context.WithoutCancel(ctx), pidFile, killTimeout) {
			return fmt.Errorf("the process of %s did not end within %s of being killed", pidFile, killTimeout)
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}

func waitGone(ctx context.Context, pidFile string, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for {
		if pid, running := Find(pidFile); !running && !lingers(pid) {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollInterval):
		}
	}
}

// Tail returns the last lines of a log file, or a sentence on why there are none. Lines
// are cut to a readable length.
func Tail(logFile string, lines int) string {
	const keep, width = 64 << 10, 400
	f, err := os.Open(logFile)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	defer f.Close()
	if size, err := f.Seek(0, 2); err == nil {
		_, _ = f.Seek(max(0, size-keep), 0)
	}
	buf := make([]byte, keep)
	n, _ := f.Read(buf)
	all := strings.Split(strings.TrimRight(string(buf[:n]), "\n"), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		if len(line) > width {
			all[i] = line[:width] + "…"
		}
	}
	return strings.Join(all, "\n")
}
