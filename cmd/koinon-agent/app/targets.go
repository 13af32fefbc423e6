package app

import (
	"errors"
	"net"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
)

// defaultKubelet is where a node's kubelet is.
const defaultKubelet = "127.0.0.1:10250"

// policy is what may be connected to by the agent of a name: by default a cluster's API server, and a node's kubelet.
func (o *Options) policy(name tunnel.Name, getenv func(string) string) (*agent.Policy, error) {
	words := map[string]string{}
	if o.APIServer != "" {
		words[tunnel.APIServer] = o.APIServer
	}
	if o.Kubelet != "" {
		words[tunnel.Kubelet] = o.Kubelet
	}
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	switch {
	case name.Node != "" && o.Kubelet == "":
		words[tunnel.Kubelet] = defaultKubelet
	case name.Node == "" && o.APIServer == "" && host != "" && port != "":
		words[tunnel.APIServer] = net.JoinHostPort(host, port)
	}
	if len(words) == 0 && len(o.Allow) == 0 {
		return nil, errors.New("there is nothing to connect to: this is no pod of a cluster, and neither --apiserver, --kubelet nor --allow says what may be")
	}
	return agent.NewPolicy(words, o.Allow...)
}
