package frontend

import (
	"testing"
	"time"
)

func TestAMeterLetsSoManyPassInASecond(t *testing.T) {
	var m meter
	m.set(10)
	now := time.Unix(1000, 0)
	count := func() (admitted int) {
		for range 100 {
			if m.admit(now) {
				admitted++
			}
		}
		return admitted
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 10}, {0, 0}, {100 * time.Millisecond, 1}, {500 * time.Millisecond, 5}, {time.Hour, 10}} {
		now = now.Add(step.after)
		if got := count(); got != step.want {
			t.Errorf("after %s: got %d, want %d", step.after, got, step.want)
		}
	}
	if m.rested(now, true) || !m.rested(now.Add(2*time.Second), true) {
		t.Error("it rests when it remembers something, or does not when it does not")
	}
	m.set(0)
	if got := count(); got != 100 || !m.rested(now, true) {
		t.Errorf("without a limit: got %d", got)
	}
}

func TestBytesOfAMeterTakeTheirTime(t *testing.T) {
	for _, rate := range []float64{16 << 10, 1 << 20, 1 << 30} {
		for _, piece := range []int{int(rate / 1000), int(rate / 10), int(2 * rate)} {
			var m meter
			m.set(rate)
			begin := time.Unix(1000, 0)
			now, passed := begin, 0
			for passed < int(10*rate) {
				now = now.Add(m.pass(now, piece))
				passed += piece
			}
			least := (float64(passed) - max(burstBytes, rate/10)) / rate
			if took := now.Sub(begin).Seconds(); took < least-.01 || took > float64(passed)/rate+.01 {
				t.Errorf("%.0f bytes a second in pieces of %d: %d took %.3f s", rate, piece, passed, took)
			}
		}
	}
}

func TestTalliesThatRememberNothingAreNotKept(t *testing.T) {
	var all tallies[int]
	limits := Limits{Connections: 1, Dials: 1, DialsPerSecond: 1}
	for key := range 10_000 {
		limits.DialsPerSecond = float64(key % 2) // every other one has something to remember
		if _, err := all.dial(key, "it", limits.or(DefaultLimits(false))); err != nil {
			t.Fatal(err)
		}
		all.add(key, 0, -1)
	}
	if n := len(all.counts); n > 5_000+minSwept {
		t.Errorf("%d are kept", n)
	}
}
