package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

// How long an agent may wait, at most, after an outage: what a server answers costs it something, and what nobody answers does not.
func TestAnAgentWaitsForLittleWhileNobodyAnswers(t *testing.T) {
	nobody, refused := &carrier.UnansweredError{Err: errors.New("connection refused")}, errors.New("the server does not take this agent's certificate")
	for _, test := range []struct {
		away  time.Duration
		every error
		want  time.Duration
	}{
		{200 * time.Millisecond, nobody, 500 * time.Millisecond},
		{15 * time.Second, nobody, 1500 * time.Millisecond},
		{20 * time.Second, nobody, 2 * time.Second},
		{time.Hour, nobody, 5 * time.Second},
		{15 * time.Second, refused, 5 * time.Second},
		{time.Hour, refused, 5 * time.Second},
	} {
		pause := time.Duration(0)
		for away := time.Duration(0); away < test.away; { // each try fails at once
			pause = nextPause(pause, away, test.every)
			away += max(pause/2, time.Millisecond)
		}
		if pause = nextPause(pause, test.away, test.every); pause > test.want {
			t.Errorf("after %s of %q it may wait for %s; %s is wanted", test.away, test.every, pause, test.want)
		}
	}
	if pause := nextPause(lastPause, time.Minute, nobody); pause != lastPause {
		t.Errorf("after a minute it may wait for %s, and not for %s", pause, lastPause)
	}
}
