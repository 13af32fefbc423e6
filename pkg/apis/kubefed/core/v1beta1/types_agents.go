package v1beta1

import (
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// KubeFedClusterAgents are the agents of a cluster and of its nodes that are connected to the tunnel at the moment, at all servers. It is
// the subresource agents of a KubeFedCluster; nothing of it is stored.
type KubeFedClusterAgents struct {
	metav1.TypeMeta `json:",inline"`
	// Name and namespace of the KubeFedCluster.
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Links of agents with servers, by node and age. An agent has one with each server that it reaches; those of
	// one agent have one instance.
	Items []ConnectedAgent `json:"items"`
	// Refusals are why the last agents were refused, one for each name and server, since the server started.
	// +optional
	Refusals []AgentRefusal `json:"refusals,omitempty"`
	// Silent are the servers that did not answer: what they have is missing.
	// +optional
	Silent []SilentServer `json:"silent,omitempty"`
}

// ConnectedAgent is a link of an agent with a server.
type ConnectedAgent struct {
	// Cluster that the agent's certificate is for.
	Cluster string `json:"cluster"`
	// Node that the certificate is for; empty if it is for the cluster.
	// +optional
	Node string `json:"node,omitempty"`
	// Instance is the process of the agent, as it says itself.
	Instance string `json:"instance"`
	// Server is the id of the server that the link is with.
	Server string `json:"server"`
	// Since is when the link began.
	Since metav1.Time `json:"since"`
	// From is the address that the agent connected from, as the server saw it.
	From string `json:"from"`
	// Way is how: direct, or websocket.
	Way string `json:"way"`
	// Version of the agent, as it says itself.
	// +optional
	Version string `json:"version,omitempty"`
	// Host that the agent runs on, as it says itself.
	// +optional
	Host string `json:"host,omitempty"`
	// CertificateExpires is when the agent's certificate ends; it renews it before that.
	CertificateExpires metav1.Time `json:"certificateExpires"`
	// Draining agents get no new connections.
	// +optional
	Draining bool `json:"draining,omitempty"`
	// Connections are those that the link carries.
	Connections int32 `json:"connections"`
	// ReceivedBytes and SentBytes are those of the link, as the server counts.
	ReceivedBytes int64 `json:"receivedBytes"`
	SentBytes     int64 `json:"sentBytes"`
	// RoundTripMicroseconds is the time from the server to the agent and back, of late; 0 if it is not known.
	RoundTripMicroseconds int64 `json:"roundTripMicroseconds"`
	// Probe is what came of the agent's try to connect to its target, if the request had probe=true.
	// +optional
	Probe *AgentProbe `json:"probe,omitempty"`
}

// AgentProbe is what came of a try.
type AgentProbe struct {
	// Target is apiserver, or kubelet for the agent of a node.
	Target string `json:"target"`
	// Reached says whether the agent connected to it.
	Reached bool `json:"reached"`
	// Message says why not.
	// +optional
	Message string `json:"message,omitempty"`
	// Microseconds that it took.
	Microseconds int64 `json:"microseconds"`
}

// AgentRefusal is why an agent was refused.
type AgentRefusal struct {
	// Cluster that the agent proved to be of.
	Cluster string `json:"cluster"`
	// Node, if it is one of a node.
	// +optional
	Node string `json:"node,omitempty"`
	// Server that refused it.
	Server string `json:"server"`
	// Time of the last refusal.
	Time metav1.Time `json:"time"`
	// From is the address that it connected from.
	From string `json:"from"`
	// Message says why.
	Message string `json:"message"`
}

// SilentServer is a server that did not answer.
type SilentServer struct {
	// Server is its id.
	Server string `json:"server"`
	// Message says why.
	Message string `json:"message"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// KubeFedClusterAgentsOptions are the parameters of the subresource agents. They are not stored.
type KubeFedClusterAgentsOptions struct {
	metav1.TypeMeta `json:",inline"`

	// Node asks for the agents of one node only.
	// +optional
	Node string `json:"node,omitempty"`
	// Probe has each agent try to connect to its target.
	// +optional
	Probe bool `json:"probe,omitempty"`
}

// agentsOptionsOfQuery reads the parameters of a URL.
func agentsOptionsOfQuery(in, out any, _ conversion.Scope) error {
	query, options := *in.(*url.Values), out.(*KubeFedClusterAgentsOptions)
	options.Node = query.Get("node")
	switch probe := query.Get("probe"); probe {
	case "", "false", "0":
	case "true", "1":
		options.Probe = true
	default:
		return &queryError{probe}
	}
	return nil
}

// queryError is why a parameter cannot be read.
type queryError struct{ probe string }

func (e *queryError) Error() string { return "probe is " + e.probe + ": it must be true or false" }
