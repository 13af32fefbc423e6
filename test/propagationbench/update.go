package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/test/bench/report"
)

// update changes one object with few targets, and one with ten times as many.
func (b *bench) update(ctx context.Context) error {
	members, few, lots := b.times(100, 2), b.times(100, 2), b.times(1000, 20)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		if err := w.makeCells(ctx, 0, lots, w.memberNames(), few, lots); err != nil {
			return err
		}
		if _, err := w.steady(ctx); err != nil {
			return err
		}
		idle, err := w.idleRate(ctx, b.idleWindow())
		if err != nil {
			return err
		}
		costs := map[int]float64{}
		for _, size := range []int{few, lots} {
			if costs[size], err = w.updateOne(ctx, size, idle); err != nil {
				return err
			}
		}
		b.aim("", costs[lots]/costs[few], 12, "CPU of an update to %d targets ÷ to %d", lots, few)
		return nil
	})
}

// updateAims are how long an update may take until the last target has it, in seconds, by
// how many there are.
var updateAims = map[int]float64{100: 0.5, 1000: 3}

func (w *world) updateOne(ctx context.Context, size int, idle float64) (float64, error) {
	name := fmt.Sprintf("%s%d", objectPrefix, size)
	w.Say("create an object with %d targets", size)
	began := time.Now()
	made := w.expect(name, 0, size, nil)
	cpu, err := w.cost(ctx, idle, func(ctx context.Context) error {
		if err := w.create(ctx, name, toCells(size)); err != nil {
			return err
		}
		if _, err := w.await(ctx, made); err != nil {
			return err
		}
		return w.haveAccounts(ctx, size)
	})
	if err != nil {
		return 0, err
	}
	w.tell("s", made.at.Sub(began).Seconds(), "one object → %d targets, creation", size)
	w.tell("CPU-s", cpu, "one object → %d targets, creation", size)
	w.Say("change it")
	var took []time.Duration
	cpu, err = w.cost(ctx, idle, func(ctx context.Context) (err error) {
		took, err = w.changes(ctx, name, 1, size, nil)
		return err
	})
	if err != nil {
		return 0, err
	}
	cpu /= float64(w.rounds)
	w.tell("s", report.Percentile(took, 50).Seconds(), "one object → %d targets, update, median", size)
	if limit, ok := updateAims[size]; ok {
		w.aim("s", report.Percentile(took, 99).Seconds(), limit, "one object → %d targets, update, P99", size)
	} else {
		w.tell("s", report.Percentile(took, 99).Seconds(), "one object → %d targets, update, P99", size)
	}
	w.tell("CPU-s", cpu, "one object → %d targets, update", size)
	return cpu, w.recordSize(ctx, name, size)
}

// haveAccounts waits until the first cells have their accounts, which are made one after the other for the first object of each,
// and nothing changes any more.
func (w *world) haveAccounts(ctx context.Context, size int) error {
	defer func(spacing time.Duration) { w.spacing = spacing }(w.spacing)
	w.spacing = 2 * time.Second // since all cells are listed
	err := w.eventually(ctx, "the cells have their accounts", func(ctx context.Context) error {
		cells, err := w.fed.FederationV1alpha1().Cells(shop).List(ctx, metav1.ListOptions{ResourceVersion: "0", LabelSelector: sizeLabel(size)})
		if err != nil {
			return err
		}
		have := 0
		for i := range cells.Items {
			if meta.IsStatusConditionTrue(cells.Items[i].Status.Conditions, federationv1alpha1.CellAccountReady) {
				have++
			}
		}
		if have < size {
			return fmt.Errorf("%d of %d do", have, size)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = w.steady(ctx)
	return err
}

// recordSize tells how long the status is for each target.
func (w *world) recordSize(ctx context.Context, name string, size int) error {
	status, err := w.allOK(ctx, name, size)
	if err != nil {
		return err
	}
	data, err := json.Marshal(status.Targets)
	if err != nil {
		return err
	}
	w.aim("bytes", float64(len(data))/float64(size), 160, "record per target of %d, encoded", size)
	return nil
}
