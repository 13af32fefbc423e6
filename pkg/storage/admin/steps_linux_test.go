//go:build linux && amd64

package admin

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// changesFiles are the system calls with which a process changes files. What is there when one
// begins is what is left if the process is killed at that moment.
var changesFiles = map[uint64]bool{
	syscall.SYS_WRITE: true, syscall.SYS_PWRITE64: true, syscall.SYS_FSYNC: true, syscall.SYS_FDATASYNC: true,
	syscall.SYS_FTRUNCATE: true, syscall.SYS_UNLINK: true, syscall.SYS_UNLINKAT: true,
	syscall.SYS_RENAME: true, syscall.SYS_RENAMEAT: true, syscall.SYS_OPENAT: true, syscall.SYS_MKDIRAT: true,
	syscall.SYS_EXIT_GROUP: true,
}

// onlyThisThread has wait4 leave the other children of this process alone.
const onlyThisThread = syscall.WALL | 0x20000000 // __WNOTHREAD

// eachStep runs a process and stops it at each step that changes files.
func eachStep(t *testing.T, cmd *exec.Cmd, stopped func()) {
	t.Helper()
	runtime.LockOSThread() // a process is traced by a thread
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Skipf("processes cannot be traced here: %v", err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	const killedWithTracer = 0x100000 // PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(cmd.Process.Pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|killedWithTracer); err != nil {
		t.Fatal(err)
	}
	inside := map[int]bool{} // the threads that are in a system call
	for pid, deliver := cmd.Process.Pid, 0; ; {
		if err := syscall.PtraceSyscall(pid, deliver); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		var err error
		if pid, err = syscall.Wait4(-1, &status, onlyThisThread, nil); err != nil {
			t.Fatal(err)
		}
		deliver = 0
		switch {
		case status.Exited() || status.Signaled():
			if pid == cmd.Process.Pid {
				if status.ExitStatus() != 0 {
					t.Fatalf("it ended with %v: %s", status, cmd.Stdout)
				}
				return
			}
		case status.StopSignal() == syscall.SIGTRAP|0x80: // a system call begins or ends
			if inside[pid] = !inside[pid]; inside[pid] && atChange(pid) {
				stopped()
			}
		case status.StopSignal() != syscall.SIGTRAP && status.StopSignal() != syscall.SIGSTOP:
			deliver = int(status.StopSignal())
		}
	}
}

func atChange(pid int) bool {
	var registers syscall.PtraceRegs
	return syscall.PtraceGetRegs(pid, &registers) == nil && changesFiles[registers.Orig_rax]
}

// snapshot is what is in a directory, by name.
type snapshot map[string][]byte

func takeSnapshot(t *testing.T, dir string) snapshot {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	taken := snapshot{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		taken[entry.Name()] = content
	}
	return taken
}

func (s snapshot) equal(other snapshot) bool {
	if len(s) != len(other) {
		return false
	}
	for name, content := range s {
		if found, there := other[name]; !there || !bytes.Equal(content, found) {
			return false
		}
	}
	return true
}

// nothing says that nothing was begun: there is at most an empty file.
func (s snapshot) nothing() bool {
	for name, content := range s {
		if name != "koinon.db" || len(content) > 0 {
			return false
		}
	}
	return true
}

// put makes a directory with what is in the snapshot, and returns the value of its datastore.
func (s snapshot) put(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range s {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "sqlite://" + filepath.Join(dir, "koinon.db")
}

// TestServersRefuseWhatACopyThatWasKilledAtAnyStepHasLeft looks at what is on the disk before
// every system call of a restore and of a migration that changes a file: at all of them if
// storagetest.Long says so, or else at some.
func TestServersRefuseWhatACopyThatWasKilledAtAnyStepHasLeft(t *testing.T) {
	source := sqlite(t)
	client, stop := serve(t, source)
	fill(t, client)
	path, _ := mustBackup(t, source)
	want := contents(t, source, true)
	stop()
	const everyday = 16 // of about eighty
	for _, job := range []string{"restore", "migrate"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			into := sqlite(t)
			from := map[string]string{"restore": path, "migrate": source}[job]
			var taken []snapshot
			cmd := helper(t, job, into, from)
			cmd.Stdout = &bytes.Buffer{}
			dir := filepath.Dir(strings.TrimPrefix(into, "sqlite://"))
			eachStep(t, cmd, func() {
				now := takeSnapshot(t, dir)
				if len(taken) == 0 || !now.equal(taken[len(taken)-1]) {
					taken = append(taken, now)
				}
			})
			if diff := cmp.Diff(want, contents(t, into, true)); diff != "" {
				t.Fatalf("at the end (-want +got):\n%s", diff)
			}
			came := map[string]int{}
			for _, i := range storagetest.Sample(t, len(taken), everyday) {
				came[whatServersFind(t, fmt.Sprintf("step %d of %d", i, len(taken)), taken[i], path, want)]++
			}
			t.Logf("servers find %v", came)
			if came["refused"] == 0 || came["complete"] == 0 {
				t.Errorf("servers find %v: want some that is refused, and some that is complete", came)
			}
		})
	}
}

// whatServersFind has a server start on a snapshot, and restores what it refuses.
func whatServersFind(t *testing.T, step string, s snapshot, path string, want []string) string {
	t.Helper()
	if s.nothing() {
		return "nothing"
	}
	value := s.put(t)
	err := tryToServe(t, value)
	if err != nil {
		if !strings.Contains(err.Error(), "run that command again") {
			t.Errorf("%s: a server says %v, want what to do", step, err)
		}
		mustRestore(t, value, path, false)
	}
	if diff := cmp.Diff(want, contents(t, value, true)); diff != "" {
		t.Errorf("%s: a server started, %v (-want +got):\n%.500s", step, err, diff)
	}
	if err := tryToServe(t, value); err != nil {
		t.Errorf("%s: a server does not start on what is complete: %v", step, err)
	}
	if err != nil {
		return "refused"
	}
	return "complete"
}
