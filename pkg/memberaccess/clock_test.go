package memberaccess

import (
	"testing"
	"time"
)

func TestClocksDifferByTheLeastThatTheyCan(t *testing.T) {
	asked := issued.Add(400 * time.Millisecond)
	came := asked.Add(3 * time.Second)
	for name, test := range map[string]struct {
		said time.Time
		want time.Duration
	}{
		"the second in which it was asked":  {issued, 0},
		"while it was waited for":           {issued.Add(2 * time.Second), 0},
		"ahead of when the answer came":     {came.Add(time.Hour), time.Hour},
		"behind, by less than the fraction": {issued.Add(-500 * time.Millisecond), 0},
		"behind":                            {issued.Add(-time.Hour), -(time.Hour - 600*time.Millisecond)},
	} {
		if got := Ahead(test.said, asked, came); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestATokenSaysByHowMuchTheClockThatMadeItIsAhead(t *testing.T) {
	now := issued.Add(-time.Hour)
	if got, ok := AheadOf(tokenOf(t, subject, time.Minute, nil), now, now); !ok || got != time.Hour {
		t.Errorf("got %s, %v, want 1h", got, ok)
	}
	if got, ok := AheadOf("opaque", now, now); ok {
		t.Errorf("of what says nothing got %s", got)
	}
}
