package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	agentmanifest "github.com/koinon-io/koinon/artifacts/deploy/agent"
	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	kubefedclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
)

// What --output may be.
const (
	outputManifest = "manifest"
	outputSystemd  = "systemd"
)

// maxNode is how long the name of a node may be that is a part of names of objects.
const maxNode = 200

// name is whom the agent is of.
func (o *agentOptions) name() tunnel.Name { return tunnel.Name{Cluster: o.cluster, Node: o.Node} }

// agents are how many get a token: a node has one.
func (o *agentOptions) agents() int {
	if o.Node != "" {
		return 1
	}
	return o.Replicas
}

// validateNode says what is wrong with what is about nodes.
func (o *agentOptions) validateNode() error {
	switch {
	case o.Output != outputManifest && o.Output != outputSystemd:
		return fmt.Errorf("--output is %q: %s and %s are allowed", o.Output, outputManifest, outputSystemd)
	case o.Output == outputSystemd && o.Node == "":
		return fmt.Errorf("--output %s needs --node: the agents of a cluster are pods of it", outputSystemd)
	case len(o.Node) > maxNode:
		return fmt.Errorf("--node has %d characters: %d at most are allowed", len(o.Node), maxNode)
	case o.Revoke && o.Wait:
		return errors.New("--revoke and --wait are both given: there is no agent to wait for once its certificate is revoked")
	}
	return nil
}

// nodeManifest is what a node needs.
func (o *agentOptions) nodeManifest(servers, pins, tokens []string) string {
	text := agentmanifest.NodeManifest
	if o.Output == outputSystemd {
		text = agentmanifest.NodeUnit
	}
	text = repeatLine(text, agentmanifest.Server, servers)
	text = repeatLine(text, agentmanifest.Pin, pins)
	sum := sha256.Sum256([]byte(o.Node))
	return strings.NewReplacer(
		agentmanifest.Cluster, o.cluster, agentmanifest.Node, o.Node, agentmanifest.Instance, hex.EncodeToString(sum[:8]),
		agentmanifest.Token, tokens[0], agentmanifest.Image, o.Image,
		"name: "+agentmanifest.NodeNamespace+"\n  labels:", "name: "+o.AgentNamespace+"\n  labels:",
		"namespace: "+agentmanifest.NodeNamespace+"\n", "namespace: "+o.AgentNamespace+"\n",
	).Replace(text)
}

// logPlace is where agents say what hinders them.
func (o *agentOptions) logPlace() string {
	switch {
	case o.Node == "":
		return fmt.Sprintf("the log of the pods of the StatefulSet koinon-agent in the member's namespace %q", o.AgentNamespace)
	case o.Output == outputSystemd:
		return fmt.Sprintf("the journal of koinon-agent.service at %q", o.Node)
	}
	return fmt.Sprintf("the log of the pod of the DaemonSet koinon-agent-node-%s in the member's namespace %q", o.Node, o.AgentNamespace)
}

// revoke refuses the certificates that were issued until now, and deletes the tokens first, so that none gets another.
func (o *agentOptions) revoke(ctx context.Context, kubefed kubefedclient.KubeFedClusterInterface, tokens *agentaccess.Tokens) error {
	unused, err := tokens.Revoke(ctx, o.name())
	if err != nil {
		return err
	}
	for {
		cluster, err := kubefed.Get(ctx, o.cluster, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("look for the KubeFedCluster %q: %s", o.cluster, sentence(err))
		}
		now := time.Now().Truncate(time.Second)
		annotation, value := v1beta1.AgentsRevokedAnnotation, now.UTC().Format(time.RFC3339)
		if o.Node != "" {
			annotation = v1beta1.NodeAgentsRevokedAnnotation
			if value, err = agentaccess.RevokeNode(cluster.Annotations[annotation], o.Node, now); err != nil {
				return err
			}
		}
		metav1.SetMetaDataAnnotation(&cluster.ObjectMeta, annotation, value)
		if _, err = kubefed.Update(ctx, cluster, metav1.UpdateOptions{}); apierrors.IsConflict(err) {
			continue // somebody else has changed it: what he revoked stays
		}
		if err != nil {
			return fmt.Errorf("annotate the KubeFedCluster %q with %s: %s", o.cluster, annotation, sentence(err))
		}
		_, _ = fmt.Fprintf(o.ErrOut, "certificates of agents of %s that were issued until %s are refused; %d unused tokens were deleted\n",
			o.name(), now.UTC().Format(time.RFC3339), unused)
		return nil
	}
}
