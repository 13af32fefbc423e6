package service

import (
	"context"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

const (
	// replicaLooks is how often it is looked which other servers have a tunnel.
	replicaLooks = 5 * time.Second
	// leaveTimeout is how long a server that ends tries to say so.
	leaveTimeout = 2 * time.Second
)

// tellOfReplicas tells agents of the servers with a tunnel, and those of this one, until ctx ends or this server is to end.
func tellOfReplicas(ctx, ending context.Context, s *server.Server, replicas *agentaccess.Replicas) {
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(replicaLooks)
	defer ticker.Stop()
	var renewed time.Time
	var told []tunnel.Replica
	for {
		if time.Since(renewed) >= agentaccess.RenewEvery {
			if err := replicas.Renew(ctx); err == nil {
				renewed = time.Now()
			} else if ctx.Err() == nil {
				logger.Error(err, "Failed to tell other servers of this tunnel: agents may not connect to all")
			}
		}
		found, err := replicas.List(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			logger.Error(err, "Failed to look for other servers with a tunnel: agents may not connect to all")
		case err == nil && !slices.Equal(found, told):
			s.SetReplicas(found)
			told = found
			logger.V(2).Info("Servers with a tunnel", "replicas", found)
		}
		select {
		case <-ctx.Done():
			return
		case <-ending.Done():
			leaving, cancel := context.WithTimeout(ctx, leaveTimeout)
			if err := replicas.Leave(leaving); err != nil {
				logger.V(2).Info("Did not tell other servers that this tunnel goes", "err", err)
			}
			cancel()
			return
		case <-ticker.C:
		}
	}
}
