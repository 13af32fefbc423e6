package konnectivity

import (
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"

	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

// Proxy serves one stream of a client.
func Proxy(through *frontend.Frontend, as frontend.Client, stream client.ProxyService_ProxyServer) error {
	return (&service{through: through, as: as}).Proxy(stream)
}
