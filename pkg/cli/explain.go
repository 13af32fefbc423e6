package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// outputYAML is for commands that have it.
const outputYAML = "yaml"

// explainOptions are the options of "kubectl koinon explain".
type explainOptions struct {
	genericiooptions.IOStreams
	flags *connection

	Output, System string

	typeWord, name, target string
	source                 *source
}

func newExplainCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &explainOptions{IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, Output: outputText}
	cmd := &cobra.Command{
		Use:   "explain TYPE/NAME [TARGET]",
		Args:  cobra.ArbitraryArgs,
		Short: "Say why a federated object is in a target as it is, or why it is not there",
		Long: `Say for each target of a federated object why it is there, or why not: what places it, what the mask says, which
overrides apply in which order, tenants, whose the namespace in the member is, how the member is, and what
became of the last write.

TARGET is the name of a cluster, cell or edge unit, as the object's topologyType has it, or of a group of those, as zone a of
cell:zone. It need not be a target of the object: then it is said what keeps it from being one.

TYPE is the federated kind or the kind of its objects in members, in singular or plural, or a short name.`,
		Example: `  # Why is web not in rz01a?
  kubectl koinon explain federateddeployment/web rz01a -n shop

  # All targets, for a program
  kubectl koinon explain fdeploy/web -n shop -o json`,
		ValidArgsFunction: completeObjects(flags, &o.System),
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
	cmd.Flags().StringVarP(&o.Output, "output", "o", o.Output, "text for people, json or yaml for a program.")
	cmd.Flags().StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	return cmd
}

func (o *explainOptions) complete(args []string) (err error) {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("one object is needed, and a target if only that one is meant: kubectl koinon explain TYPE/NAME [TARGET]")
	}
	if o.typeWord, o.name, err = splitObject(args[0]); err != nil {
		return err
	}
	if len(args) == 2 {
		o.target = args[1]
	}
	o.source, err = loadSource(o.flags)
	return err
}

// splitObject reads TYPE/NAME.
func splitObject(word string) (typeWord, name string, err error) {
	typeWord, name, ok := strings.Cut(word, "/")
	if !ok || typeWord == "" || name == "" || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("%q is no object: it must be TYPE/NAME, such as federateddeployment/web", word)
	}
	return typeWord, name, nil
}

func (o *explainOptions) validate() error {
	if !slices.Contains([]string{outputText, outputJSON, outputYAML}, o.Output) {
		return fmt.Errorf("--output is %q: it must be text, json or yaml", o.Output)
	}
	return nil
}

func (o *explainOptions) run(ctx context.Context) error {
	h, err := newHub(o.source, o.System)
	if err != nil {
		return err
	}
	// What most objects need is read at once. Whatever comes of it is looked at where it is used.
	var ftc *v1beta1.FederatedTypeConfig
	var federated *v1beta2.FederatedObject
	together(planAtOnce,
		func() { ftc, federated, err = h.object(ctx, o.typeWord, o.source.namespace, o.name) },
		func() { _, _ = h.clusters(ctx) },
		func() { _, _ = h.namespace(ctx, o.source.namespace) },
		func() { _, _ = h.cells(ctx, o.source.namespace) },
		func() { _, _, _ = h.whereNamespaceGoes(ctx, o.source.namespace) },
	)
	if err != nil {
		return err
	}
	looked, err := look(ctx, h, ftc, federated)
	if err != nil {
		return err
	}
	explained, err := explain(ctx, h, looked, o.target)
	if err != nil {
		return err
	}
	if o.Output != outputText {
		return printValue(o.Out, o.Output, explained)
	}
	explained.print(o.Out)
	return nil
}

// object reads a federated object of the type that a word means.
func (h *hub) object(ctx context.Context, typeWord, namespace, name string) (*v1beta1.FederatedTypeConfig, *v1beta2.FederatedObject, error) {
	ftc, err := h.typeOf(ctx, typeWord)
	if err != nil {
		return nil, nil, err
	}
	in := ""
	if ftc.Spec.FederatedType.Scope != v1beta1.NamespaceScoped {
		namespace = ""
	} else {
		in = fmt.Sprintf(" in namespace %q", namespace)
	}
	federated, err := readFederated(ctx, h, ftc, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, fmt.Errorf("there is no %s %q%s", ftc.Spec.FederatedType.Kind, name, in)
	case err != nil:
		return nil, nil, fmt.Errorf("read the %s %q%s: %s", ftc.Spec.FederatedType.Kind, name, in, sentence(err))
	}
	if federated.Kind == "" {
		federated.Kind = ftc.Spec.FederatedType.Kind
	}
	return ftc, federated, nil
}

// explanation is of one federated object; it is what -o json prints.
type explanation struct {
	Kind               string              `json:"kind"`
	Namespace          string              `json:"namespace,omitempty"`
	Name               string              `json:"name"`
	TopologyType       string              `json:"topologyType"`
	Generation         int64               `json:"generation"`
	ObservedGeneration int64               `json:"observedGeneration"`
	Conditions         []v1beta2.Condition `json:"conditions,omitempty"`
	Problem            string              `json:"problem,omitempty"`
	Targets            []explainedTarget   `json:"targets"`
}

// explainedTarget is why one target is as it is.
type explainedTarget struct {
	Name string `json:"name"`
	// Cluster is the member, and Object the place there.
	Cluster string `json:"cluster,omitempty"`
	Object  string `json:"object,omitempty"`
	// Verdict is a sentence on the whole of it.
	Verdict   string  `json:"verdict"`
	Placement *reason `json:"placement,omitempty"`
	Mask      *reason `json:"mask,omitempty"`
	Tenant    *reason `json:"tenant,omitempty"`
	// NamespaceRule is what the FederatedNamespace of the object's namespace says.
	NamespaceRule *reason        `json:"namespaceRule,omitempty"`
	Overrides     []usedOverride `json:"overrides,omitempty"`
	// Owner is whose the namespace in the member is.
	Owner  *reason `json:"owner,omitempty"`
	Member *reason `json:"member,omitempty"`
	// State, Message and Generation are what the status of the object says.
	State      v1beta2.TargetState `json:"state,omitempty"`
	Message    string              `json:"message,omitempty"`
	Generation int64               `json:"generation,omitempty"`
	// Health and HealthMessage are how the object is there; Ready of its Replicas are ready, for kinds that have some.
	Health        v1beta2.Health `json:"health,omitempty"`
	HealthMessage string         `json:"healthMessage,omitempty"`
	Replicas      int64          `json:"replicas,omitempty"`
	Ready         int64          `json:"ready,omitempty"`
	// Recorded: the status speaks of the target.
	Recorded bool `json:"recorded"`
	// Remote is a line on the object in the member, where its status is collected.
	Remote string `json:"remote,omitempty"`
}

// reason is a line of a causal chain. OK says that it does not keep the object from the target.
type reason struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// usedOverride is an override that is for a target.
type usedOverride struct {
	// Index into spec.overrides.
	Index int `json:"index"`
	// By is what it is chosen by.
	By    string   `json:"by"`
	Paths []string `json:"paths"`
}

// explain explains all targets of an object, or one of any name.
func explain(ctx context.Context, h *hub, l *looked, target string) (*explanation, error) {
	federated := l.federated
	e := &explanation{
		Kind: federated.Kind, Namespace: federated.Namespace, Name: federated.Name, TopologyType: reach.TopologyOf(federated),
		Generation: federated.Generation, Problem: l.problem, Targets: []explainedTarget{},
	}
	if federated.Status != nil {
		e.ObservedGeneration, e.Conditions = federated.Status.ObservedGeneration, federated.Status.Conditions
	}
	if l.problem != "" {
		return e, nil
	}
	base, err := l.compiled(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range l.explained(target) {
		t, err := explainTarget(ctx, h, l, base, a)
		if err != nil {
			return nil, err
		}
		e.Targets = append(e.Targets, t)
	}
	return e, nil
}

// explained are the targets to be explained: one of any name, those of a group, or those that the object has.
func (l *looked) explained(name string) []aim {
	aims := l.aims()
	if name == "" {
		return aims
	}
	named := slices.DeleteFunc(aims, func(a aim) bool { return !l.isCalled(a, name) })
	if len(named) > 0 {
		return named
	}
	candidate := placement.Candidate{Name: name}
	if found := l.candidates[name]; found != nil {
		candidate = *found
	}
	return []aim{{Candidate: candidate, purpose: toStay, record: l.record(name)}}
}

// explainTarget explains one. It reads at most the owners of its namespace.
func explainTarget(ctx context.Context, h *hub, l *looked, base *render.Base, a aim) (explainedTarget, error) {
	record, candidate := a.record, l.candidates[a.Name]
	t := explainedTarget{
		Name: a.Name, Cluster: a.Member, State: record.State, Message: record.Message, Generation: record.Generation,
		Health: record.Health, HealthMessage: record.HealthMessage, Replicas: record.Replicas, Ready: record.Ready,
		Recorded: record.Name != "", Remote: remoteLine(record.RemoteStatus),
	}
	spec := &l.federated.Spec
	picks, why, err := placement.Why(l.object.TopologyType, spec.Placement, a.Name, candidate)
	if err != nil {
		return t, err
	}
	t.Placement = &reason{picks, "spec.placement: " + why}
	if spec.PlacementMask != nil {
		allows, why, err := placement.Why(l.object.TopologyType, spec.PlacementMask, a.Name, candidate)
		if err != nil {
			return t, err
		}
		t.Mask = &reason{allows, "spec.placementMask: " + why}
	}
	if candidate == nil && a.Member == "" {
		t.Verdict = cmp.Or(a.message, l.absence(a.Name)) + l.others()
		return t, nil
	}
	namespace, name := l.kind.Place(l.object, a.Candidate)
	t.Object = strings.TrimPrefix(namespace+"/"+name, "/")
	t.Tenant = l.whyTenant(a.Candidate)
	t.NamespaceRule = l.whyNamespace(a, picks)
	if picks {
		if t.Overrides, err = l.overrides(ctx, base, a.Candidate); err != nil {
			return t, err
		}
	}
	if t.Owner, err = l.whyOwner(ctx, h, a.Candidate); err != nil {
		return t, err
	}
	t.Member = l.whyMember(a.Member)
	t.Verdict = l.verdict(a, t)
	return t, nil
}

// verdict is what comes of all reasons. The first that keeps the object from the target is the one that counts.
func (l *looked) verdict(a aim, t explainedTarget) string {
	switch {
	case l.federated.DeletionTimestamp != nil && a.message != "":
		return strings.TrimSuffix(a.message+": "+t.Message, ": ")
	case t.Tenant != nil && !t.Tenant.OK:
		return "not a target: " + t.Tenant.Text
	case a.purpose == toLeave && a.held:
		return "no longer placed; the mask keeps the object there"
	case a.message == leavesOnceArrived:
		return a.message
	case a.purpose == toLeave:
		return cmp.Or(a.message, "no longer placed") + ": the object is removed there"
	case !t.Placement.OK:
		return "not a target: " + t.Placement.Text
	case t.NamespaceRule != nil && !t.NamespaceRule.OK:
		return "left alone: " + t.NamespaceRule.Text
	case a.held && t.Generation == 0:
		return fmt.Sprintf("masked: the first write waits, of generation %d", l.federated.Generation)
	case a.held:
		return fmt.Sprintf("masked: it runs generation %d, and generation %d waits", t.Generation, l.federated.Generation)
	case t.Owner != nil && !t.Owner.OK:
		return "not written: " + t.Owner.Text
	case !t.Recorded:
		return "placed, and not looked at by the controllers yet"
	case t.State.UpToDate():
		return l.running(t)
	case t.Message != "":
		return fmt.Sprintf("%s: %s", t.State, t.Message)
	}
	return string(t.State)
}

func (l *looked) running(t explainedTarget) string {
	observed := l.federated.Status.ObservedGeneration
	switch {
	case t.State == v1beta2.TargetEnded:
		return "ran to its end"
	case observed < l.federated.Generation:
		return fmt.Sprintf("runs generation %d; the controllers have not looked at generation %d yet", t.Generation, l.federated.Generation)
	case t.Message != "":
		return "up to date: " + t.Message
	}
	return "up to date"
}
