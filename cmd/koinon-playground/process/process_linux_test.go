package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Linux kills a program that is tied to a parent when the thread ends that started it, and Go
// ends threads while its process goes on.
func TestATiedProgramOutlivesTheThreadThatAskedForIt(t *testing.T) {
	dir := t.TempDir()
	p := Program{Name: "script", PIDFile: filepath.Join(dir, "pid"), LogFile: filepath.Join(dir, "log")}
	ended := onAThreadThatEnds(func() {
		if err := Start(Spec{Path: "/bin/sh", Args: []string{"-c", "echo ready; sleep 1000"}, LogFile: p.LogFile, PIDFile: p.PIDFile, Tied: true}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := Stop(context.WithoutCancel(t.Context()), p.PIDFile, 0); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); !ended(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the thread does not end")
		}
	}
	if _, running := Find(p.PIDFile); !running {
		t.Error("the program was killed with the thread")
	}
}

// onAThreadThatEnds calls f, and returns how to ask whether the thread that did so is gone.
func onAThreadThatEnds(f func()) (ended func() bool) {
	result := make(chan func() bool)
	go func() { // ends, and its thread with it, since that is locked
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() { // the first thread never ends: it waits for another
			defer runtime.UnlockOSThread()
			result <- onAThreadThatEnds(f)
			return
		}
		f()
		task := fmt.Sprintf("/proc/self/task/%d", syscall.Gettid())
		result <- func() bool {
			_, err := os.Stat(task)
			return err != nil
		}
	}()
	return <-result
}
