package agentaccess

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
)

// Shown is a report as the API has it, without metadata: by node, agent and age.
func Shown(report tunnel.Report) *v1beta1.KubeFedClusterAgents {
	shown := &v1beta1.KubeFedClusterAgents{Items: make([]v1beta1.ConnectedAgent, 0, len(report.Seen))}
	for i := range report.Seen {
		shown.Items = append(shown.Items, shownAgent(&report.Seen[i]))
	}
	slices.SortStableFunc(shown.Items, func(a, b v1beta1.ConnectedAgent) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Instance, b.Instance), a.Since.Compare(b.Since.Time))
	})
	for _, r := range report.Refusals {
		shown.Refusals = append(shown.Refusals, v1beta1.AgentRefusal{
			Cluster: r.Name.Cluster, Node: r.Name.Node, Server: r.Server, Time: metav1.NewTime(r.At), From: r.From, Message: r.Reason,
		})
	}
	for _, s := range report.Silent {
		shown.Silent = append(shown.Silent, v1beta1.SilentServer{Server: s.Server, Message: s.Reason})
	}
	return shown
}

func shownAgent(seen *tunnel.Seen) v1beta1.ConnectedAgent {
	agent := v1beta1.ConnectedAgent{
		Cluster: seen.Name.Cluster, Node: seen.Name.Node, Instance: seen.Agent.Instance, Server: seen.Server,
		Since: metav1.NewTime(seen.Since), From: seen.From, Way: seen.Way, Version: seen.Agent.Version, Host: seen.Agent.Host,
		CertificateExpires: metav1.NewTime(seen.ValidUntil), Draining: seen.Draining, Connections: int32(seen.Streams),
		ReceivedBytes: seen.Received, SentBytes: seen.Sent, RoundTripMicroseconds: seen.RoundTrip.Microseconds(),
	}
	if p := seen.Probe; p != nil {
		agent.Probe = &v1beta1.AgentProbe{Target: p.Target, Reached: p.Error == "", Message: p.Error, Microseconds: p.Took.Microseconds()}
	}
	return agent
}
