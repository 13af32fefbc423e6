package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs a shell script as a program.
func start(t *testing.T, script string) Program {
	t.Helper()
	dir := t.TempDir()
	p := Program{Name: "script", PIDFile: filepath.Join(dir, "pid"), LogFile: filepath.Join(dir, "log")}
	err := Start(Spec{Path: "/bin/sh", Args: []string{"-c", script}, LogFile: p.LogFile, PIDFile: p.PIDFile, Tied: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Stop(context.WithoutCancel(t.Context()), p.PIDFile, 0); err != nil {
			t.Error(err)
		}
	})
	return p
}

// awaitLog waits until the program has written the text.
func awaitLog(t *testing.T, p Program, text string) {
	t.Helper()
	err := Await(t.Context(), time.Minute, func(context.Context) error {
		if !strings.Contains(Tail(p.LogFile, 10), text) {
			return fmt.Errorf("%q is not in the log", text)
		}
		return nil
	}, p)
	if err != nil {
		t.Fatal(err)
	}
}

func TestStopAsksFirstAndKillsThen(t *testing.T) {
	polite := start(t, `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
	awaitLog(t, polite, "ready")
	if err := Stop(t.Context(), polite.PIDFile, time.Minute); err != nil {
		t.Fatal(err)
	}
	if log := Tail(polite.LogFile, 1); log != "bye" {
		t.Errorf("a program that is asked to stop: last line is %q, want its farewell", log)
	}
	stubborn := start(t, `trap '' TERM; echo ready; while :; do sleep 0.05; done`)
	awaitLog(t, stubborn, "ready")
	if err := Stop(t.Context(), stubborn.PIDFile, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, running := Find(stubborn.PIDFile); running {
		t.Error("a program that ignores the request still runs")
	}
	if _, err := os.Stat(stubborn.PIDFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is still there: %v", err)
	}
}

func TestFind(t *testing.T) {
	p := start(t, "echo ready; sleep 1000")
	pid, running := Find(p.PIDFile)
	if !running {
		t.Fatal("the program does not run")
	}
	tests := map[string]struct {
		content string
		running bool
	}{
		"pid and start time match":                       {read(t, p.PIDFile), true},
		"the pid was given to a later process":           {fmt.Sprintf("%d 1\n", pid), false},
		"no such process":                                {"999999999 1\n", false},
		"pid 1 is never ours":                            {"1 1\n", false},
		"a negative pid, which would be a process group": {"-5 1\n", false},
		"half a file":                                    {fmt.Sprint(pid), false},
		"not a pid file":                                 {"hello world\n", false},
		"empty":                                          {"", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, got := Find(file); got != test.running {
				t.Errorf("Find of %q: running is %t, want %t", test.content, got, test.running)
			}
		})
	}
	if _, running := Find(filepath.Join(t.TempDir(), "absent")); running {
		t.Error("a program without a pid file runs")
	}
}

func TestAwaitSaysWhyAProgramEnded(t *testing.T) {
	p := start(t, "echo one; echo the disk is full; exit 3")
	err := Await(t.Context(), time.Minute, func(context.Context) error { return errors.New("not yet") }, p)
	var failed *StartError
	if !errors.As(err, &failed) || !errors.Is(err, ErrEnded) {
		t.Fatalf("got %v, want a StartError that the program ended", err)
	}
	want := "script ended while it started; the last lines of " + p.LogFile + ":\none\nthe disk is full"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestAwaitSaysWhyAProgramIsSlow(t *testing.T) {
	p := start(t, "sleep 1000")
	err := Await(t.Context(), time.Millisecond, func(context.Context) error { return errors.New("no nodes yet") }, p)
	if !errors.Is(err, ErrSlow) || !strings.Contains(err.Error(), "no nodes yet") {
		t.Errorf("got %v, want ErrSlow with the last reason", err)
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 1000)
	if err := os.WriteFile(file, []byte("first\nsecond\n"+long+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := Tail(file, 2), "second\n"+long[:400]+"…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	if rss, _ := Memory(os.Getpid()); rss <= 0 {
		t.Errorf("resident set: got %d, want more than nothing", rss)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
