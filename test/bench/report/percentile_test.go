package report

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for name, test := range map[string]struct {
		of   []time.Duration
		p    float64
		want time.Duration
	}{
		"of none":             {nil, 99, 0},
		"of few, the longest": {[]time.Duration{3, 1, 2}, 99, 3},
		"of few, the middle":  {[]time.Duration{3, 1, 2}, 50, 2},
		"of a hundred":        {hundred, 99, 99},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Percentile(test.of, test.p); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
