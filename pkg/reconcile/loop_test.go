package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// run runs a loop in a bubble of time until the given time has passed, and returns when each
// attempt was made, counted from the start, and the errors that done was called with. during is
// called beside it.
func run(t *testing.T, length time.Duration, attempt Attempt, during func(*Loop)) (made []time.Duration, told []error) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		l := New()
		go during(l) // ends before length
		l.Run(ctx, func(ctx context.Context) (time.Duration, error) {
			made = append(made, time.Since(start))
			return attempt(ctx)
		}, func(err error) { told = append(told, err) })
	})
	return made, told
}

func succeeds(context.Context) (time.Duration, error) { return Resync, nil }

func nothing(*Loop) {}

func TestLooksAgainAlthoughNothingChanges(t *testing.T) {
	made, told := run(t, 70*time.Second, succeeds, nothing)
	if diff := cmp.Diff([]time.Duration{0, 30 * time.Second, time.Minute}, made); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if len(told) != len(made) || errors.Join(told...) != nil {
		t.Errorf("told %v after %d attempts that succeeded", told, len(made))
	}
}

func TestLooksAgainWhenTheAttemptSays(t *testing.T) {
	due := func(context.Context) (time.Duration, error) { return 12 * time.Second, nil }
	made, _ := run(t, 30*time.Second, due, nothing)
	if diff := cmp.Diff([]time.Duration{0, 12 * time.Second, 24 * time.Second}, made); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestChangesThatComeTogetherAreOneAttempt(t *testing.T) {
	made, _ := run(t, 20*time.Second, succeeds, func(l *Loop) {
		time.Sleep(10 * time.Second)
		for range 5 {
			l.Changed()
			time.Sleep(time.Millisecond)
		}
	})
	if diff := cmp.Diff([]time.Duration{0, 10*time.Second + settle}, made); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// Somebody who never stops changing things does not keep the loop from putting them right.
func TestChangesWithoutEndAreNotWaitedFor(t *testing.T) {
	made, _ := run(t, time.Second, succeeds, func(l *Loop) {
		for range 99 {
			l.Changed()
			time.Sleep(10 * time.Millisecond)
		}
	})
	if len(made) < 10 {
		t.Errorf("attempts in a second of changes: got only %v", made)
	}
}

func TestAChangeDuringAnAttemptIsSeenByTheNext(t *testing.T) {
	slow := func(context.Context) (time.Duration, error) { time.Sleep(5 * time.Second); return Resync, nil }
	made, _ := run(t, 20*time.Second, slow, func(l *Loop) {
		time.Sleep(2 * time.Second)
		l.Changed()
	})
	if diff := cmp.Diff([]time.Duration{0, 5*time.Second + settle}, made); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestFailuresAreRetriedLaterAndLater(t *testing.T) {
	failures := 12
	made, told := run(t, 5*time.Minute, func(context.Context) (time.Duration, error) {
		if failures--; failures < 0 {
			return time.Hour, nil
		}
		return Resync, errors.New("not now")
	}, nothing)
	for i := 1; i < len(made); i++ {
		want := min(maxRetry, minRetry<<(i-1))
		if got := made[i] - made[i-1]; got != want {
			t.Errorf("wait before attempt %d: got %s, want %s", i, got, want)
		}
	}
	if len(made) != 13 || len(told) != 13 || told[11] == nil || told[12] != nil {
		t.Errorf("%d attempts were made and told %v; want 12 failures and one success", len(made), told)
	}
}

func TestAChangeEndsTheWaitAfterAFailure(t *testing.T) {
	attempts := 0
	made, _ := run(t, 2*time.Minute, func(context.Context) (time.Duration, error) {
		if attempts++; attempts <= 9 {
			return 0, errors.New("not now")
		}
		return time.Hour, nil
	}, func(l *Loop) {
		time.Sleep(70 * time.Second) // within the wait after the ninth
		l.Changed()
	})
	if want := 70*time.Second + settle; len(made) != 10 || made[9] != want {
		t.Errorf("attempts at %v, want the tenth and last at %s", made, want)
	}
}

func TestASuccessMakesTheNextFailureTheFirst(t *testing.T) {
	outcomes := []error{errors.New("1"), errors.New("2"), nil, errors.New("4"), nil}
	made, _ := run(t, time.Minute, func(context.Context) (time.Duration, error) {
		err := outcomes[0]
		outcomes = outcomes[1:]
		if len(outcomes) == 0 {
			return time.Hour, nil
		}
		return time.Second, err
	}, nothing)
	want := []time.Duration{0, minRetry, 3 * minRetry, 3*minRetry + time.Second, 4*minRetry + time.Second}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestAnAttemptThatHangsIsCutShort(t *testing.T) {
	hangs := func(ctx context.Context) (time.Duration, error) { <-ctx.Done(); return 0, ctx.Err() }
	made, told := run(t, attemptTimeout+time.Second, hangs, nothing)
	if diff := cmp.Diff([]time.Duration{0, attemptTimeout + minRetry}, made); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	// The second one was ended with the loop, which is nobody's failure.
	if len(told) != 1 || !errors.Is(told[0], context.DeadlineExceeded) {
		t.Errorf("told %v, want that of the first attempt", told)
	}
}

func TestWritesAreDamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := New()
		for range writesAtOnce + 10 {
			if err := l.MayWrite(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("%d writes took %s, want one per second after the first %d", writesAtOnce+10, got, writesAtOnce)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.MayWrite(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a write after the end: got %v", err)
		}
	})
}
