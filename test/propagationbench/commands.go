package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/testbed"
)

// commands measures the command line: a plan of one change over 100 targets, and why one of them is as it is.
func (b *bench) commands(ctx context.Context) error {
	targets := b.times(100, 2)
	return b.inWorld(ctx, targets, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		if err := w.makeCells(ctx, 0, targets, w.memberNames(), targets); err != nil {
			return err
		}
		name := objectPrefix + "planned"
		made := w.expect(name, 0, targets, nil)
		if err := w.create(ctx, name, toCells(targets)); err != nil {
			return err
		}
		if _, err := w.await(ctx, made); err != nil {
			return err
		}
		if err := w.rest(ctx, 2*time.Second); err != nil {
			return err
		}
		return errors.Join(w.plans(ctx, name, targets), w.explains(ctx, name))
	})
}

// plans measures what a person waits for who asks what a change would do.
func (w *world) plans(ctx context.Context, name string, targets int) error {
	manifest := fmt.Sprintf(`{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap", "metadata": {"name": %q, "namespace": %q},
		"spec": {"template": {"data": {"round": "planned"}}}}`, name, shop)
	var took []time.Duration
	var requests int64
	for range w.rounds {
		out, d, err := w.command(ctx, 1, manifest, "plan", "-f", "-", "-o", "json")
		if err != nil {
			return err
		}
		var result struct {
			Objects []struct {
				Targets []struct{ Outcome string }
			}
			Requests int64
		}
		if err := json.Unmarshal(out, &result); err != nil {
			return fmt.Errorf("read a plan: %w", err)
		}
		changed := 0
		for _, t := range result.Objects[0].Targets {
			if t.Outcome == "Updated" {
				changed++
			}
		}
		if changed != targets {
			return fmt.Errorf("a plan has %d targets that change, and not %d", changed, targets)
		}
		took, requests = append(took, d), result.Requests
	}
	w.aim("s", report.Percentile(took, 50).Seconds(), 3, "kubectl koinon plan of a change in %d targets, median", targets)
	w.aim("", float64(requests), float64(2*targets+10), "requests of such a plan")
	return nil
}

func (w *world) explains(ctx context.Context, name string) error {
	var took, alone []time.Duration
	for range w.rounds {
		_, d, err := w.command(ctx, 0, "", "explain", "federatedconfigmap/"+name, "-n", shop)
		if err != nil {
			return err
		}
		took = append(took, d)
		if _, d, err = w.command(ctx, 0, "", "version", "--client"); err != nil {
			return err
		}
		alone = append(alone, d)
	}
	w.aim("s", report.Percentile(took, 50).Seconds(), 0.2, "kubectl koinon explain of it, median")
	w.tell("s", report.Percentile(alone, 50).Seconds(), "kubectl koinon version --client, which asks nobody, median")
	return nil
}

// command runs kubectl koinon, which is to exit with a code, and returns how long that took, its start included.
func (w *world) command(ctx context.Context, code int, stdin string, args ...string) ([]byte, time.Duration, error) {
	binary, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		return nil, 0, err
	}
	cmd := exec.CommandContext(ctx, binary, append(args, "--kubeconfig", w.koinon.Kubeconfig())...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader([]byte(stdin)), &out, &said
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, 0, err
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		return nil, 0, fmt.Errorf("kubectl koinon %s exits with %d, want %d: %s", args[0], got, code, &said)
	}
	return out.Bytes(), took, nil
}
