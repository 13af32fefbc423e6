package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// added is how many milliseconds a warm request may take more than directly, at the median.
var added = map[string]float64{byCluster: 1, byCell: 1}

// get reads one ConfigMap over and over.
func (b *bench) get(ctx context.Context, s *sheet) error {
	return b.inWorld(ctx, (*world).withMember, func(w *world, ctx context.Context) error {
		if _, err := w.makeConfigMap(ctx, "settings"); err != nil {
			return err
		}
		for _, clients := range []int{1, 16} {
			b.Say("GET by %d", clients)
			if err := w.gets(ctx, s, clients); err != nil {
				return err
			}
		}
		return nil
	})
}

// makeConfigMap makes one with 1 KiB of data.
func (w *world) makeConfigMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	made, err := w.direct.CoreV1().ConfigMaps(inMember).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"settings": strings.Repeat("some words of it\n", kibi/17)},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make ConfigMap %s in the member: %w", name, err)
	}
	return made, nil
}

func (w *world) gets(ctx context.Context, s *sheet, clients int) error {
	var columns [][]*client
	for _, y := range w.ways {
		made, err := y.clients(clients)
		if err != nil {
			return err
		}
		defer closeAll(made)
		columns = append(columns, made)
	}
	read := func(ctx context.Context, i int, lasts time.Duration) ([]time.Duration, error) {
		return getFor(ctx, columns[i], question{path: w.ways[i].path("configmaps/settings"), accept: asJSON}, lasts)
	}
	for i := range columns { // connections and caches
		if _, err := read(ctx, i, w.lasts(time.Second)); err != nil {
			return err
		}
	}
	tallies, err := w.alternate(ctx, w.rounds, wayNames, func(ctx context.Context, i int) ([]time.Duration, error) {
		return read(ctx, i, w.lasts(time.Second))
	})
	if err != nil {
		return err
	}
	group := fmt.Sprintf("GET by %d", clients)
	if clients == 1 { // of more, what there is of processors decides
		s.aims(group, "median, added", wayNames, tallies, added)
	}
	s.compare(group, wayNames, tallies)
	return nil
}

// clients are n, with a connection each.
func (y *way) clients(n int) ([]*client, error) {
	var all []*client
	for range n {
		c, err := newClient(y.config)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		c.close()
	}
}

// getFor has every client ask one thing after the other for a time, at least once, and returns how
// long all the answers took.
func getFor(ctx context.Context, clients []*client, q question, lasts time.Duration) ([]time.Duration, error) {
	took, errs := make([][]time.Duration, len(clients)), make([]error, len(clients))
	began := time.Now()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { // ends with the time, or with ctx
			for errs[i] == nil && (len(took[i]) == 0 || time.Since(began) < lasts) {
				asked := time.Now()
				_, errs[i] = c.read(ctx, q)
				took[i] = append(took[i], time.Since(asked))
			}
		})
	}
	all.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}
