package report

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine is a sentence on when and where a benchmark ran.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, %s, %s %s/%s.", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), ram(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func ram() string {
	data, _ := os.ReadFile("/proc/meminfo")
	var kilobytes float64
	for line := range strings.Lines(string(data)) {
		if _, err := fmt.Sscanf(line, "MemTotal: %f kB", &kilobytes); err == nil {
			return fmt.Sprintf("%.0f GiB of memory", kilobytes/(1<<20))
		}
	}
	return "memory unknown"
}
