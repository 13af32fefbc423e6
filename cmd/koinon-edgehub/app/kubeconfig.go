package app

import (
	"github.com/koinon-io/koinon/pkg/edgehub/identity"
)

// Kubeconfig is one for programs of the node, as YAML.
func (o *Options) Kubeconfig() ([]byte, error) {
	own, err := identity.OpenAuthority(o.StateDir)
	if err != nil {
		return nil, err
	}
	pair, err := own.Client("system:node:"+o.Node, "system:nodes")
	if err != nil {
		return nil, err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return nil, err
	}
	return (&identity.Kubeconfig{Server: "https://" + o.LocalAddress, CA: own.CertificatePEM(), Certificate: pair.CertificatePEM(), Key: key}).Encode("edgehub")
}
