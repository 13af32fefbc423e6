package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// unjoinOptions are the options of "kubectl koinon unjoin".
type unjoinOptions struct {
	genericiooptions.IOStreams
	flags *connection
	memberAccount

	Force, KeepObjects bool
	Timeout            time.Duration

	name   string
	source *source
	// from is nil if nothing says how the member itself is reached.
	from  *memberSource
	now   func() time.Time
	every time.Duration
}

func newUnjoinCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &unjoinOptions{
		IOStreams: streams, flags: flags, Timeout: 30 * time.Second, now: time.Now, every: 100 * time.Millisecond,
	}
	cmd := &cobra.Command{
		Use:  "unjoin NAME",
		Args: cobra.ArbitraryArgs,

		ValidArgsFunction: completeMembers(flags),
		Short:             "Unjoin a member: delete its KubeFedCluster, and Koinon's account in it",
		Long: `Unjoin a member: delete its KubeFedCluster and Secret in Koinon, and in the member what join made: the account
koinon-system/koinon, its token and its rights, and the namespace if nothing else is in it. What somebody made by
hand is left there, and said.

Objects that Koinon made in the member stay there, with the label kubefed.io/managed=true: nobody changes or deletes
them any more. To have them deleted, take the member out of their placements first. Where there are some, the command
is refused and says which; --keep-objects says that they shall stay. So it is while cells and edge units are in the
member, and while it is not known what is there, since the member does not answer or does not let you look;
--force unjoins it all the same. Nothing waits for a member that does not answer.

The member is looked at through the context NAME, or what --cluster-context or --server says. Without any, it is looked
at through Koinon, and its account stays. Where an earlier unjoin was interrupted, the same command goes on from there. While
finalizers hold the KubeFedCluster, its Secret and the account stay: Koinon uses them until it is gone.

Exit codes: 0 unjoined; 1 refused or failed, where the same command may be run again; 3 unjoined, and something stays
that should have gone, which is said with the command that deletes it.`,
		Example: `  # Unjoin m1, in which nothing is placed any more
  kubectl koinon unjoin m1

  # Leave what is placed there as it is
  kubectl koinon unjoin m1 --keep-objects

  # A member that is gone for good
  kubectl koinon unjoin m1 --force`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.load(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	o.memberAccount.addFlags(cmd, flags)
	cmd.Flags().BoolVar(&o.KeepObjects, "keep-objects", false, "Leave objects that Koinon made in the member where they are.")
	cmd.Flags().BoolVar(&o.Force, "force", false, "Unjoin it although cells or edge units are in it, or it is not known what is; includes --keep-objects.")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", o.Timeout, "How long it is waited for the KubeFedCluster to be gone.")
	return cmd
}

func (o *unjoinOptions) complete(args []string) error {
	if len(args) != 1 {
		return errors.New("the name of one KubeFedCluster is needed: kubectl koinon unjoin NAME")
	}
	o.name = args[0]
	o.KeepObjects = o.KeepObjects || o.Force
	return nil
}

func (o *unjoinOptions) validate() error {
	if err := o.memberAccount.validate(o.name); err != nil {
		return err
	}
	if o.Timeout <= 0 {
		return fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout)
	}
	return nil
}

// load reads where Koinon and the member are. A member of which nobody said it is looked at through Koinon.
func (o *unjoinOptions) load() (err error) {
	if o.source, err = loadSource(o.flags); err != nil {
		return err
	}
	o.from, err = o.member.load(o.name, o.flags)
	var none *noContextError
	if errors.As(err, &none) && o.member.Context == "" {
		o.from, err = nil, nil
	}
	return err
}
