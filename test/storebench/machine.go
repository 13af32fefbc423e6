package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/storebench/load"
)

// header says what was measured, where, and how quick the disk is.
func (b *bench) header(ctx context.Context) (string, error) {
	syncs, err := measureDisk(b.dir, b.duration)
	if err != nil {
		return "", err
	}
	versions := []string{"Kine " + moduleVersion("github.com/k3s-io/kine"), "etcd " + moduleVersion("go.etcd.io/etcd/server/v3")}
	if b.mariadb != nil {
		versions = append(versions, b.mariadb.version(ctx))
	}
	return fmt.Sprintf("%s\n%s. Values of %d bytes, %d connections, %d repeats of %s.\n"+
		"Disk, append of 4 KiB and fdatasync in a loop: %.0f a second, P50 %.2f ms, P99 %.2f ms, max %.1f ms. Load of the machine before: %s.\n",
		report.Machine(), strings.Join(versions, ", "), b.valueBytes, b.connections, b.repeats, b.duration,
		float64(len(syncs))/b.duration.Seconds(), syncs.Percentile(50), syncs.Percentile(99), syncs.Max(), loadAverage()), nil
}

// loadAverage is of the last minute.
func loadAverage() string {
	data, _ := os.ReadFile("/proc/loadavg")
	average, _, _ := strings.Cut(string(data), " ")
	return cmp.Or(average, "unknown")
}

// measureDisk appends to a file and syncs it, again and again.
func measureDisk(dir string, duration time.Duration) (times load.Latencies, err error) {
	file, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	block := make([]byte, 4<<10)
	return load.Times(duration, func() error {
		if _, err := file.Write(block); err != nil {
			return err
		}
		return syncData(file)
	})
}

// moduleVersion is of a module that is linked.
func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "of unknown version"
}

// others finds out how much of the processors other programs took.
type others struct {
	began time.Time
	busy  float64
	own   time.Duration
}

func newOthers() others { return others{time.Now(), busySeconds(), ownTime()} }

// sentence is for the time until now, when every process that was started has ended.
func (o others) sentence() string {
	available := time.Since(o.began).Seconds() * float64(runtime.NumCPU())
	taken := busySeconds() - o.busy - (ownTime() - o.own).Seconds()
	if o.busy == 0 {
		return ""
	}
	return fmt.Sprintf("Other programs took %.0f %% of the processors meanwhile.\n", 100*max(taken, 0)/available)
}

// ownTime is the processor time of this program and of those that it started and that have
// ended.
func ownTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if syscall.Getrusage(who, &usage) == nil {
			sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	return sum
}

// busySeconds is how long all processors together were not idle since the machine started;
// 0 where it is not known.
func busySeconds() float64 {
	data, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(data), "\n")
	sum := 0.0
	for i, field := range strings.Fields(line) {
		ticks, _ := strconv.ParseFloat(field, 64)
		if i >= 1 && i <= 8 && i != 4 && i != 5 { // proc(5): 4 is idle, 5 is iowait
			sum += ticks / ticksPerSecond
		}
	}
	return sum
}

// ticksPerSecond is what Linux counts processor time in.
const ticksPerSecond = 100
