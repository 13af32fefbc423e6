package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2/textlogger"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/edgehub/incluster"
	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
	"github.com/koinon-io/koinon/pkg/version"
)

// Run serves until ctx ends.
func (o *Options) Run(ctx context.Context) error {
	logger := slog.New(logr.ToSlogHandler(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr), textlogger.Verbosity(o.Verbosity)))))
	logger.Info("Starting", "node", o.Node, "version", version.Version())
	node, err := identity.Open(identity.Config{
		Dir: o.StateDir, NodeName: o.Node, TokenFile: o.BootstrapTokenFile, BootstrapKubeconfig: o.BootstrapKubeconfig, Adopt: o.Adopt, CAFile: o.CAFile, Logger: logger,
	})
	if err != nil {
		return err
	}
	own, err := identity.OpenAuthority(o.StateDir)
	if err != nil {
		return err
	}
	servers, err := o.servers()
	if err != nil {
		return err
	}
	up, err := upstream.New(upstream.Config{Servers: servers, CAs: node.CAs, Probe: upstream.Certificate(node.Certificate), Logger: logger})
	if err != nil {
		return err
	}
	pods := netip.MustParseAddrPort(o.PodAddress) // as Validate has seen
	h, err := newHub(o.StateDir, o.Node, up, node, &incluster.Rewriter{At: pods, Authority: own.CertificatePEM(), Servers: urls(servers)}, logger)
	if err != nil {
		return err
	}
	return errors.Join(o.serve(ctx, h, own), h.close())
}

func urls(servers []upstream.Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.URL)
	}
	return all
}

// serve runs the parts until ctx ends, or one of them cannot go on.
func (o *Options) serve(ctx context.Context, h *hub, own *identity.Authority) error {
	local, pods := netip.MustParseAddrPort(o.LocalAddress), netip.MustParseAddrPort(o.PodAddress) // as Validate has seen
	if err := addAddress(pods.Addr()); err != nil {
		return fmt.Errorf("--pod-address: %w", err)
	}
	forLocal, err := net.Listen("tcp", o.LocalAddress)
	if err != nil {
		return fmt.Errorf("--local-address: %w", err)
	}
	forPods, err := net.Listen("tcp", o.PodAddress)
	if err != nil {
		return errors.Join(fmt.Errorf("--pod-address: %w", err), forLocal.Close())
	}
	forStatus, err := net.Listen("tcp", o.StatusAddress)
	if err != nil {
		return errors.Join(fmt.Errorf("--status-address: %w", err), forLocal.Close(), forPods.Close())
	}
	settings, err := localTLS(own, local.Addr())
	if err != nil {
		return errors.Join(err, forLocal.Close(), forPods.Close(), forStatus.Close())
	}
	h.tunnel, err = o.Tunnel.newAgent(o.StateDir, o.Node, h.logger)
	if err != nil {
		return errors.Join(err, forLocal.Close(), forPods.Close(), forStatus.Close())
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var parts sync.WaitGroup // all end with ctx
	part := func(run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				end(err)
			}
		})
	}
	always := func(run func(context.Context)) {
		part(func(ctx context.Context) error { run(ctx); return nil })
	}
	always(h.upstream.Run)
	always(h.keepIdentity)
	always(h.pool.Run)
	always(h.closure.Run)
	always(h.writes.Run)
	always(h.keepNotes)
	always(h.keepUp)
	always(h.keepDocuments)
	always(h.keepPodStates)
	always(h.keepTokens)
	always(func(ctx context.Context) { h.keepAddresses(ctx, o.AddressDir) })
	if h.tunnel != nil {
		always(h.tunnel.run)
	}
	part(func(ctx context.Context) error {
		return serve(ctx, newLimited(forLocal), h.locally(), settings, h.logger)
	})
	part(func(ctx context.Context) error {
		return serve(ctx, newLimited(forPods), newShares(maxRequests, maxRequestsOf).requests(h.forPods()), h.podsTLS(own, pods.Addr()), h.logger)
	})
	part(func(ctx context.Context) error { return serveStatus(ctx, forStatus, h.statusHandler()) })
	<-ctx.Done()
	parts.Wait()
	if err := h.before.leave(h.book, h.pool.Heard()); err != nil {
		h.logger.Warn("The next hub has to read everything again", "err", err)
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// keepIdentity has the node have a certificate.
func (h *hub) keepIdentity(ctx context.Context) {
	h.identity.Run(ctx, identity.Ways{
		Node: h.asNode, Next: h.upstream.Transport(upstream.Certificate(h.identity.Next)), Bootstrap: h.upstream.Transport(upstream.Token(h.identity.Token)),
	})
}

// keepUp has feeds try again when an API server is back, and keeps what the hub itself needs to know.
func (h *hub) keepUp(ctx context.Context) {
	_, done := h.want(ctx, serviceKey, "/api/v1/namespaces/default/services")
	defer done()
	checked, news := false, true
	for {
		changed := h.upstream.Changes()
		if h.upstream.Available() {
			if !checked {
				err := h.checkCluster(ctx)
				h.before.settle(false) // unless it was found to be the same
				if checked = err == nil; !checked {
					h.logger.Warn("Failed to find out which cluster this is: it is tried again", "err", err)
				}
			}
			if news {
				h.pool.Wake()
				h.identity.Wake()
			}
		} else {
			checked = false // it may be another one when it is back
			if h.upstream.Away() {
				h.before.settle(false) // how long it will be so is not known
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			news = true
		case <-time.After(checkAgain):
			news = false
		}
	}
}

// checkAgain is how soon what could not be found out is tried again.
const checkAgain = 30 * time.Second
