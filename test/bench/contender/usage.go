package contender

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/discovery"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

func (c Config) binary(name string) string { return filepath.Join(c.Bin, name) }

// Memory of one process, in bytes.
type Memory struct {
	// RSS is the resident set; PSS counts what is shared with other processes by share.
	RSS, PSS float64
	// PeakRSS is the largest resident set so far.
	PeakRSS float64
	// Heap is what the process holds after a garbage collection; 0 if it does not say.
	Heap float64
}

// collections is how often garbage is collected before memory is read: what finalizers
// and pools hold goes with the second.
const collections = 2

// MeasureMemory reads the memory of every process of a contender, by process name, once
// garbage was collected in the API server and the resident sets have come to rest.
func MeasureMemory(ctx context.Context, c Contender) (map[string]Memory, error) {
	heap, err := collect(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, c); err != nil {
		return nil, err
	}
	out := map[string]Memory{}
	for i, p := range c.Processes() {
		m := ReadMemory(p.PID)
		if i == 0 {
			m.Heap = heap
		}
		out[p.Name] = m
	}
	return out, nil
}

// ReadMemory reads the memory of a process as it is now; it knows no Heap.
func ReadMemory(pid int) Memory {
	rss, pss := process.Memory(pid)
	return Memory{RSS: float64(rss), PSS: float64(pss), PeakRSS: float64(peak(pid))}
}

// collect collects garbage in the API server and returns what is left.
func collect(ctx context.Context, c Contender) (float64, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return 0, err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return 0, err
	}
	var profile []byte
	for range collections {
		profile, err = client.RESTClient().Get().AbsPath("/debug/pprof/heap").Param("gc", "1").Param("debug", "1").DoRaw(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the heap profile of %s: %w", c.Name(), err)
		}
	}
	for line := range strings.Lines(string(profile)) {
		if value, ok := strings.CutPrefix(line, "# HeapAlloc = "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the heap profile of %s has no HeapAlloc", c.Name())
}

const (
	settleInterval = time.Second
	settleChecks   = 5
	settleTimeout  = 45 * time.Second
	settleFraction = 0.005
)

// settle waits until the API server's resident set stays about the same: Go gives memory
// back bit by bit.
func settle(ctx context.Context, c Contender) error {
	pid := c.Processes()[0].PID
	deadline := time.Now().Add(settleTimeout)
	last, same := ReadMemory(pid).RSS, 0
	for same < settleChecks && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleInterval):
		}
		now := ReadMemory(pid).RSS
		same++
		if now < last*(1-settleFraction) || now > last*(1+settleFraction) {
			last, same = now, 0
		}
	}
	return nil
}

// peak is the largest resident set of a process in bytes, as Linux tells it; 0 elsewhere.
func peak(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// CPU is the processor time in seconds that all processes of a contender have used, as
// Linux tells it; 0 elsewhere.
func CPU(c Contender) float64 {
	total := 0.0
	for _, p := range c.Processes() {
		total += process.ProcessorTime(p.PID)
	}
	return total
}
