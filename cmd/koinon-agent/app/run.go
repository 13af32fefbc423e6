package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll/podsecret"
	"github.com/koinon-io/koinon/pkg/version"
)

const (
	// drainGrace is how long servers are given to hear that the agent goes, and drainCheck how often it is looked
	// whether something is carried.
	drainGrace, drainCheck = time.Second, 100 * time.Millisecond
)

// Run gets a certificate if there is none and keeps links until ctx ends.
func (o *Options) Run(ctx context.Context) error {
	klogger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr), textlogger.Verbosity(o.Verbosity)))
	ctx = klog.NewContext(ctx, klogger)
	logger := slog.New(logr.ToSlogHandler(klogger))
	state, err := o.state(os.Getenv)
	if err != nil {
		return err
	}
	keeper, err := o.newKeeper(state, logger)
	if err != nil {
		return err
	}
	if err := keeper.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it was told to end
		}
		return err
	}
	name, _ := keeper.Certificate()
	if wanted := o.name(); wanted != (tunnel.Name{}) && wanted != name {
		return fmt.Errorf("the certificate in %s is of %s, and not of %s: with another --state-dir or --state-secret and a token of its own the agent can stand for that", state, name, wanted)
	}
	policy, err := o.policy(name, os.Getenv)
	if err != nil {
		return err
	}
	logger.Info("Starting", "name", name.String(), "version", version.Version(), "targets", policy.Words(), "allow", o.Allow)
	links, err := agent.New(agent.Config{
		Servers: o.Servers, TLS: keeper.TLS, Policy: policy, Transport: carrier.Way(o.Transport), Info: info(), Logger: logger,
	})
	if err != nil {
		return err
	}
	status, err := o.newStatus(keeper, links)
	if err != nil {
		return err
	}
	keeper.OnRenewed(links.Reconnect)

	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup // all end with serving
	parts.Go(func() { keeper.Run(serving) })
	parts.Go(func() { _ = links.Run(serving) }) // always nil
	parts.Go(func() { status.run(serving) })
	<-ctx.Done()
	logger.Info("Draining", "streams", links.Status().Streams(), "timeout", o.DrainTimeout.String())
	drain(links, o.DrainTimeout)
	stop()
	parts.Wait()
	return nil
}

// state is where key, certificate and authority are kept.
func (o *Options) state(getenv func(string) string) (enroll.State, error) {
	if o.StateSecret != "" {
		state, err := podsecret.New(o.StateSecret, o.AccountDir, getenv)
		if err != nil {
			return nil, fmt.Errorf("--state-secret: %w", err)
		}
		return state, nil
	}
	state, err := enroll.NewDir(o.StateDir, durable.WriteFile)
	if err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	if err := durable.RemoveUnfinished(o.StateDir, enroll.Files...); err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	return state, nil
}

func (o *Options) newKeeper(state enroll.State, logger *slog.Logger) (*enroll.Keeper, error) {
	pins, err := o.pins()
	if err != nil {
		return nil, err
	}
	return enroll.New(enroll.Config{
		Servers: o.Servers, ServerName: o.ServerName, State: state, Token: o.token, Name: o.name(), CA: o.ca(), Pins: pins,
		Dialer: &carrier.Dialer{Way: carrier.Way(o.Transport)}, Logger: logger,
	})
}

// info is what servers show of the agent.
func info() tunnel.AgentInfo {
	host, _ := os.Hostname() // shown only
	return tunnel.AgentInfo{Version: version.Version(), Host: host}
}

// drain tells servers that the agent goes, and returns when nothing is carried any more or the time is over.
func drain(links *agent.Agent, within time.Duration) {
	links.Drain(within)
	began := time.Now()
	for time.Since(began) < within {
		if time.Since(began) >= drainGrace && links.Status().Streams() == 0 {
			return
		}
		time.Sleep(drainCheck)
	}
}
