package app

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot names the machine's last start, and returns how long ago it was, which goes on while the machine sleeps.
func sinceBoot() (boot string, at time.Duration, err error) {
	name, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return "", 0, err
	}
	return strings.TrimSpace(string(name)), time.Duration(now.Nano()), nil
}
