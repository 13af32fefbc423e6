package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// dieWithParent has the kernel kill the program when the thread that started it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// startTime returns when a process started, in clock ticks since boot: field 22 of
// /proc/PID/stat (proc(5)). A zombie has ended.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses, and may hold anything.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("process %d: unexpected /proc/%d/stat", pid, pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", errors.New("the process has ended")
	}
	return fields[19], nil
}

// lingers reports whether threads of a process that has ended are still there. Until they
// are gone they hold its files, and its ports above all.
func lingers(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || !bytes.Contains(stat, []byte(") Z ")) {
		return false
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err == nil && len(tasks) > 1
}

// Memory returns what a process occupies, in bytes: its resident set, and its
// proportional share of it (pages that n processes share count 1/n). 0 means unknown.
func Memory(pid int) (rss, pss int64) {
	rss = kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	pss = kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	return rss, pss
}

func kilobytes(file, key string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			var n int64
			_, _ = fmt.Sscanf(value, "%d", &n)
			return n << 10
		}
	}
	return 0
}
