package app

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/kubefedcluster"
	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	// agentsTimeout is how long other servers may take to say which agents they have, and probesTimeout how long if agents
	// are to try their targets first.
	agentsTimeout, probesTimeout = 3 * time.Second, 8 * time.Second
)

var _ kubefedcluster.Agents = &tunnelPart{}

// Count implements kubefedcluster.Agents.
func (p *tunnelPart) Count(cluster string) int {
	if serving := p.server(); serving != nil {
		return serving.Agents(tunnel.Name{Cluster: cluster})
	}
	return 0
}

// List implements kubefedcluster.Agents.
func (p *tunnelPart) List(ctx context.Context, cluster string, options *v1beta1.KubeFedClusterAgentsOptions) (*v1beta1.KubeFedClusterAgents, error) {
	name := tunnel.Name{Cluster: cluster, Node: options.Node}
	if err := name.Validate(); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	serving := p.server()
	if serving == nil {
		return nil, apierrors.NewServiceUnavailable("the tunnel has not started: see the log of this server")
	}
	timeout := agentsTimeout
	if options.Probe {
		timeout = probesTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return agentaccess.Shown(serving.Report(ctx, name, options.Probe)), nil
}
