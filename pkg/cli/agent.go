package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	agentmanifest "github.com/koinon-io/koinon/artifacts/deploy/agent"
	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	kubefedclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

const (
	// defaultTokenLifetime is for a manifest that is applied soon; maxTokenLifetime for one that is carried somewhere.
	defaultTokenLifetime, maxTokenLifetime = time.Hour, 30 * 24 * time.Hour
	// maxReplicas keeps a mistake from being many tokens.
	maxReplicas = 16
)

// agentOptions are the options of "kubectl koinon agent".
type agentOptions struct {
	genericiooptions.IOStreams
	flags *connection

	System, AgentNamespace, Image string
	Servers                       []string
	TokenLifetime                 time.Duration
	Replicas                      int
	Wait                          bool
	Timeout                       time.Duration
	// Node is empty for an agent of the cluster. Output is how what it needs is printed.
	Node, Output string
	// Revoke is to revoke what there is instead.
	Revoke bool

	cluster string
	source  *source
	// every is how often it is looked whether an agent has connected.
	every time.Duration
}

func newAgentCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &agentOptions{
		IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, AgentNamespace: agentmanifest.Namespace, TokenLifetime: defaultTokenLifetime,
		Replicas: 2, Timeout: 5 * time.Minute, Output: outputManifest, every: 2 * time.Second,
	}
	cmd := &cobra.Command{
		Use:   "agent CLUSTER",
		Args:  cobra.ArbitraryArgs,
		Short: "Print the manifest of an agent, through which a member or a node behind NAT is reached",
		Long: `Print the manifest of koinon-agent for a member, through which Koinon reaches the member's API
server although nobody can connect to it. It is to be applied in the member.

The manifest has a token for each replica, that is good once and until it expires. With it the agent
gets a certificate for the name of this cluster, which it keeps in a Secret and renews by itself. Whoever
has a token before its agent does can stand for the cluster: keep the manifest as you keep a password.
He sees no credential and no data of the member even then, since TLS to its API server goes through the
agent; unless disabledTLSValidations turn its checks off.

A member is reached through its agents alone if its KubeFedCluster says spec.tunnel: Always. The host of
spec.apiEndpoint, or of the server in its kubeconfig, is then what the certificate of its API server has to
name, and is not connected to: kubernetes.default.svc is in that of most. If it does not say anything, its
agents are used while nobody answers at spec.apiEndpoint.

With --wait the manifest is printed and standard output closed, so that what reads it can begin; then an
agent is waited for until --timeout.

With --node the agent is of one node, through which that node's kubelet is reached by its name. Its manifest is
applied in the member too, and runs it on that node. With --output systemd a unit of systemd is printed, for a node
without anything that would run a manifest. Of several agents of a node the newest is used.

With --revoke nothing is printed: certificates of the cluster's agents, or of the node's, that were issued until now
are refused from now on, and tokens for them are deleted. Those of a cluster are those of its nodes too. What is revoked
is in the annotations federation.koinon.io/agents-revoked and federation.koinon.io/node-agents-revoked of its KubeFedCluster.`,
		Example: `  # Make an agent of the cluster m1
  kubectl koinon agent m1 --image registry.example/koinon-agent:v1 | kubectl --context m1 apply -f -

  # The same, and return when one has connected
  kubectl koinon agent m1 --image registry.example/koinon-agent:v1 --wait | kubectl --context m1 apply -f -

  # Make an agent of its node edge-7, as a pod there, or as a service of systemd
  kubectl koinon agent m1 --node edge-7 --image registry.example/koinon-agent:v1 | kubectl --context m1 apply -f -
  kubectl koinon agent m1 --node edge-7 --output systemd > koinon-agent.service

  # Revoke the certificates that the cluster's agents have. A new manifest gets them others, once the Secrets with the
  # old ones, koinon-agent-0 and so on, were deleted in the member
  kubectl koinon agent m1 --revoke

  # Revoke those of one node. A new manifest or unit gets it another, once /var/lib/koinon-agent is gone there
  kubectl koinon agent m1 --node edge-7 --revoke`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.AddCommand(newAgentStatusCommand(flags, streams))
	cmd.Flags().StringVar(&o.Image, "image", "", "The container image, which has koinon-agent in its PATH. It is required: there is none in a registry.")
	cmd.Flags().StringVar(&o.AgentNamespace, "agent-namespace", o.AgentNamespace, "The namespace of the member for the agent.")
	cmd.Flags().StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	cmd.Flags().StringSliceVar(&o.Servers, "server", nil, "Where the agent finds the tunnel, HOST:PORT; may be repeated. The default is what the server says of itself.")
	cmd.Flags().DurationVar(&o.TokenLifetime, "token-lifetime", o.TokenLifetime, "How long the tokens are good.")
	cmd.Flags().IntVar(&o.Replicas, "replicas", o.Replicas, "How many agents run, each with a token of its own.")
	cmd.Flags().BoolVar(&o.Wait, "wait", o.Wait, "After the manifest was printed, wait until an agent has connected.")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", o.Timeout, "How long --wait waits.")
	cmd.Flags().StringVar(&o.Node, "node", "", "The node that the agent is of. The default is the cluster itself.")
	cmd.Flags().StringVarP(&o.Output, "output", "o", o.Output, "What to print: manifest, or for a node systemd.")
	cmd.Flags().BoolVar(&o.Revoke, "revoke", false, "Revoke the certificates and tokens that there are, and print nothing.")
	return cmd
}

func (o *agentOptions) complete(cmd *cobra.Command, args []string) (err error) {
	if len(args) != 1 {
		return errors.New("the name of one KubeFedCluster is needed: kubectl koinon agent CLUSTER")
	}
	o.cluster = args[0]
	if o.Node != "" && !cmd.Flags().Changed("agent-namespace") {
		o.AgentNamespace = agentmanifest.NodeNamespace
	}
	o.source, err = loadSource(o.flags)
	return err
}

// imagePattern keeps out what would end a line of the manifest; the member decides what an image is.
var imagePattern = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$`)

func (o *agentOptions) validate() error {
	if err := o.name().Validate(); err != nil {
		return err
	}
	if err := o.validateNode(); err != nil {
		return err
	}
	if o.Output == outputManifest && !o.Revoke && !imagePattern.MatchString(o.Image) {
		return fmt.Errorf("--image is %q: it must be the reference of a container image that has koinon-agent", o.Image)
	}
	for _, flag := range [][2]string{{"--agent-namespace", o.AgentNamespace}, {"--kubefed-namespace", o.System}} {
		for _, message := range validation.IsDNS1123Label(flag[1]) {
			return fmt.Errorf("%s is %q: %s", flag[0], flag[1], message)
		}
	}
	if o.TokenLifetime <= 0 || o.TokenLifetime > maxTokenLifetime {
		return fmt.Errorf("--token-lifetime is %s: it must be more than 0s, and %s at most", o.TokenLifetime, maxTokenLifetime)
	}
	if o.Replicas < 1 || o.Replicas > maxReplicas {
		return fmt.Errorf("--replicas is %d: 1 to %d are allowed", o.Replicas, maxReplicas)
	}
	if o.Timeout <= 0 {
		return fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout)
	}
	return checkServers(o.Servers)
}

func checkServers(servers []string) error {
	for _, server := range servers {
		host, port, err := net.SplitHostPort(server)
		if err != nil || host == "" || port == "" || strings.ContainsAny(server, " \t\r\n#'\"") {
			return fmt.Errorf("the address of the tunnel %q must be HOST:PORT", server)
		}
	}
	return nil
}

// run makes tokens, prints the manifest, and waits for an agent if it is to.
func (o *agentOptions) run(ctx context.Context) error {
	config, err := o.source.restConfig(o.source.server)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.Timeout, config.QPS = o.source.timeout, -1 // what is asked again is asked now and then
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	kubefed, err := kubefedclient.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", o.source.server, err)
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", o.source.server, err)
	}
	if err := o.checkCluster(ctx, kubefed); err != nil {
		return err
	}
	if o.Revoke {
		return o.revoke(ctx, kubefed.KubeFedClusters(o.System), agentaccess.NewTokens(core.Secrets(o.System)))
	}
	address, err := agentaccess.ReadAddress(ctx, core.ConfigMaps(o.System))
	if err != nil {
		return err
	}
	if len(o.Servers) > 0 {
		address.Servers = o.Servers
	}
	if err := checkServers(address.Servers); err != nil {
		return err
	}
	pins, err := address.Pins()
	if err != nil {
		return err
	}
	waiting := &agentWait{kubefed: kubefed.KubeFedClusters(o.System), events: core.Events(o.System), options: o}
	if o.Wait {
		if waiting.before, err = waiting.connected(ctx); err != nil {
			return err
		}
	}
	// What cannot be printed needs no tokens: they are made last.
	tokens, err := o.makeTokens(ctx, agentaccess.NewTokens(core.Secrets(o.System)))
	if err != nil {
		return err
	}
	print := o.manifest
	if o.Node != "" {
		print = o.nodeManifest
	}
	if _, err = io.WriteString(o.Out, print(address.Servers, texts(pins), tokens)); err != nil || !o.Wait {
		return err
	}
	if stdout, ok := o.Out.(io.Closer); ok { // whoever reads it applies it once it has ended
		if err := stdout.Close(); err != nil {
			return err
		}
	}
	return waiting.run(ctx)
}

// makeTokens makes one for each replica.
func (o *agentOptions) makeTokens(ctx context.Context, store *agentaccess.Tokens) (made []string, err error) {
	for range o.agents() {
		text, token, err := authority.NewToken(o.name(), time.Now().Truncate(time.Second), o.TokenLifetime)
		if err != nil {
			return nil, err
		}
		if err := store.Add(ctx, token); err != nil {
			return nil, err
		}
		made = append(made, text)
	}
	return made, nil
}

// manifest is what is applied in the member. tokens are by replica.
func (o *agentOptions) manifest(servers, pins, tokens []string) string {
	var replicas []string
	for i := range tokens {
		replicas = append(replicas, agentmanifest.ReplicaPrefix+strconv.Itoa(i))
	}
	var documents []string
	for document := range strings.SplitSeq(agentmanifest.Manifest, "---\n") {
		if !strings.Contains(document, "\n  name: "+agentmanifest.Replica+"\n") {
			documents = append(documents, document)
			continue
		}
		for _, replica := range replicas {
			documents = append(documents, strings.ReplaceAll(document, agentmanifest.Replica, replica))
		}
	}
	manifest := strings.Join(documents, "---\n")
	manifest = repeatLine(manifest, agentmanifest.Server, servers)
	manifest = repeatLine(manifest, agentmanifest.Pin, pins)
	manifest = repeatLine(manifest, agentmanifest.Replica, replicas)
	for i, replica := range replicas {
		manifest = strings.ReplaceAll(manifest, replica+": "+agentmanifest.Token+"\n", replica+": "+tokens[i]+"\n")
	}
	return strings.NewReplacer(
		agentmanifest.Cluster, o.cluster, agentmanifest.Image, o.Image, agentmanifest.Replicas, strconv.Itoa(len(tokens)),
		"name: "+agentmanifest.Namespace+"\n  labels:\n    pod-security", "name: "+o.AgentNamespace+"\n  labels:\n    pod-security",
		"namespace: "+agentmanifest.Namespace+"\n", "namespace: "+o.AgentNamespace+"\n",
	).Replace(manifest)
}

// checkCluster makes sure that there is a member of the name, and says what else it needs.
func (o *agentOptions) checkCluster(ctx context.Context, kubefed kubefedclient.KubeFedClustersGetter) error {
	found, err := kubefed.KubeFedClusters(o.System).Get(ctx, o.cluster, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no KubeFedCluster %q in namespace %q: make it first", o.cluster, o.System)
	case err != nil:
		return fmt.Errorf("look for the KubeFedCluster %q: %s", o.cluster, sentence(err))
	case found.Labels[v1alpha1.TopologyLabel] != "":
		return fmt.Errorf("the KubeFedCluster %q stands for a cell: an agent is of a member", o.cluster)
	case o.Node != "" || o.Revoke: // who is reached through it does not follow from spec.tunnel
	case found.Spec.Tunnel == v1beta1.TunnelNever:
		_, _ = fmt.Fprintf(o.ErrOut, "note: the KubeFedCluster %q says spec.tunnel: %s: the member is not reached through its agents\n", o.cluster, v1beta1.TunnelNever)
	case found.Spec.Tunnel != v1beta1.TunnelAlways:
		_, _ = fmt.Fprintf(o.ErrOut, "note: the KubeFedCluster %q does not say spec.tunnel: %s: the member is reached through its agents only while nobody answers at %s\n", o.cluster, v1beta1.TunnelAlways, found.Spec.APIEndpoint)
	}
	return nil
}

// repeatLine has the line with a word once for each value.
func repeatLine(text, word string, values []string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, word) {
			out.WriteString(line)
			continue
		}
		for _, value := range values {
			out.WriteString(strings.ReplaceAll(line, word, value))
		}
	}
	return out.String()
}

func texts[T fmt.Stringer](values []T) []string {
	var out []string
	for _, value := range values {
		out = append(out, value.String())
	}
	return out
}
