package load

import (
	"math"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100-i) * time.Millisecond
	}
	tests := map[string]struct {
		times   []time.Duration
		percent float64
		want    float64
	}{
		"half of a hundred":                  {hundred, 50, 50},
		"99 of a hundred":                    {hundred, 99, 99},
		"all of a hundred":                   {hundred, 100, 100},
		"the middle one of three":            {[]time.Duration{3e6, 1e6, 2e6}, 50, 2},
		"99 percent of a few is the last":    {[]time.Duration{3e6, 1e6, 2e6}, 99, 3},
		"no percent is the first":            {[]time.Duration{3e6, 1e6, 2e6}, 0, 1},
		"one that came before it was due":    {[]time.Duration{-1e6}, 50, -1},
		"no times have no percentile at all": {nil, 50, math.NaN()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := sorted(test.times).Percentile(test.percent)
			if got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
