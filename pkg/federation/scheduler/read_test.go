package scheduler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

// fakeMember answers what it is told to.
type fakeMember struct {
	mu            sync.Mutex
	object        map[string]any
	unschedulable int64
	err, podsErr  error
	gets, lists   int
	selector      string
	hangs         chan struct{}
}

func (m *fakeMember) Get(ctx context.Context, _ schema.GroupVersionResource, _, _ string) (*unstructured.Unstructured, error) {
	if m.hangs != nil {
		select {
		case <-m.hangs:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	if m.object == nil || m.err != nil {
		return nil, m.err
	}
	return &unstructured.Unstructured{Object: m.object}, nil
}

func (m *fakeMember) Unschedulable(_ context.Context, _, selector string, _ time.Time) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists++
	m.selector = selector
	return m.unschedulable, m.podsErr
}

func deployment(source string, count, ready int64) map[string]any {
	annotations := map[string]any{}
	if source != "" {
		annotations["federation.koinon.io/federated-object"] = source
	}
	return map[string]any{
		"metadata": map[string]any{"resourceVersion": "7", "labels": map[string]any{"kubefed.io/managed": "true"}, "annotations": annotations},
		"spec": map[string]any{"replicas": count, "selector": map[string]any{
			"matchLabels":      map[string]any{"app": "web"},
			"matchExpressions": []any{map[string]any{"key": "tier", "operator": "In", "values": []any{"a", "b"}}},
		}},
		"status": map[string]any{"readyReplicas": ready},
	}
}

// bench is a reader with a clock of its own.
type bench struct {
	*reader
	at   time.Time
	done chan key
}

func newBench() *bench {
	b := &bench{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), done: make(chan key, 100)}
	b.reader = newReader(func(k key) { b.done <- k }, func() time.Time { return b.at })
	return b
}

// read has a target read, and waits for that. It returns how long to wait instead.
func (b *bench) read(t *testing.T, m conn, pods bool, every time.Duration) time.Duration {
	t.Helper()
	wait := b.ask(t.Context(), request{key: web, target: "m1", member: "m1", conn: m, source: "shop/web", pods: pods}, every)
	if wait == 0 {
		<-b.done
	}
	return wait
}

func TestAReadingIsOfThePlaceInWhichItWasRead(t *testing.T) {
	b := newBench()
	old := &fakeMember{object: deployment("shop/web", 5, 5), hangs: make(chan struct{})}
	close(old.hangs)
	b.read(t, old, false, 0)
	now := place{member: "m2", namespace: "shop"}
	if got, _, _ := b.reading(web, "m1", now, "7", time.Time{}); got != nil {
		t.Errorf("of the new place it is known that %+v is there, which was read in the old one", got)
	}
	old.hangs = make(chan struct{})
	b.at = b.at.Add(time.Minute)
	ask := func(m conn, at place) {
		b.ask(t.Context(), request{key: web, target: "m1", member: at.member, namespace: at.namespace, conn: m, source: "shop/web"}, 0)
	}
	ask(old, place{member: "m1"}) // it does not answer before the target has moved
	ask(&fakeMember{object: deployment("shop/web", 2, 1)}, now)
	<-b.done
	close(old.hangs)
	<-b.done
	if got, _, _ := b.reading(web, "m1", now, "7", time.Time{}); got == nil || got.Replicas != 2 {
		t.Errorf("of the new place it is known that %+v is there", got)
	}
}

func TestWhatAReadingSays(t *testing.T) {
	for name, test := range map[string]struct {
		member *fakeMember
		pods   bool
		want   replicas.Reading
		lists  int
	}{
		"no object":                  {&fakeMember{}, true, replicas.Reading{}, 0},
		"all are ready: no pods":     {&fakeMember{object: deployment("shop/web", 3, 3), unschedulable: 9}, true, replicas.Reading{Replicas: 3, Ready: 3}, 0},
		"some wait":                  {&fakeMember{object: deployment("shop/web", 5, 3), unschedulable: 2}, true, replicas.Reading{Replicas: 5, Ready: 3, Unschedulable: 2}, 1},
		"without rebalance: no pods": {&fakeMember{object: deployment("shop/web", 5, 3), unschedulable: 2}, false, replicas.Reading{Replicas: 5, Ready: 3}, 0},
		"KubeFed made it":            {&fakeMember{object: deployment("", 3, 3)}, false, replicas.Reading{Replicas: 3, Ready: 3}, 0},
		"somebody else's object":     {&fakeMember{object: deployment("shop/other", 3, 3)}, true, replicas.Reading{}, 0},
		"the member does not answer": {&fakeMember{err: errors.New("no route")}, true, replicas.Reading{Failed: true}, 0},
		"pods are not listed":        {&fakeMember{object: deployment("shop/web", 5, 3), podsErr: errors.New("timeout")}, true, replicas.Reading{Failed: true}, 1},
		"pods may not be listed: no capacity is known": {&fakeMember{object: deployment("shop/web", 5, 3),
			podsErr: apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)}, true, replicas.Reading{Replicas: 5, Ready: 3}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			b.read(t, test.member, test.pods, time.Second)
			got, _, _ := b.reading(web, "m1", place{member: "m1"}, "7", time.Time{})
			if got == nil {
				t.Fatal("nothing was read")
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
			if test.member.lists != test.lists {
				t.Errorf("pods were listed %d times, want %d", test.member.lists, test.lists)
			}
			if test.lists > 0 && test.member.selector != "app=web,tier in (a,b)" {
				t.Errorf("got selector %q", test.member.selector)
			}
		})
	}
}

func TestATargetIsReadSeldom(t *testing.T) {
	b, m := newBench(), &fakeMember{object: deployment("shop/web", 5, 3), unschedulable: 2}
	b.read(t, m, true, replicas.ReadEvery)
	b.at = b.at.Add(10 * time.Second)
	if wait := b.read(t, m, true, replicas.ReadEvery); wait != 20*time.Second {
		t.Errorf("got %v to wait, want 20s", wait)
	}
	m.unschedulable = 1
	if wait := b.read(t, m, true, time.Second); wait != 0 || m.gets != 2 || m.lists != 1 {
		t.Errorf("a decision waits for it: got %v to wait, %d reads and %d lists of pods, want 0, 2 and 1", wait, m.gets, m.lists)
	}
	if got, _, _ := b.reading(web, "m1", place{member: "m1"}, "7", time.Time{}); got.Unschedulable != 2 {
		t.Errorf("got %d pods without a node, want those that were seen last, 2", got.Unschedulable)
	}
	b.at = b.at.Add(replicas.ReadEvery)
	b.read(t, m, true, replicas.ReadEvery)
	if got, _, _ := b.reading(web, "m1", place{member: "m1"}, "7", time.Time{}); got.Unschedulable != 1 || m.lists != 2 {
		t.Errorf("got %d pods without a node after %d lists, want 1 after 2", got.Unschedulable, m.lists)
	}
}

func TestAReadingIsNewsWhenTheObjectThereHasChanged(t *testing.T) {
	b, m := newBench(), &fakeMember{object: deployment("shop/web", 3, 3)}
	b.read(t, m, true, time.Second)
	for name, test := range map[string]struct {
		shown string
		since time.Time
		later time.Duration
		known bool
		stale bool
	}{
		"the same":                            {"7", time.Time{}, time.Hour, true, false},
		"another version":                     {"8", time.Time{}, readAgain, true, true},
		"another version in a moment":         {"8", time.Time{}, readAgain / 2, true, false},
		"no cache shows it":                   {"", time.Time{}, time.Second, true, false},
		"no cache shows it for long":          {"", time.Time{}, replicas.ReadEvery, true, true},
		"the member was away in the meantime": {"7", b.at.Add(time.Second), 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b.now = func() time.Time { return b.at.Add(test.later) }
			got, stale, _ := b.reading(web, "m1", place{member: "m1"}, test.shown, test.since)
			if (got != nil) != test.known || stale != test.stale {
				t.Errorf("got %v, stale %v", got, stale)
			}
		})
	}
}

func TestAMemberThatHangsHoldsUpNoOther(t *testing.T) {
	b := newBench()
	hangs, answers := &fakeMember{hangs: make(chan struct{})}, &fakeMember{object: deployment("shop/web", 3, 3)}
	for _, name := range []string{"a", "b", "c", "d"} {
		b.ask(t.Context(), request{key: key{"FederatedDeployment", "shop", name}, target: "m1", member: "m1", conn: hangs}, time.Second)
	}
	b.ask(t.Context(), request{key: web, target: "m2", member: "m2", conn: answers, source: "shop/web"}, time.Second)
	if got := <-b.done; got != web {
		t.Errorf("got %v first, want %v", got, web)
	}
	if got, _, _ := b.reading(web, "m2", place{member: "m2"}, "7", time.Time{}); got == nil || got.Ready != 3 {
		t.Errorf("got %v", got)
	}
	close(hangs.hangs)
	for range 4 {
		<-b.done
	}
	b.wait()
	if len(b.lanes) != 0 {
		t.Errorf("%d lanes are left", len(b.lanes))
	}
}
