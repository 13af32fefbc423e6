//go:build !linux

package process

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: only Linux can do that.
func dieWithParent(*syscall.SysProcAttr) {}

// startTime returns when a process started, as ps tells it.
func startTime(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("ps of process %d: %w", pid, err)
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") {
		return "", errors.New("the process has ended")
	}
	return strings.Join(strings.Fields(start), "-"), nil
}

// lingers is always false: only Linux shows the threads of a process that has ended.
func lingers(int) bool { return false }

// Memory returns the resident set of a process in bytes; the proportional share is
// unknown here.
func Memory(pid int) (rss, pss int64) {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return n << 10, 0
}

// ProcessorTime is unknown here, which is 0.
func ProcessorTime(int) float64 { return 0 }
