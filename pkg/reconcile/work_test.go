package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
)

// errFails is what items fail with.
var errFails = errors.New("no")

// logged returns a context whose log is returned by text.
func logged(t *testing.T) (ctx context.Context, text func() string) {
	buffer := &ktesting.BufferTL{}
	return klog.NewContext(t.Context(), ktesting.NewLogger(buffer, ktesting.NewConfig())), buffer.String
}

func TestAnItemThatFailsIsTriedAgainLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start, queue := time.Now(), NewQueue[string]("test", time.Second, 4*time.Second)
		var made []time.Duration
		queue.Add("a")
		Work[string]{Queue: queue, Failed: "Failed", Do: func(context.Context, string) error {
			if made = append(made, time.Since(start)); len(made) == 6 {
				return nil
			}
			return errFails
		}}.Run(ctx, 2)
		want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 11 * time.Second, 15 * time.Second}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if got := queue.NumRequeues("a"); got != 0 {
			t.Errorf("after a success there are %d failures", got)
		}
	})
}

func TestFailuresAreLoggedThatDoNotCureThemselves(t *testing.T) {
	for sentence, test := range map[string]struct {
		err      error
		attempts int
		want     int
	}{
		"three failures are no news":        {errFails, 3, 0},
		"the fourth is":                     {errFails, 4, 1},
		"those that follow are rarely":      {errFails, 31, 3},
		"one that lasts goes on to be":      {errFails, 1024, 4 + 16},
		"what is a matter of time never is": {fmt.Errorf("%w: the cache is empty", ErrNotYet), 5, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			ctx, text := logged(t)
			work := Work[string]{Queue: NewQueue[string]("test", 0, 0), Failed: "Failed to look", Do: func(context.Context, string) error { return test.err }}
			defer work.Queue.ShutDown()
			work.Queue.Add("a")
			for range test.attempts {
				work.Next(ctx)
			}
			if got := strings.Count(text(), "Failed to look"); got != test.want {
				t.Errorf("it was logged %d times, want %d:\n%s", got, test.want, text())
			}
		})
	}
}

func TestAnItemThatHangsIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		queue := NewQueue[string]("test", time.Second, time.Second)
		queue.Add("a")
		var got error
		work := Work[string]{Queue: queue, Timeout: time.Minute, Do: func(ctx context.Context, _ string) error {
			<-ctx.Done()
			got = ctx.Err()
			return got
		}}
		work.Next(t.Context())
		queue.ShutDown()
		if !errors.Is(got, context.DeadlineExceeded) || time.Since(start) != time.Minute || queue.NumRequeues("a") != 1 {
			t.Errorf("after %s: %v, and %d failures", time.Since(start), got, queue.NumRequeues("a"))
		}
	})
}

// Stopping does not wait for what is queued, and does not call what it cuts short a failure.
func TestTheEndLeavesWhatIsInTheQueue(t *testing.T) {
	ctx, text := logged(t)
	ctx, cancel := context.WithCancel(ctx)
	queue := NewQueue[int]("test", time.Millisecond, time.Millisecond)
	for i := range 10 {
		queue.Add(i)
	}
	tried := 0
	Work[int]{Queue: queue, Failed: "Failed", Do: func(ctx context.Context, _ int) error {
		tried++
		cancel()
		return ctx.Err()
	}}.Run(ctx, 1)
	if tried != 1 || queue.NumRequeues(0) != 0 || text() != "" {
		t.Errorf("tried %d items; %d failures; log %q", tried, queue.NumRequeues(0), text())
	}
}
