package load

import (
	"math"
	"slices"
	"time"
)

// Latencies are times, ascending. Those of events that overtook the answer to their write
// are negative.
type Latencies []time.Duration

// sorted takes the slice over.
func sorted(times []time.Duration) Latencies {
	slices.Sort(times)
	return times
}

// Percentile in milliseconds, by the nearest rank: the smallest of the times that at least
// percent of all do not exceed. NaN if there are none.
func (l Latencies) Percentile(percent float64) float64 {
	if len(l) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(percent / 100 * float64(len(l))))
	return milliseconds(l[max(rank, 1)-1])
}

// Max in milliseconds; NaN if there are none.
func (l Latencies) Max() float64 { return l.Percentile(100) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Times repeats an operation, and returns how long each took.
func Times(duration time.Duration, operation func() error) (Latencies, error) {
	var times []time.Duration
	for began := time.Now(); time.Since(began) < duration; {
		start := time.Now()
		if err := operation(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return sorted(times), nil
}
