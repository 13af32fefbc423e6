package agentaccess

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

// Allowed says why an agent of a cluster may not connect with a certificate, or renew it; nil if it may.
// cluster is its KubeFedCluster, nil if there is none.
func Allowed(cluster *v1beta1.KubeFedCluster, certificate *x509.Certificate) error {
	if cluster == nil || cluster.Labels[v1alpha1.TopologyLabel] != "" {
		return errors.New("there is no KubeFedCluster of this name that is a member")
	}
	until := cluster.Annotations[v1beta1.AgentsRevokedAnnotation]
	if until == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339, until)
	if err != nil { // who wrote it wanted to revoke something
		return fmt.Errorf("the annotation %s of its KubeFedCluster is %q, which is no time as %s: all certificates of its agents are refused",
			v1beta1.AgentsRevokedAnnotation, until, time.RFC3339)
	}
	if !authority.IssuedAt(certificate).After(at) {
		return fmt.Errorf("certificates of its agents that were issued until %s were revoked: with a new token the agent gets another", at.UTC().Format(time.RFC3339))
	}
	return nil
}
