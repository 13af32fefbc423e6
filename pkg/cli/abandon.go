package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// abandonOptions are the options of "kubectl koinon abandon".
type abandonOptions struct {
	genericiooptions.IOStreams
	flags *connection

	Yes    bool
	System string

	typeWord, name string
	named          []string
	source         *source
}

func newAbandonCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &abandonOptions{IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace}
	cmd := &cobra.Command{
		Use:   "abandon TYPE/NAME [TARGET...]",
		Args:  cobra.ArbitraryArgs,
		Short: "Give up what members may hold of a federated object that cannot be reached",
		Long: `Give up what members may hold of a federated object that cannot be reached: its deletion, or its leaving a target,
does not wait for them any more. What is there stays. Once the member is back, it loses Koinon's label and annotations,
and is never deleted by Koinon.

Without a TARGET those are given up that hold the object up now: the object is being deleted, or the target is no
longer placed, and the member is known not to be ready. A TARGET by name may also be one that the object will leave
later. A member that can be reached is cleaned up all the same, and is refused here.

What is left behind is said. Nothing is written without --yes.

The targets are named in the annotation federation.koinon.io/abandon of the object. To wait for one again that was
not given up yet, take it out there.

Exit codes: 0 the targets are given up, or there is nothing to give up; 1 refused or failed, or --yes is missing.`,
		Example: `  # What would be left behind?
  kubectl koinon abandon federateddeployment/web -n shop

  # The deletion goes on without m2
  kubectl koinon abandon federateddeployment/web m2 -n shop --yes`,
		ValidArgsFunction: completeObjects(flags, &o.System),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.Yes, "yes", false, "Give them up. Without it, it is said what would be left behind.")
	cmd.Flags().StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	return cmd
}

func (o *abandonOptions) complete(args []string) (err error) {
	if len(args) == 0 {
		return errors.New("an object is needed, and the targets if only those are meant: kubectl koinon abandon TYPE/NAME [TARGET...]")
	}
	if o.typeWord, o.name, err = splitObject(args[0]); err != nil {
		return err
	}
	o.named = args[1:]
	o.source, err = loadSource(o.flags)
	return err
}

func (o *abandonOptions) run(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		h, err := newHub(o.source, o.System) // reads anew
		if err != nil {
			return err
		}
		err = o.once(ctx, h)
		if apierrors.IsConflict(err) && attempt < maskAttempts {
			continue
		}
		var status apierrors.APIStatus
		if errors.As(err, &status) {
			return errors.New(sentence(err))
		}
		return err
	}
}

// once gives up targets of the object as it is read. It returns a conflict if somebody else wrote it since.
func (o *abandonOptions) once(ctx context.Context, h *hub) error {
	ftc, federated, err := h.object(ctx, o.typeWord, o.source.namespace, o.name)
	if err != nil {
		return err
	}
	l, err := look(ctx, h, ftc, federated)
	if err != nil {
		return err
	}
	object := masked{ftc, federated.Namespace, federated.Name}
	given, err := o.chosen(l)
	if err != nil {
		return fmt.Errorf("%s: %w", object, err)
	}
	if len(given) == 0 {
		fmt.Fprintf(o.Out, "%s: nothing is held up by a member that cannot be reached\n", object)
		return nil
	}
	var names []string
	for _, left := range given {
		if !lifecycle.Abandons(federated.Annotations, left.record.Name) {
			names = append(names, left.record.Name)
		}
	}
	switch {
	case len(names) == 0:
		o.say(object, "was given up already", given)
		return nil
	case !o.Yes:
		o.say(object, "would be left behind", given)
		return errors.New("nothing was written: --yes gives them up")
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": federated.ResourceVersion,
		"annotations":     map[string]string{v1beta1.AbandonAnnotation: lifecycle.WithAbandoned(federated.Annotations, names)},
	}})
	if err != nil {
		return err
	}
	_, warnings, err := h.patch(ctx, object, types.MergePatchType, patch, false)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		fmt.Fprintf(o.ErrOut, "Warning: %s: %s\n", object, warning)
	}
	o.say(object, "is left behind", given)
	return nil
}

// leftBehind is what a member may hold of a target that is given up.
type leftBehind struct {
	record v1beta2.TargetStatus
	// place of the object in the member, and what is wrong with the member.
	place, member string
	// later: the object does not leave the target yet.
	later bool
}

// chosen are the targets that are meant.
func (o *abandonOptions) chosen(l *looked) (chosen []leftBehind, err error) {
	leaves := map[copied]bool{}
	for _, a := range l.aims() {
		if a.purpose == toLeave && !a.held {
			leaves[copyOf(a.record)] = true
		}
	}
	if len(o.named) == 0 {
		if l.members == nil {
			return nil, errors.New("it is not known which members can be reached: name the targets")
		}
		for _, target := range l.records() {
			for _, record := range l.copies(target) {
				if l.members[record.Cluster] == nil { // it was unjoined, and is not waited for
					continue
				}
				if member := l.whyMember(record.Cluster); leaves[copyOf(record)] && !member.OK {
					chosen = append(chosen, l.leftBehind(record, member, false))
				}
			}
		}
		return chosen, nil
	}
	for _, name := range o.named {
		copies := l.copies(l.byName[name])
		if len(copies) == 0 {
			return nil, fmt.Errorf("%q is no target that the object was written to%s", name, l.writtenTo())
		}
		given := len(chosen)
		for _, record := range copies {
			if member := l.whyMember(record.Cluster); member == nil || !member.OK {
				chosen = append(chosen, l.leftBehind(record, member, !leaves[copyOf(record)]))
			}
		}
		if len(chosen) == given {
			return nil, fmt.Errorf("%s: what is in target %q is deleted there, and not given up", l.whyMember(copies[0].Cluster).Text, name)
		}
	}
	return chosen, nil
}

// copied is where a target has the object.
type copied struct{ target, cluster, namespace string }

func copyOf(record v1beta2.TargetStatus) copied {
	return copied{record.Name, record.Cluster, record.Namespace}
}

// copies are the records of the places in which a target has the object: where its cell is, and where it was.
func (l *looked) copies(target v1beta2.TargetStatus) (records []v1beta2.TargetStatus) {
	if target.Hash != "" {
		records = append(records, target)
	}
	for _, left := range l.leftPlaces(target, "") {
		records = append(records, left.record)
	}
	return records
}

// writtenTo continues a sentence with the targets that the object was written to.
func (l *looked) writtenTo() string {
	var names []string
	for _, record := range l.records() {
		if len(l.copies(record)) > 0 {
			names = append(names, record.Name)
		}
	}
	if len(names) == 0 {
		return "; there are none"
	}
	slices.Sort(names)
	return "; those are " + someNames(names)
}

func (l *looked) leftBehind(record v1beta2.TargetStatus, member *reason, later bool) leftBehind {
	namespace, name := l.kind.Place(l.object, l.recorded(record))
	left := leftBehind{record: record, later: later, place: l.ftc.Spec.TargetType.Kind + " " + strings.TrimPrefix(namespace+"/"+name, "/"), member: "how it is you may not look"}
	if member != nil {
		left.member = member.Text
	}
	return left
}

// say tells what is left behind in which target.
func (o *abandonOptions) say(object masked, what string, all []leftBehind) {
	fmt.Fprintf(o.Out, "%s: what is in %d of its targets %s, and stays when the member is back, without Koinon's label\n", object, len(all), what)
	for _, left := range all {
		when := ""
		if left.later {
			when = "; once the object is deleted, or no longer placed there"
		}
		fmt.Fprintf(o.Out, "  %s: %s in member %s (%s)%s\n", left.record.Name, left.place, left.record.Cluster, left.member, when)
	}
}
