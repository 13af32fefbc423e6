package propagation

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestTheKubeFedConfigRaisesTheNumberOfWorkers(t *testing.T) {
	for name, test := range map[string]struct {
		given int64
		want  int
	}{
		"KubeFed's default says nothing":       {1, objectWorkers},
		"a number below ours makes none fewer": {8, objectWorkers},
		"a higher one makes them more":         {40, 40},
		"there is a bound":                     {1 << 40, maxObjectWorkers},
		"nothing said":                         {0, objectWorkers},
	} {
		if got := workersFor(test.given); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}

func TestWorkersComeAndGoWhileTheEngineRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wanted atomic.Int64
		e := &Engine{Config: Config{Concurrency: wanted.Load}, objects: newObjectQueue(), runCtx: t.Context()}
		count := func() int {
			e.mu.RLock()
			defer e.mu.RUnlock()
			return e.workers
		}
		expect := func(want int) {
			t.Helper()
			e.hire()
			for range 2 * maxObjectWorkers { // who has worked looks whether he is one too many
				e.objects.Add(objectKey{"no-kind", "shop", "web"})
				synctest.Wait()
			}
			if got := count(); got != want {
				t.Errorf("got %d workers, want %d", got, want)
			}
		}
		expect(objectWorkers)
		wanted.Store(40)
		expect(40)
		wanted.Store(1)
		expect(objectWorkers)
		e.objects.ShutDown()
		e.wg.Wait()
	})
}
