package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent has the kernel kill the program when the thread that started it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// stat returns the fields of /proc/PID/stat (proc(5)) from the third on, the state.
func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field is the program's name in parentheses, and may hold anything.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return nil, fmt.Errorf("process %d: unexpected /proc/%d/stat", pid, pid)
	}
	return fields, nil
}

// startTime returns when a process started, in clock ticks since boot. A zombie has ended.
func startTime(pid int) (string, error) {
	fields, err := stat(pid)
	if err != nil {
		return "", err
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", errors.New("the process has ended")
	}
	return fields[19], nil
}

// lingers reports whether threads of a process that has ended are still there. Until they
// are gone they hold its files, and its ports above all.
func lingers(pid int) bool {
	fields, err := stat(pid)
	if err != nil || fields[0] != "Z" {
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

// ticksPerSecond is what Linux counts processor time in, for user space.
const ticksPerSecond = 100

// ProcessorTime returns how long a process has run so far, in seconds on one processor. 0
// means unknown.
func ProcessorTime(pid int) float64 {
	fields, err := stat(pid)
	if err != nil {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
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
