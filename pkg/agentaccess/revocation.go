package agentaccess

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

// maxRevoked is how many nodes the annotation may name.
const maxRevoked = 10_000

// Allowed says why an agent of a name may not connect with a certificate, or renew it; nil if it may.
// cluster is its KubeFedCluster, nil if there is none.
func Allowed(cluster *v1beta1.KubeFedCluster, name tunnel.Name, certificate *x509.Certificate) error {
	if cluster == nil || cluster.Labels[v1alpha1.TopologyLabel] != "" {
		return errors.New("there is no KubeFedCluster of this name that is a member")
	}
	if err := revoked(cluster.Annotations[v1beta1.AgentsRevokedAnnotation], certificate); err != nil {
		return err
	}
	text := cluster.Annotations[v1beta1.NodeAgentsRevokedAnnotation]
	if name.Node == "" || text == "" {
		return nil
	}
	nodes, err := parseRevoked(text)
	if err != nil { // who wrote it wanted to revoke something
		return fmt.Errorf("the annotation %s of its KubeFedCluster: %w: all certificates of its nodes are refused", v1beta1.NodeAgentsRevokedAnnotation, err)
	}
	if at, ok := nodes[name.Node]; ok {
		return issuedAfter(certificate, at)
	}
	return nil
}

// revoked says why a certificate of a cluster's agents is refused, whose annotation has a text.
func revoked(until string, certificate *x509.Certificate) error {
	if until == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339, until)
	if err != nil { // who wrote it wanted to revoke something
		return fmt.Errorf("the annotation %s of its KubeFedCluster is %q, which is no time as %s: all certificates of its agents are refused",
			v1beta1.AgentsRevokedAnnotation, until, time.RFC3339)
	}
	return issuedAfter(certificate, at)
}

// issuedAfter counts from the token that a certificate goes back to: who renewed it meanwhile, at a server that had not heard of the revocation yet, is
// refused too.
func issuedAfter(certificate *x509.Certificate, at time.Time) error {
	if !authority.EnrolledAt(certificate).After(at) {
		return fmt.Errorf("certificates of its agents that were issued until %s were revoked: with a new token the agent gets another", at.UTC().Format(time.RFC3339))
	}
	return nil
}

// parseRevoked reads NODE=TIME,… Of a node that is named twice the later time counts.
func parseRevoked(text string) (map[string]time.Time, error) {
	parts := strings.Split(text, ",")
	if len(parts) > maxRevoked {
		return nil, fmt.Errorf("it names %d nodes, and may name %d", len(parts), maxRevoked)
	}
	nodes := make(map[string]time.Time, len(parts))
	for _, part := range parts {
		node, when, _ := strings.Cut(strings.TrimSpace(part), "=")
		at, err := time.Parse(time.RFC3339, when)
		if err != nil || (tunnel.Name{Cluster: "x", Node: node}).Validate() != nil || node == "" {
			return nil, fmt.Errorf("%.100q is not NODE=TIME, with a time as %s", part, time.RFC3339)
		}
		if at.After(nodes[node]) {
			nodes[node] = at
		}
	}
	return nodes, nil
}

// RevokeNode returns the annotation that revokes a node's certificates until now, beside what is in the one that there is. What
// was revoked so long ago that no certificate of then is good any more is left out.
func RevokeNode(annotation, node string, now time.Time) (string, error) {
	nodes := map[string]time.Time{}
	if annotation != "" {
		var err error
		if nodes, err = parseRevoked(annotation); err != nil {
			return "", fmt.Errorf("the annotation %s of the KubeFedCluster: %w: correct it first", v1beta1.NodeAgentsRevokedAnnotation, err)
		}
	}
	maps.DeleteFunc(nodes, func(_ string, at time.Time) bool { return at.Before(now.Add(-authority.DefaultLifetime)) })
	nodes[node] = now
	parts := make([]string, 0, len(nodes))
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		parts = append(parts, name+"="+nodes[name].UTC().Format(time.RFC3339))
	}
	if len(parts) > maxRevoked {
		return "", fmt.Errorf("%d nodes of the cluster were revoked within %s, as many as may be: annotate it with %s to revoke all", len(parts)-1, authority.DefaultLifetime, v1beta1.AgentsRevokedAnnotation)
	}
	return strings.Join(parts, ","), nil
}
