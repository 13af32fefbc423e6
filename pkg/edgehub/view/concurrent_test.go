package view

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

// strict is a disk that has names of views, and notes a part of one that it does not have.
type strict struct {
	has  map[string]bool
	torn string
}

func (d *strict) Apply(changes ...store.Change) error {
	for _, c := range changes {
		if !c.Forget && !c.Whole && !d.has[c.Name] {
			d.torn = c.Name
		}
		d.has[c.Name] = !c.Forget
	}
	return nil
}

// A view that is forgotten and asked for again at once: a disk never is to have a part of it, which would be taken for the whole after a start.
func TestAViewThatComesAgainIsWrittenWhole(t *testing.T) {
	cache, key := newCache(t), keyOf(t, "")
	disk := &strict{has: map[string]bool{}}
	done := make(chan struct{})
	var flushing sync.WaitGroup
	flushing.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = cache.Flush(disk)
			}
		}
	})
	for version := uint64(1); version < 20_000; version += 4 {
		cache.Forget(key)
		v := cache.View(key)
		v.Replace(nil, version)
		for at := version + 1; at < version+4; at++ {
			v.Apply(parsed(t, v, at), false)
		}
	}
	close(done)
	flushing.Wait()
	_ = cache.Flush(disk)
	if disk.torn != "" || !disk.has[key.String()] {
		t.Errorf("the disk has %v, and a part of %q", disk.has, disk.torn)
	}
}

func newCache(t *testing.T) *Cache {
	t.Helper()
	cache, err := NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func keyOf(t *testing.T, selector string) Key {
	t.Helper()
	key, err := NewKey("", "v1", "configmaps", "", selector, "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parsed(t *testing.T, v *View, version uint64) *Object {
	t.Helper()
	o, err := v.Parse([]byte(fmt.Sprintf(`{"metadata":{"namespace":"ns","name":"o%d","resourceVersion":"%d","labels":{"even":"%v"}}}`, version%7, version, version%2 == 0)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestWhoWatchesAViewThatIsForgottenIsTold(t *testing.T) {
	cache, key := newCache(t), keyOf(t, "")
	v := cache.View(key)
	v.Replace(nil, 10)
	w, err := v.Watch(10)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { _, err := w.Next(t.Context()); told <- err }()
	cache.Forget(key)
	if err := <-told; !errors.Is(err, ErrExpired) {
		t.Errorf("the watcher was told %v", err)
	}
	v.Replace(nil, 20) // by a feed that does not know yet
	if _, err := v.Watch(20); !errors.Is(err, ErrUnknown) {
		t.Errorf("one that has found it before was told %v", err)
	}
	if _, _, ok := cache.Find(key); ok {
		t.Error("it is found still")
	}
}

// Everything at once: each watcher sees resourceVersions that grow, or is told to list.
func TestAllAtOnce(t *testing.T) {
	cache := newCache(t)
	keys := []Key{keyOf(t, ""), keyOf(t, "even=true"), keyOf(t, "even=false")}
	ctx, cancel := context.WithCancel(t.Context())
	var clock, got atomic.Uint64
	var feeding, others sync.WaitGroup
	for range 2 {
		feeding.Go(func() {
			for range 600 {
				v := cache.View(keys[rand.IntN(len(keys))])
				at := clock.Add(1)
				switch rand.IntN(20) {
				case 0:
					v.Replace([]*Object{parsed(t, v, at)}, at)
				case 1:
					v.Advance(at)
				default:
					v.Apply(parsed(t, v, at), rand.IntN(4) == 0)
				}
			}
		})
	}
	for i := range 100 {
		others.Go(func() {
			for ctx.Err() == nil {
				v, filter, ok := cache.Find(keys[i%len(keys)])
				if !ok {
					continue
				}
				all, version, err := v.List()
				if err != nil {
					continue
				}
				filter.List(all)
				w, err := v.Watch(version)
				for err == nil {
					var events []Event
					events, err = w.Next(ctx)
					for _, e := range events {
						if e.Version < version {
							t.Errorf("%d comes behind %d", e.Version, version)
						}
						version = e.Version
						got.Add(1)
					}
				}
			}
		})
	}
	others.Go(func() {
		disk := &strict{has: map[string]bool{}}
		for ctx.Err() == nil {
			_ = cache.Flush(disk)
			if rand.IntN(10) == 0 {
				cache.Forget(keys[rand.IntN(len(keys))])
			}
		}
		if disk.torn != "" {
			t.Errorf("the disk got a part of %s", disk.torn)
		}
	})
	feeding.Wait()
	cancel()
	others.Wait()
	t.Logf("%d events were seen", got.Load())
}

// Fields are told apart by case: who may write a custom resource does not choose which one it is taken for.
func TestAFieldOfAnotherCaseIsAnotherField(t *testing.T) {
	v := newCache(t).View(keyOf(t, ""))
	o, err := v.Parse([]byte(`{"metadata":{"name":"a","namespace":"ns","resourceVersion":"1","labels":{"x":"1"}},"Metadata":{"name":"b","namespace":"kube-system","resourceVersion":"2","labels":{"x":"2"}},"Spec":{"nodeName":"n"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if o.Name != "ns/a" || o.Version != 1 {
		t.Errorf("it is %s at %d", o.Name, o.Version)
	}
	narrow, err := NewKey("", "v1", "configmaps", "", "x=2", "metadata.namespace=kube-system")
	if err != nil {
		t.Fatal(err)
	}
	if filter, ok := Narrow(v.Key, narrow); !ok || filter.Match(o) {
		t.Error("it matches by what it only looks like")
	}
}
