package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	kubefedclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
)

// renewedBefore is how long before its end an agent should have renewed its certificate: it begins when 60 % of seven days have passed.
const renewedBefore = 24 * time.Hour

// agentStatusOptions are the options of "kubectl koinon agent status".
type agentStatusOptions struct {
	genericiooptions.IOStreams
	flags *connection

	System, Node, Output string
	Probe                bool

	name   tunnel.Name
	source *source
	now    func() time.Time
}

func newAgentStatusCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &agentStatusOptions{IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, Probe: true, now: time.Now}
	cmd := &cobra.Command{
		Use:   "status CLUSTER",
		Short: "Say whether the agents of a member are connected, and what is wrong if not",
		Long: `Say whether the agents of a member, or of one of its nodes, are connected to the tunnel, at whatever
server, and what is wrong from both ends: whether there is a KubeFedCluster that says spec.tunnel: Always,
what became of the tokens that were made, why an agent was refused last, and whether each agent reaches
its API server (or its kubelet), which it is asked to try.

The exit code is 0 if all is well, and 1 if something is wrong.`,
		Example: `  # What is wrong with the agents of m1?
  kubectl koinon agent status m1

  # Those of one of its nodes, for a program
  kubectl koinon agent status m1 --node edge-7 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	cmd.Flags().StringVar(&o.Node, "node", "", "The agents of this node only.")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "json for a program; empty for people.")
	cmd.Flags().BoolVar(&o.Probe, "probe", o.Probe, "Have each agent try to connect to its target.")
	return cmd
}

func (o *agentStatusOptions) complete(args []string) (err error) {
	if len(args) != 1 {
		return errors.New("the name of one KubeFedCluster is needed: kubectl koinon agent status CLUSTER")
	}
	o.name = tunnel.Name{Cluster: args[0], Node: o.Node}
	o.source, err = loadSource(o.flags)
	return err
}

func (o *agentStatusOptions) validate() error {
	if o.Output != "" && o.Output != "json" {
		return fmt.Errorf("--output is %q: json is allowed", o.Output)
	}
	return o.name.Validate()
}

// agentStatus is what is known of a name's agents.
type agentStatus struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node,omitempty"`
	// Tunnel is spec.tunnel of the KubeFedCluster.
	Tunnel string `json:"tunnel"`
	// RevokedUntil is the annotation of it; empty if nothing was revoked.
	RevokedUntil string `json:"revokedUntil,omitempty"`
	// Servers are where agents find the tunnel.
	Servers  []string                 `json:"servers"`
	Tokens   []tokenStatus            `json:"tokens"`
	Agents   []v1beta1.ConnectedAgent `json:"agents"`
	Refusals []v1beta1.AgentRefusal   `json:"refusals"`
	// Problems are sentences; none if all is well. Notes are no problems.
	Problems []string `json:"problems"`
	Notes    []string `json:"notes"`
}

type tokenStatus struct {
	ID      string       `json:"id"`
	Expires metav1.Time  `json:"expires"`
	Used    *metav1.Time `json:"used,omitempty"`
	Expired bool         `json:"expired"`
}

// run looks, and says what it has found.
func (o *agentStatusOptions) run(ctx context.Context) error {
	status, err := o.look(ctx)
	if err != nil {
		return err
	}
	if o.Output == "json" {
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(status)
	} else {
		err = status.print(o.Out, o.now())
	}
	if err == nil && len(status.Problems) > 0 {
		err = fmt.Errorf("the agents of %s are not well: %s", o.name, status.Problems[0])
	}
	return err
}

// look asks the API for all that is known.
func (o *agentStatusOptions) look(ctx context.Context) (*agentStatus, error) {
	config, err := o.source.restConfig(o.source.server)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.Timeout, config.QPS = o.source.timeout, -1 // what is asked again is asked now and then
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	kubefed, err := kubefedclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", o.source.server, err)
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", o.source.server, err)
	}
	s := &agentStatus{
		Cluster: o.name.Cluster, Node: o.name.Node, Servers: []string{}, Tokens: []tokenStatus{}, Agents: []v1beta1.ConnectedAgent{},
		Refusals: []v1beta1.AgentRefusal{}, Problems: []string{}, Notes: []string{},
	}
	there, err := o.lookAtCluster(ctx, kubefed, s)
	if err != nil || !there {
		return s, err
	}
	o.lookAtServer(ctx, core, s)
	o.lookAtAgents(ctx, kubefed, s)
	s.judgeAgents(o.name, o.now())
	return s, nil
}

// lookAtCluster reads the KubeFedCluster. It reports whether there can be agents.
func (o *agentStatusOptions) lookAtCluster(ctx context.Context, kubefed kubefedclient.KubeFedClustersGetter, s *agentStatus) (there bool, err error) {
	cluster, err := kubefed.KubeFedClusters(o.System).Get(ctx, o.name.Cluster, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		s.problem("there is no KubeFedCluster %q in the namespace %q: agents need one, and are refused", o.name.Cluster, o.System)
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the KubeFedCluster %q: %s", o.name.Cluster, sentence(err))
	case cluster.Labels[v1alpha1.TopologyLabel] != "":
		s.problem("the KubeFedCluster %q stands for a cell: an agent is of a member", o.name.Cluster)
		return false, nil
	}
	s.Tunnel, s.RevokedUntil = string(cluster.Spec.Tunnel), cluster.Annotations[v1beta1.AgentsRevokedAnnotation]
	if cluster.Spec.Tunnel != v1beta1.TunnelAlways && o.name.Node == "" {
		s.problem("the KubeFedCluster does not say spec.tunnel: %s: the member is not reached through its agent", v1beta1.TunnelAlways)
	}
	if s.RevokedUntil != "" {
		s.note("certificates that were issued until %s are refused: an agent with such needs a new token", s.RevokedUntil)
	}
	return true, nil
}

// lookAtServer reads where the tunnel is, and the tokens.
func (o *agentStatusOptions) lookAtServer(ctx context.Context, core corev1client.CoreV1Interface, s *agentStatus) {
	address, err := agentaccess.ReadAddress(ctx, core.ConfigMaps(o.System))
	if err != nil {
		s.problem("%s", sentence(err))
	} else {
		s.Servers = address.Servers
	}
	tokens, err := agentaccess.NewTokens(core.Secrets(o.System)).Of(ctx, o.name)
	if err != nil {
		s.note("what became of tokens is not known: %s", sentence(err))
		return
	}
	for _, token := range tokens {
		one := tokenStatus{ID: token.ID, Expires: metav1.NewTime(token.Expires), Expired: !o.now().Before(token.Expires)}
		if token.Key != "" {
			used := metav1.NewTime(token.Used)
			one.Used = &used
		}
		s.Tokens = append(s.Tokens, one)
	}
}

// lookAtAgents asks servers what is connected.
func (o *agentStatusOptions) lookAtAgents(ctx context.Context, kubefed *kubefedclient.KubeFedCoreV1beta1Client, s *agentStatus) {
	request := kubefed.RESTClient().Get().Namespace(o.System).Resource("kubefedclusters").Name(o.name.Cluster).SubResource("agents")
	if o.Probe {
		request = request.Param("probe", "true")
	}
	if o.name.Node != "" {
		request = request.Param("node", o.name.Node)
	}
	var found v1beta1.KubeFedClusterAgents
	if err := request.Do(ctx).Into(&found); err != nil {
		s.problem("which agents are connected is not known: %s", sentence(err))
		return
	}
	own := func(node string) bool { return node == o.name.Node }
	for _, a := range found.Items {
		if own(a.Node) {
			s.Agents = append(s.Agents, a)
		}
	}
	for _, r := range found.Refusals {
		if own(r.Node) {
			s.Refusals = append(s.Refusals, r)
		}
	}
	slices.SortFunc(s.Refusals, func(a, b v1beta1.AgentRefusal) int { return b.Time.Compare(a.Time.Time) })
	for _, silent := range found.Silent {
		s.problem("the server %s did not say which agents it has: %s", silent.Server, silent.Message)
	}
	if len(s.Agents) == 0 {
		s.problem("no agent is connected%s", s.whyNone())
	}
}

// whyNone is what may be the reason that nothing is connected, with a comma in front.
func (s *agentStatus) whyNone() string {
	if len(s.Refusals) > 0 {
		return fmt.Sprintf(", and the last one that tried, from %s at %s, was refused: %s", s.Refusals[0].From, stamp(s.Refusals[0].Time), s.Refusals[0].Message)
	}
	var latest *tokenStatus
	for i := range s.Tokens {
		if latest == nil || latest.Expires.Before(&s.Tokens[i].Expires) {
			latest = &s.Tokens[i]
		}
	}
	switch {
	case latest == nil:
		return ": no token for it is kept; make an agent with kubectl koinon agent if there is none"
	case latest.Used != nil:
		return fmt.Sprintf(": the token %s was used at %s, so that an agent had got through; its log says what hinders it now", latest.ID, stamp(*latest.Used))
	case latest.Expired:
		return fmt.Sprintf(": the token %s was not used until it expired at %s; make a new one with kubectl koinon agent", latest.ID, stamp(latest.Expires))
	}
	return fmt.Sprintf(": the token %s, good until %s, was not used yet: the agent was not started, or does not get through to %s",
		latest.ID, stamp(latest.Expires), strings.Join(s.Servers, ", "))
}

// judgeAgents says what is wrong with those that are connected.
func (s *agentStatus) judgeAgents(name tunnel.Name, now time.Time) {
	reached, failed := false, ""
	for _, a := range s.Agents {
		switch p := a.Probe; {
		case p == nil:
		case p.Reached:
			reached = true
		case failed == "":
			failed = fmt.Sprintf("the agent at host %q does not reach its %s: %s", a.Host, p.Target, p.Message)
		}
		if left := a.CertificateExpires.Sub(now); left < renewedBefore {
			s.problem("the certificate of the agent at host %q ends at %s: it does not renew it, and its log says why", a.Host, stamp(a.CertificateExpires))
		}
	}
	switch {
	case failed != "" && reached:
		s.note("%s; another does", failed)
	case failed != "":
		s.problem("%s", failed)
	}
	if len(s.Agents) > 0 && len(s.Refusals) > 0 {
		r := s.Refusals[0]
		s.note("an agent from %s was refused at %s: %s", r.From, stamp(r.Time), r.Message)
	}
	if len(s.Agents) > 0 && !slices.ContainsFunc(s.Agents, func(a v1beta1.ConnectedAgent) bool { return !a.Draining }) {
		s.note("all agents of %s are about to go", name)
	}
}

func (s *agentStatus) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

func (s *agentStatus) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

func stamp(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }

// print writes for people.
func (s *agentStatus) print(out io.Writer, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "Cluster:\t%s\n", s.Cluster)
	if s.Node != "" {
		fmt.Fprintf(w, "Node:\t%s\n", s.Node)
	}
	fmt.Fprintf(w, "Tunnel:\t%s\n", cmp.Or(s.Tunnel, "not used"))
	fmt.Fprintf(w, "Servers:\t%s\n", cmp.Or(strings.Join(s.Servers, ", "), "unknown"))
	for i, token := range s.Tokens {
		heading := ""
		if i == 0 {
			heading = "Tokens:"
		}
		fmt.Fprintf(w, "%s\t%s\n", heading, token.String())
	}
	if len(s.Agents) > 0 {
		fmt.Fprintf(w, "\nHOST\tFROM\tVERSION\tSERVER\tWAY\tCONNECTED\tCARRIES\tROUND TRIP\tCERTIFICATE\tREACHES\n")
	}
	for i := range s.Agents {
		a := &s.Agents[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", cmp.Or(a.Host, "unknown"), a.From, cmp.Or(a.Version, "unknown"), a.Server, a.Way,
			duration.HumanDuration(now.Sub(a.Since.Time)), a.Connections, trip(a.RoundTripMicroseconds),
			duration.HumanDuration(a.CertificateExpires.Sub(now)), reaches(a.Probe))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range s.Notes {
		fmt.Fprintf(out, "Note: %s\n", note)
	}
	for _, problem := range s.Problems {
		fmt.Fprintf(out, "Problem: %s\n", problem)
	}
	if len(s.Problems) == 0 {
		_, err := fmt.Fprintln(out, "All is well.")
		return err
	}
	return nil
}

func (t *tokenStatus) String() string {
	switch {
	case t.Used != nil:
		return fmt.Sprintf("%s, used at %s", t.ID, stamp(*t.Used))
	case t.Expired:
		return fmt.Sprintf("%s, not used, expired at %s", t.ID, stamp(t.Expires))
	}
	return fmt.Sprintf("%s, not used, good until %s", t.ID, stamp(t.Expires))
}

func trip(microseconds int64) string {
	if microseconds == 0 {
		return "unknown"
	}
	return (time.Duration(microseconds) * time.Microsecond).String()
}

func reaches(p *v1beta1.AgentProbe) string {
	switch {
	case p == nil:
		return "not tried"
	case p.Reached:
		return p.Target
	}
	return "not " + p.Target
}
