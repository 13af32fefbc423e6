package cli

import (
	"cmp"
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
		Short: "Give up what members may hold of a federated object that cannot be removed",
		Long: `Give up what members may hold of a federated object that cannot be removed: its deletion, or its leaving a target,
does not wait for them any more. What is there stays. Once the member is back, it loses Koinon's label and annotations,
and is never deleted by Koinon.

Without a TARGET those are given up that hold the object up now: the object is being deleted, or the target is no
longer placed, or its cell has moved, and the member is known not to be ready, the namespace there is not the object's
any more, or the status of the object says that it cannot be removed there, as where the member does not serve the type
any more. A TARGET by name may also be one that the object will leave later. What can be removed is removed all the same,
and is refused here.

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
	given, err := o.chosen(ctx, h, l)
	if err != nil {
		return fmt.Errorf("%s: %w", object, err)
	}
	if len(given) == 0 {
		fmt.Fprintf(o.Out, "%s: nothing is held up by a member that cannot be reached%s\n", object, l.waitsFor())
		return nil
	}
	var names []string
	for _, left := range given {
		if !lifecycle.Abandons(federated.Annotations, left.record.Name) && !slices.Contains(names, left.record.Name) {
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

// chosen are the targets that are meant, each in the places in which it cannot be removed.
func (o *abandonOptions) chosen(ctx context.Context, h *hub, l *looked) (chosen []leftBehind, err error) {
	written := l.written()
	if len(o.named) == 0 {
		if l.members == nil {
			return nil, errors.New("it is not known which members can be reached: name the targets")
		}
		for _, a := range written {
			if l.members[a.record.Cluster] == nil || !a.leaves() { // a member that was unjoined is not waited for
				continue
			}
			if why := l.whyStuck(ctx, h, a); !why.OK {
				chosen = append(chosen, l.leftBehind(a.record, why, false))
			}
		}
		return chosen, nil
	}
	for _, name := range o.named {
		places, err := l.stuck(ctx, h, name, written)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, places...)
	}
	return chosen, nil
}

// stuck lists the places of a target in which the object cannot be removed, of those that it was written to. It is an
// error if there are none.
func (l *looked) stuck(ctx context.Context, h *hub, name string, written []aim) (places []leftBehind, err error) {
	err = fmt.Errorf("%q is no target that the object was written to%s", name, writtenTo(written))
	for _, a := range written {
		if a.Name != name {
			continue
		}
		why := l.whyStuck(ctx, h, a)
		if why != nil && why.OK {
			err = fmt.Errorf("%s: what is in target %q is deleted there, and not given up", why.Text, name)
			continue
		}
		places = append(places, l.leftBehind(a.record, why, !a.leaves()))
	}
	if len(places) > 0 {
		return places, nil
	}
	return nil, err
}

// whyStuck says why an object cannot be removed from a place: its member cannot be reached, its namespace there is not
// its own, or its status says so, which names the annotation then: what the controllers find out in a member is in nothing else
// that can be read here. It is OK if it can be removed, as far as one can see, and nil if one cannot.
func (l *looked) whyStuck(ctx context.Context, h *hub, a aim) *reason {
	member := l.whyMember(a.record.Cluster)
	if member == nil || !member.OK {
		return member
	}
	if owner, err := l.whyOwner(ctx, h, l.recorded(a.record)); err == nil && owner != nil && !owner.OK {
		return owner
	}
	if why, stuck := lifecycle.Irremovable(a.record.Message, a.Name); stuck && a.leaves() {
		return &reason{Text: why}
	}
	return member
}

// written lists the places that the object was written to: those that a target has left, too.
func (l *looked) written() []aim {
	return slices.DeleteFunc(l.aims(), func(a aim) bool { return a.record.Hash == "" })
}

// leaves reports whether the object leaves the place now.
func (a aim) leaves() bool { return a.purpose == toLeave && !a.held }

// waitsFor continues a sentence with the places that the object leaves and whose member is ready: that one does not
// answer any more is known only after some failed probes.
func (l *looked) waitsFor() string {
	var waits []string
	for _, a := range l.written() {
		if member := l.whyMember(a.record.Cluster); !a.leaves() || member == nil || !member.OK {
			continue
		}
		why := string(cmp.Or(a.record.State, v1beta2.TargetPending))
		if a.record.Message != "" {
			why += ", " + a.record.Message
		}
		waits = append(waits, fmt.Sprintf("%s (%s)", a.Name, why))
	}
	if len(waits) == 0 {
		return ""
	}
	return "; it waits for what its member has, which counts as ready: " + someNames(waits)
}

// writtenTo continues a sentence with the targets that the object was written to.
func writtenTo(written []aim) string {
	var names []string
	for _, a := range written {
		names = append(names, a.Name)
	}
	if len(names) == 0 {
		return "; there are none"
	}
	slices.Sort(names)
	return "; those are " + someNames(slices.Compact(names))
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
	out := NewPlainWriter(o.Out)
	fmt.Fprintf(out, "%s: what is in %d of its targets %s, and stays when the member is back, without Koinon's label\n", object, len(all), what)
	for _, left := range all {
		when := ""
		if left.later {
			when = "; once the object is deleted, or no longer placed there"
		}
		fmt.Fprintf(out, "  %s: %s in member %s (%s)%s\n", left.record.Name, left.place, left.record.Cluster, left.member, when)
	}
}
