package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

// real changes an object in two real clusters.
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
		for _, c := range clusters {
			if err := w.joinReal(ctx, c); err != nil {
				return err
			}
		}
		if err := w.allReady(ctx); err != nil {
			return err
		}
		if err := w.makeCells(ctx, 0, len(names), names, len(names)); err != nil {
			return err
		}
		return w.changeReal(ctx, clusters)
	})
}

func (w *world) joinReal(ctx context.Context, c *member.Cluster) error {
	kubeconfig, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		return err
	}
	return w.joinOne(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: c.Name, Namespace: system, Annotations: map[string]string{v1beta1.CredentialsForAnnotation: c.Name}},
		Data:       map[string][]byte{v1beta1.KubeconfigKey: kubeconfig},
	}, &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: c.Name, Namespace: system},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: c.Server(), SecretRef: v1beta1.LocalSecretReference{Name: c.Name}},
	})
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
