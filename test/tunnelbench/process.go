package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one that was started here. It ends with this one.
type process struct {
	name string
	cmd  *exec.Cmd
	// ended is closed when it has, and err is how.
	ended chan struct{}
	err   error
	log   string

	mu  sync.Mutex     // one call at a time
	in  io.WriteCloser // nil of programs that take no calls
	out *bufio.Reader
}

// starter starts processes from one thread that lasts: Linux ends a process with the thread that began it, if it is told to end it
// with its parent.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() { // lasts as long as this process
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// start starts a program. Its log is NAME.log in dir.
func start(dir, name, path string, args []string, env []string, calls bool) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), ended: make(chan struct{}), log: filepath.Join(dir, name+".log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if calls {
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if p.in, err = p.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		p.out = bufio.NewReaderSize(out, 64*kibi)
	} else {
		p.cmd.Stdout = log
	}
	begun := make(chan error)
	starter() <- func() { begun <- p.cmd.Start() }
	if err := <-begun; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the process
		if p.out == nil {
			p.err = p.cmd.Wait()
		} else { // Wait would close what is being read
			_, p.err = p.cmd.Process.Wait()
		}
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends it at once, and waits until it has.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// failed adds the end of the log to an error.
func (p *process) failed(err error) error {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s: %w; its log ends with: %s", p.name, err, strings.Join(lines[max(len(lines)-3, 0):], " | "))
}

// hear waits for a line.
func (p *process) hear(ctx context.Context, answer any) error {
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() }) // who does not answer is of no use any more
	defer stop()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return p.failed(errors.Join(err, ctx.Err()))
	}
	return json.Unmarshal(line, answer)
}

// call asks a process for something.
func (p *process) call(ctx context.Context, o order) (answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return answer{}, p.failed(err)
	}
	var a answer
	if err := p.hear(ctx, &a); err != nil {
		return answer{}, err
	}
	if a.Err != "" {
		return a, fmt.Errorf("%s: %s", p.name, a.Err)
	}
	return a, nil
}

// processorTime is the user and system time of processes so far. Linux keeps it to the nanosecond, in a clock of each process.
func processorTime(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		const ofProcess = 2 // CPUCLOCK_SCHED: see clock_getcpuclockid(3)
		var at unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|ofProcess), &at); err != nil {
			return 0, fmt.Errorf("the processor time of process %d: %w", pid, err)
		}
		sum += time.Duration(at.Nano())
	}
	return sum, nil
}

// resident is how much memory a process has, in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("the memory of process %d is not known", pid)
}

// patience is how long anything may take before it has failed.
const patience = 30 * time.Second

// eventually waits until something is so.
func eventually(ctx context.Context, what string, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
	return nil
}
