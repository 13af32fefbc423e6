package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/test/bench/report"
)

// cells makes many cells, changes single ones, and restarts the server.
func (b *bench) cells(ctx context.Context) error {
	members, few, lots := b.times(100, 5), b.times(1000, 20), b.times(10_000, 200)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		costs, from := map[int]float64{}, 0
		for _, size := range []int{few, lots} {
			b.Say("create cells up to %d", size)
			began, before := time.Now(), w.cpu()
			if err := w.makeCells(ctx, from, size, w.memberNames()); err != nil {
				return err
			}
			b.tell("s", time.Since(began).Seconds(), "cells %d to %d, created", from+1, size)
			b.tell("CPU-s", w.cpu()-before, "cells %d to %d, created", from+1, size)
			from = size
			var err error
			if costs[size], err = w.changeCells(ctx, size); err != nil {
				return err
			}
		}
		b.aim("", costs[lots]/costs[few], 1.5, "CPU of one cell's change among %d ÷ among %d", lots, few)
		b.Say("restart")
		if err := w.koinon.Stop(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := w.koinon.Start(ctx); err != nil {
			return err
		}
		since, err := w.steady(ctx)
		b.aim("s", since.Sub(began).Seconds(), 30, "start with %d cells, steady", lots)
		b.tell("CPU-s", w.cpu(), "start with %d cells", lots)
		return err
	})
}

// changeCells changes labels of single cells, and returns the processor time of one change.
func (w *world) changeCells(ctx context.Context, size int) (float64, error) {
	labels := make(chan string, 10*clients) // of clusters that changed
	_, stop, err := w.watchCellClusters(ctx, func(cluster *metav1.PartialObjectMetadata) {
		if label := cluster.Labels[roundLabel]; label != "" {
			labels <- label
		}
	})
	defer stop()
	if err != nil {
		return 0, err
	}
	if _, err := w.steady(ctx); err != nil {
		return 0, err
	}
	idle, err := w.idleRate(ctx, w.idleWindow())
	if err != nil {
		return 0, err
	}
	var took []time.Duration
	cpu, err := w.cost(ctx, idle, func(ctx context.Context) error {
		for round := range w.rounds {
			d, err := w.changeCell(ctx, cellName(round%size), fmt.Sprintf("%d-%d", size, round), labels)
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		return pause(ctx, 2*time.Second)
	})
	cpu /= float64(w.rounds)
	w.tell("s", report.Percentile(took, 99).Seconds(), "one cell's change among %d, P99 until its cluster has it", size)
	w.tell("CPU-s", cpu, "one cell's change among %d", size)
	return cpu, err
}

// roundLabel is what changes of cells.
const roundLabel = "round"

// changeCell changes a cell, and waits until the cluster that it appears as has the label.
func (w *world) changeCell(ctx context.Context, name, value string, labels <-chan string) (time.Duration, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, roundLabel, value)
	if _, err := w.fed.FederationV1alpha1().Cells(shop).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return 0, fmt.Errorf("change cell %s: %w", name, err)
	}
	answered := time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-timer.C:
			return 0, fmt.Errorf("the cluster of cell %s has not got its label within %s", name, patience)
		case label := <-labels:
			if label == value {
				return time.Since(answered), nil
			}
		}
	}
}
