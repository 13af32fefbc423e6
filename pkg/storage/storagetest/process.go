package storagetest

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Process is a running program. It is killed when the test ends, and by the kernel when the
// test binary dies.
type Process struct {
	cmd *exec.Cmd
	// Exited is closed when the process has ended.
	Exited chan struct{}
}

// StartProcess starts a command.
func StartProcess(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{cmd: cmd, Exited: make(chan struct{})}
	started := make(chan error)
	// The kernel sends the signal when the thread that started the process ends, so that
	// thread stays with it and does nothing else. Ends with the process.
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.Exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Exited:
		return false
	default:
		return true
	}
}

// Kill is kill -9. It returns when the process is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.Exited
}

// Pause stops the process as it is; Resume lets it go on.
func (p *Process) Pause(t testing.TB) { p.signal(t, syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume(t testing.TB) { p.signal(t, syscall.SIGCONT) }

func (p *Process) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("send %s to %s: %v", signal, p.cmd.Path, err)
	}
}

// stop asks the process to end, and kills it when that takes too long.
func (p *Process) stop(t testing.TB, patience time.Duration) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.Exited:
	case <-time.After(patience):
		t.Errorf("%s did not end within %s of being asked to", p.cmd.Path, patience)
		p.Kill()
	}
}
