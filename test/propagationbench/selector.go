package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

// chosen is the label of the members that a clusterSelector selects.
const chosen = "chosen"

// selector places an object on some of many members by their labels, and then relabels single ones.
func (b *bench) selector(ctx context.Context) error {
	members, size := b.times(1000, 20), b.times(100, 2)
	labels := func(i int) map[string]string {
		if i%(members/size) != 0 || i/(members/size) >= size {
			return nil
		}
		return map[string]string{chosen: "true"}
	}
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), labels); err != nil {
			return err
		}
		if _, err := w.steady(ctx); err != nil { // the namespace is everywhere
			return err
		}
		name, what := objectPrefix+chosen, fmt.Sprintf("one object → %d of %d members by clusterSelector", size, members)
		b.Say("create an object")
		made := w.expect(name, 0, size, nil)
		if err := w.createByClusterSelector(ctx, name); err != nil {
			return err
		}
		answered := time.Now()
		last, err := w.await(ctx, made)
		if err != nil {
			return err
		}
		b.aim("s", max(last.Sub(answered), 0).Seconds(), 3, "%s, creation", what)
		if err := w.rest(ctx, 2*time.Second); err != nil {
			return err
		}
		b.Say("change it")
		took, err := w.changes(ctx, name, 1, size, nil)
		if err != nil {
			return err
		}
		b.tell("s", report.Percentile(took, 50).Seconds(), "%s, update, median", what)
		b.aim("s", report.Percentile(took, 99).Seconds(), 3, "%s, update, P99", what)
		return w.relabel(ctx, name, what)
	})
}

// createByClusterSelector makes a federated ConfigMap as KubeFed has it.
func (w *world) createByClusterSelector(ctx context.Context, name string) error {
	object := federated("FederatedConfigMap", name, map[string]any{
		"template":  map[string]any{"data": map[string]any{"round": "0", "payload": payload}},
		"placement": map[string]any{"clusterSelector": map[string]any{"matchLabels": map[string]any{chosen: "true"}}},
	})
	stock := federatedConfigMaps
	stock.Version = "v1beta1"
	object.SetAPIVersion(stock.GroupVersion().String())
	if _, err := w.dynamic.Resource(stock).Namespace(shop).Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make federated ConfigMap %s: %w", name, err)
	}
	return nil
}

// relabel takes a member out of the selector and puts it in again, over and over.
func (w *world) relabel(ctx context.Context, name, what string) error {
	w.Say("relabel a member")
	m := w.fleet.Members()[0]
	var out, in []time.Duration
	for range w.rounds {
		took, err := w.relabelOne(ctx, m, "null", w.expectNone(name))
		if err != nil {
			return err
		}
		out = append(out, took)
		if took, err = w.relabelOne(ctx, m, `"true"`, w.expect(name, w.rounds, 1, nil)); err != nil {
			return err
		}
		in = append(in, took)
	}
	w.aim("s", report.Percentile(out, 99).Seconds(), 3, "%s, a member leaves, P99", what)
	w.aim("s", report.Percentile(in, 99).Seconds(), 3, "%s, a member comes, P99", what)
	return nil
}

// relabelOne sets the label of a member, and returns how long after the answer that was seen there.
func (w *world) relabelOne(ctx context.Context, m *simulation.Member, value string, expected *sighting) (time.Duration, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"%s":%s}}}`, chosen, value)
	_, err := w.fed.KubeFedCoreV1beta1().KubeFedClusters(system).Patch(ctx, m.Name(), types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return 0, fmt.Errorf("relabel member %s: %w", m.Name(), err)
	}
	answered := time.Now()
	seen, err := w.await(ctx, expected)
	if err != nil {
		return 0, err
	}
	return max(seen.Sub(answered), 0), w.rest(ctx, time.Second)
}
