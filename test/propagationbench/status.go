package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

var federatedDeployments = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federateddeployments"}

// churnPause is the time between changes of one target's status.
const churnPause = 200 * time.Millisecond

// healths measures how long a change of a status in a member takes to be seen in the federated object, while
// all its targets change all the time, and what it takes when many change at once.
func (b *bench) healths(ctx context.Context) error {
	members, few, lots := b.times(100, 2), b.times(100, 2), b.times(1000, 20)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		if err := w.makeCells(ctx, 0, lots, w.memberNames(), few, lots); err != nil {
			return err
		}
		if err := w.churn(ctx, few, b.idleWindow()); err != nil {
			return err
		}
		return w.changeAtOnce(ctx, lots)
	})
}

// churn has the status of every target of one object change over and over for a while.
func (w *world) churn(ctx context.Context, size int, lasts time.Duration) error {
	r, err := w.readiness(ctx, size)
	if err != nil {
		return err
	}
	defer r.stop()
	w.Say("change the status in %d targets every %s", size, churnPause)
	before, began := r.writes(), time.Now()
	for round := int64(1); time.Since(began) < lasts; round++ {
		if err := r.change(round); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(churnPause):
		}
	}
	written, over := r.writes()-before, time.Since(began)
	if err := r.await(ctx); err != nil {
		return err
	}
	w.tell("s", report.Percentile(r.took, 50).Seconds(), "status of %d targets under churn → federated object, median", size)
	w.aim("s", report.Percentile(r.took, 99).Seconds(), 1, "status of %d targets under churn → federated object, P99", size)
	w.aim("writes/s", float64(written)/over.Seconds(), 2, "status of %d targets under churn, writes of the object", size)
	return nil
}

// changeAtOnce has the status of every target of one object change at one moment.
func (w *world) changeAtOnce(ctx context.Context, size int) error {
	r, err := w.readiness(ctx, size)
	if err != nil {
		return err
	}
	defer r.stop()
	w.Say("change the status in %d targets at once", size)
	before, began := r.writes(), time.Now()
	if err := r.change(1); err != nil {
		return err
	}
	if err := r.await(ctx); err != nil {
		return err
	}
	w.tell("s", time.Since(began).Seconds(), "status of %d targets at once → federated object, the last", size)
	w.tell("", float64(r.writes()-before), "status of %d targets at once, writes of the object", size)
	return nil
}

// readiness is a federated Deployment whose members say how many of its pods are ready: the number is that of the
// round. It follows what the federated object says of that.
type readiness struct {
	w    *world
	name string
	size int
	stop func()

	mu      sync.Mutex
	changed map[string]map[int64]time.Time // when a target was changed to what, until that is seen
	took    []time.Duration
	count   int
}

// readiness makes an object with so many targets, and waits until they have it.
func (w *world) readiness(ctx context.Context, size int) (*readiness, error) {
	r := &readiness{w: w, name: fmt.Sprintf("%sready-%d", objectPrefix, size), size: size, changed: map[string]map[int64]time.Time{}}
	client := w.dynamic.Resource(federatedDeployments).Namespace(shop)
	labels := map[string]any{"app": r.name}
	selector := map[string]any{}
	for key, value := range toCells(size).labels {
		selector[key] = value
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": federatedDeployments.GroupVersion().String(), "kind": "FederatedDeployment",
		"metadata": map[string]any{"name": r.name, "namespace": shop},
		"spec": map[string]any{
			"topologyType": "cell",
			"template": map[string]any{"spec": map[string]any{
				"replicas": int64(1_000_000), "selector": map[string]any{"matchLabels": labels},
				"template": map[string]any{"metadata": map[string]any{"labels": labels},
					"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "b"}}}},
			}},
			"placement": map[string]any{"topologySelector": map[string]any{"matchLabels": selector}},
		},
	}}
	made, err := client.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make federated Deployment %s: %w", r.name, err)
	}
	ctx, stop := context.WithCancel(ctx)
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, made.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = "metadata.name=" + r.name
			return client.Watch(ctx, o)
		},
	})
	if err != nil {
		stop()
		return nil, err
	}
	var reading sync.WaitGroup
	r.stop = func() { stop(); watcher.Stop(); reading.Wait() }
	reading.Go(func() { // ends with stop
		for event := range watcher.ResultChan() {
			if object, ok := event.Object.(*unstructured.Unstructured); ok {
				r.see(object)
			}
		}
	})
	err = w.eventually(ctx, "all members have the Deployment", func(context.Context) error {
		there := 0
		for _, member := range w.fleet.Members() {
			for _, object := range member.Objects(simulation.Deployments) {
				if (&unstructured.Unstructured{Object: object}).GetName() == r.name {
					there++
				}
			}
		}
		if there != size {
			return fmt.Errorf("%d of %d do", there, size)
		}
		return nil
	})
	if err == nil {
		err = w.rest(ctx, 2*time.Second)
	}
	if err != nil {
		r.stop()
	}
	return r, err
}

// see notes what the federated object says.
func (r *readiness) see(object *unstructured.Unstructured) {
	now := time.Now()
	var read struct {
		Targets []struct {
			Name  string
			Ready int64
		}
	}
	status, _, _ := unstructured.NestedFieldNoCopy(object.Object, "status")
	data, err := json.Marshal(status)
	if err != nil || json.Unmarshal(data, &read) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	for _, t := range read.Targets {
		for round, at := range r.changed[t.Name] {
			if round <= t.Ready { // a later one says this, too
				r.took = append(r.took, now.Sub(at))
				delete(r.changed[t.Name], round)
			}
		}
	}
}

func (r *readiness) writes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// change has all targets say that so many pods are ready.
func (r *readiness) change(round int64) error {
	members := r.w.fleet.Members()
	return many(r.size, func(i int) error {
		cell := cellName(i)
		r.mu.Lock()
		if r.changed[cell] == nil {
			r.changed[cell] = map[int64]time.Time{}
		}
		r.changed[cell][round] = time.Now()
		r.mu.Unlock()
		found, err := members[i%len(members)].Change(simulation.Deployments, shop+"-"+cell, r.name, func(object map[string]any) {
			object["status"] = map[string]any{"replicas": int64(1_000_000), "readyReplicas": round}
		})
		if err == nil && !found {
			err = fmt.Errorf("member %s has no Deployment %s", members[i%len(members)].Name(), r.name)
		}
		return err
	})
}

// await waits until the federated object says all that was changed.
func (r *readiness) await(ctx context.Context) error {
	return r.w.eventually(ctx, "the federated object says what members do", func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for target, rounds := range r.changed {
			if len(rounds) > 0 {
				return fmt.Errorf("of target %s %d changes are not seen", target, len(rounds))
			}
		}
		return nil
	})
}
