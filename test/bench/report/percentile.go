package report

import (
	"math"
	"slices"
	"time"
)

// Percentile returns the value that p percent of the durations do not exceed: of fewer than 100, the
// 99th percentile is the longest. It is 0 if there are none.
func Percentile(durations []time.Duration, p float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[max(int(math.Ceil(float64(len(sorted))*p/100))-1, 0)]
}
