package kubefedcluster

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// Agents are what is connected to the tunnel.
type Agents interface {
	// Count is how many agents a cluster itself has, at all servers. It is asked for each row of a table, and waits for nothing.
	Count(cluster string) int
	// List returns the agents of a cluster and its nodes, or of one node, without metadata. It waits for other servers, and says which do not
	// answer in time.
	List(ctx context.Context, cluster string, options *v1beta1.KubeFedClusterAgentsOptions) (*v1beta1.KubeFedClusterAgents, error)
}

// agentsColumn counts the agents of clusters. What cannot be known here is not said.
func agentsColumn(agents Agents) objectstore.Column[*v1beta1.KubeFedCluster] {
	return objectstore.Column[*v1beta1.KubeFedCluster]{
		Name: "Agents", Description: "How many agents of the cluster are connected to the tunnel; empty for clusters that are reached without.",
		Value: func(c *v1beta1.KubeFedCluster) any {
			if c.Labels[v1alpha1.TopologyLabel] != "" {
				return ""
			}
			tunneled := c.Spec.Tunnel == v1beta1.TunnelAlways
			if agents == nil {
				if tunneled {
					return "<unknown>"
				}
				return ""
			}
			if n := agents.Count(c.Name); n > 0 || tunneled {
				return strconv.Itoa(n)
			}
			return ""
		},
	}
}

// AgentsREST serves the subresource agents.
type AgentsREST struct {
	members Members
	agents  Agents
}

var _ rest.GetterWithOptions = &AgentsREST{}

// NewAgentsREST returns the storage of the subresource agents of the clusters in a namespace. agents is nil if this server has no tunnel.
func NewAgentsREST(clusters rest.Getter, namespace string, agents Agents) *AgentsREST {
	return &AgentsREST{Members{clusters, namespace}, agents}
}

// New returns an empty KubeFedClusterAgents.
func (r *AgentsREST) New() runtime.Object { return &v1beta1.KubeFedClusterAgents{} }

// Destroy does nothing: nothing is held.
func (r *AgentsREST) Destroy() {}

// NewGetOptions implements rest.GetterWithOptions.
func (r *AgentsREST) NewGetOptions() (options runtime.Object, subpath bool, subpathKey string) {
	return &v1beta1.KubeFedClusterAgentsOptions{}, false, ""
}

// Get returns the agents that are connected now.
func (r *AgentsREST) Get(ctx context.Context, name string, options runtime.Object) (runtime.Object, error) {
	asked, ok := options.(*v1beta1.KubeFedClusterAgentsOptions)
	if !ok {
		return nil, fmt.Errorf("the options of agents are a %T", options)
	}
	cluster, err := r.members.Member(ctx, name)
	if err != nil {
		return nil, err
	}
	if r.agents == nil {
		return nil, apierrors.NewServiceUnavailable("this server has no tunnel, and knows nothing of agents: it was started without the component tunnel")
	}
	found, err := r.agents.List(ctx, name, asked)
	if err != nil {
		return nil, err
	}
	found.Name, found.Namespace = cluster.Name, cluster.Namespace
	return found, nil
}
