package service

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/hoststate"
	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	// agentsSecret is the Secret of the system namespace with the authority of agents, and agentsKey the key in it: certificate
	// and key, PEM.
	agentsSecret = "koinon-agents-ca"
	agentsKey    = "authority.pem"
	// agentsLifetime is that of the authority. Replacing it costs every agent a new token.
	agentsLifetime = 10 * 365 * 24 * time.Hour
)

// agentsAuthority returns the authority of agents, which all servers over one API share. The first one makes it.
func agentsAuthority(ctx context.Context, client kubernetes.Interface, namespace string) (keypair.Pair, error) {
	data, err := hoststate.SharedSecret(ctx, client, namespace, agentsSecret, agentsKey, func() ([]byte, error) {
		pair, err := keypair.NewAuthority("koinon-agents-ca", time.Now(), agentsLifetime)
		if err != nil {
			return nil, err
		}
		key, err := pair.KeyPEM()
		return append(pair.CertificatePEM(), key...), err
	})
	if err != nil {
		return keypair.Pair{}, err
	}
	pair, err := keypair.ParsePair(data, data)
	if err != nil {
		return keypair.Pair{}, fmt.Errorf("the authority of agents cannot be read: the key %q of the Secret %s/%s %w. Restore the Secret from a backup; or delete it and start the servers anew, which costs every agent a new token",
			agentsKey, namespace, agentsSecret, err)
	}
	return pair, nil
}
