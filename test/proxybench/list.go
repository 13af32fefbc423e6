package main

import (
	"context"
	"crypto/sha512"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/test/bench/report"
)

// form is how a list is asked for.
type form struct {
	name string
	question
	// aimed: what is asked for as it is, is all sent as it is; see docs/benchmarks-proxy.md.
	aimed bool
}

const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

var forms = []form{
	{"JSON", question{accept: asJSON}, true},
	{"table", question{accept: asTable}, true},
	{"JSON, gzip", question{accept: asJSON, encoding: "gzip"}, false},
}

// listRatios are how much longer than directly a list may take at the median.
var listRatios = map[string]float64{byCluster: 1.1, byCell: 1.3}

// list lists many pods.
func (b *bench) list(ctx context.Context, s *sheet) error {
	return b.inWorld(ctx, (*world).withMember, func(w *world, ctx context.Context) error {
		n := b.times(10_000, 100)
		b.Say("make %d pods", n)
		if err := w.makePods(ctx, n); err != nil {
			return err
		}
		for _, f := range forms {
			b.Say("LIST as %s", f.name)
			if err := w.lists(ctx, s, f, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// makePods makes pods of some KiB, which nobody runs.
func (w *world) makePods(ctx context.Context, n int) error {
	return many(n, func(i int) error {
		var env []corev1.EnvVar
		for v := range 20 {
			env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", v), Value: `some value of "it"`})
		}
		name := fmt.Sprintf("web-%05d", i)
		_, err := w.direct.CoreV1().Pods(inMember).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": strings.Repeat("some words ", 50) + noise(name)}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "example.org/web:1", Env: env, Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("make pod %s in the member: %w", name, err)
		}
		return nil
	})
}

// noise is half a KiB of text of a name's own, so that lists compress no better than real ones.
func noise(name string) string {
	var text strings.Builder
	for i := range 4 {
		fmt.Fprintf(&text, "%x", sha512.Sum512(fmt.Appendf(nil, "%s %d", name, i)))
	}
	return text.String()
}

func (w *world) lists(ctx context.Context, s *sheet, f form, n int) error {
	group := fmt.Sprintf("LIST of %d pods, %s", n, f.name)
	var clients []*client
	var questions []question
	var lengths []int64
	for _, y := range w.ways {
		c, err := newClient(y.config)
		if err != nil {
			return err
		}
		defer c.close()
		q := f.question
		q.path = y.path("pods")
		got, bytes, err := c.count(ctx, q)
		if err != nil {
			return err
		}
		if got != n {
			return fmt.Errorf("%s: there are %d pods in the list of %d", y.name, got, n)
		}
		clients, questions, lengths = append(clients, c), append(questions, q), append(lengths, bytes)
	}
	tallies, err := w.alternate(ctx, w.rounds, wayNames, func(ctx context.Context, i int) ([]time.Duration, error) {
		asked := time.Now()
		_, err := clients[i].read(ctx, questions[i])
		return []time.Duration{time.Since(asked)}, err
	})
	if err != nil {
		return err
	}
	if f.aimed {
		s.aims(group, "median ÷ directly", wayNames, tallies, listRatios)
	}
	s.compare(group, wayNames, tallies)
	for i, length := range lengths {
		s.add(wayNames[i], report.Measure{Group: group, Name: "length of the answer", Unit: "MiB"}, float64(length)/mebi)
	}
	return nil
}
