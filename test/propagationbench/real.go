package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

// real joins two real clusters, and changes an object in them.
func (b *bench) real(ctx context.Context) error {
	var names []string
	var clusters []*member.Cluster
	defer func() {
		for _, c := range clusters {
			if err := c.Kill(context.WithoutCancel(ctx)); err != nil {
				b.Say("%v", err)
			}
		}
	}()
	for _, name := range []string{"r1", "r2"} {
		c, err := member.New(member.Config{
			Name: name, Dir: filepath.Join(b.config.Dir, name), LogDir: filepath.Join(b.config.Dir, "logs"),
			Binary: filepath.Join(b.config.Bin, "koinon-playground"), Tied: true,
		})
		if err != nil {
			return err
		}
		clusters, names = append(clusters, c), append(names, name)
		if err := c.Start(ctx); err != nil {
			return err
		}
	}
	return b.inWorld(ctx, 0, func(w *world) error {
		var took []time.Duration
		for _, c := range clusters {
			d, err := w.joinReal(ctx, c)
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		b.aim("s", slices.Max(took).Seconds(), 2, "kubectl koinon join of a real cluster, until it is Ready")
		if err := w.makeCells(ctx, 0, len(names), names, len(names)); err != nil {
			return err
		}
		return w.changeReal(ctx, clusters)
	})
}

// joinReal joins the cluster as a person does, and returns how long the command takes until it
// says that the cluster is Ready.
func (w *world) joinReal(ctx context.Context, c *member.Cluster) (time.Duration, error) {
	_, took, err := w.command(ctx, 0, "", "join", c.Name, "--cluster-kubeconfig", c.Kubeconfig())
	return took, err
}

// changeReal watches the clusters as the simulation tells of its members.
func (w *world) changeReal(ctx context.Context, clusters []*member.Cluster) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	for _, c := range clusters {
		config, err := c.RESTConfig()
		if err != nil {
			return err
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return err
		}
		events, err := client.Resource(simulation.ConfigMaps).Watch(watching, metav1.ListOptions{})
		if err != nil {
			return err
		}
		seen := simulation.NewMember(c.Name, 1, simulation.Options{Types: []simulation.Type{}})
		go func() { // ends with stop
			for event := range events.ResultChan() {
				if object, ok := event.Object.(metav1.Object); ok {
					data, _ := json.Marshal(event.Object)
					w.see(simulation.Event{Member: seen, Resource: simulation.ConfigMaps, Namespace: object.GetNamespace(), Name: object.GetName(), After: data})
				}
			}
		}()
	}
	name := objectPrefix + "real"
	made := w.expect(name, 0, len(clusters), nil)
	if err := w.create(ctx, name, toCells(len(clusters))); err != nil {
		return err
	}
	if _, err := w.await(ctx, made); err != nil {
		return err
	}
	if err := w.rest(ctx, 2*time.Second); err != nil {
		return err
	}
	idle, err := w.idleRate(ctx, w.idleWindow())
	if err != nil {
		return err
	}
	var took []time.Duration
	cpu, err := w.cost(ctx, idle, func(ctx context.Context) (err error) {
		took, err = w.changes(ctx, name, 1, len(clusters), nil)
		return err
	})
	w.tell("s", report.Percentile(took, 50).Seconds(), "one object → %d real clusters, update, median", len(clusters))
	w.tell("s", report.Percentile(took, 99).Seconds(), "one object → %d real clusters, update, P99", len(clusters))
	w.tell("CPU-s", cpu/float64(w.rounds), "one object → %d real clusters, update", len(clusters))
	return err
}
