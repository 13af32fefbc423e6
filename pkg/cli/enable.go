package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Values of --dry-run, beside "none".
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// enableOptions are the options of "kubectl koinon enable".
type enableOptions struct {
	genericiooptions.IOStreams
	flags *connection

	Files                  []string
	Version                string
	StatusCollection       string
	PropagatingAnnotations []string
	Wait                   bool
	Timeout                time.Duration
	DryRun, Output, System string

	words  []string
	source *source
	// annotations says that PropagatingAnnotations were given, which may be none.
	annotations bool
	// every is how often it is looked whether the type is served.
	every time.Duration
}

func newEnableCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &enableOptions{
		IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, DryRun: dryRunNone, Wait: true, Timeout: time.Minute, every: 100 * time.Millisecond,
	}
	cmd := &cobra.Command{
		Use:   "enable (TYPE... | -f FILE)",
		Args:  cobra.ArbitraryArgs,
		Short: "Have a type federated: make its FederatedTypeConfig",
		Long: `Have a type federated: make its FederatedTypeConfig, or enable propagation of the one that is there, and wait
until its federated kind is served.

TYPE is a type that at least one member serves, by its plural, its kind or a short name, with its group or without. Members are asked
by you, through clusters/NAME/proxy. It is said which of them do not serve the type, or in other versions alone.

A type that is enabled already stays as it is, but for what flags say otherwise. With -f the FederatedTypeConfigs of files are made or changed
to what the files say.

Exit codes: 0 enabled, and served if that was waited for; 1 refused or failed; 3 enabled, and not served in time.`,
		Example: `  # A type of Kubernetes
  kubectl koinon enable statefulsets

  # A custom resource, whose annotations for cert-manager are sent to members
  kubectl koinon enable issuers.example.com --propagating-annotations 'cert-manager.io/*'

  # See what would be made
  kubectl koinon enable statefulsets -o yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.annotations = cmd.Flags().Changed("propagating-annotations")
			if err := o.complete(args); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.Files, "filename", "f", nil, "A file or folder with FederatedTypeConfigs, or - for the standard input; may be repeated.")
	f.StringVar(&o.Version, "version", "", "The version of the type in members. The default is the one that most members serve, the highest of those.")
	f.StringVar(&o.StatusCollection, "status-collection", "", "Enabled or Disabled: whether the whole status of objects in members is in federated objects.")
	f.StringSliceVar(&o.PropagatingAnnotations, "propagating-annotations", nil, "Patterns of the annotations that are sent to members, separated by commas.")
	f.BoolVar(&o.Wait, "wait", o.Wait, "Wait until the federated kind is served.")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "How long --wait waits.")
	f.StringVar(&o.DryRun, "dry-run", o.DryRun, "server has the server check it, and makes nothing.")
	f.StringVarP(&o.Output, "output", "o", "", "yaml prints the FederatedTypeConfig, and makes nothing.")
	f.StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of FederatedTypeConfigs.")
	return cmd
}

func (o *enableOptions) complete(args []string) (err error) {
	o.words = args
	o.source, err = loadSource(o.flags)
	return err
}

func (o *enableOptions) validate() error {
	switch {
	case len(o.words) == 0 && len(o.Files) == 0:
		return errors.New("a type is needed: kubectl koinon enable TYPE, or -f FILE")
	case len(o.words) > 0 && len(o.Files) > 0:
		return errors.New("the types are those that are named, or those of -f: not both")
	case len(o.Files) > 0 && (o.Version != "" || o.StatusCollection != "" || o.annotations):
		return errors.New("with -f the file says all: --version, --status-collection and --propagating-annotations are not allowed with it")
	case o.Version != "" && len(o.words) > 1:
		return errors.New("--version is for one TYPE")
	case o.StatusCollection != "" && o.StatusCollection != string(v1beta1.Enabled) && o.StatusCollection != string(v1beta1.Disabled):
		return fmt.Errorf("--status-collection is %q: it must be Enabled or Disabled", o.StatusCollection)
	case o.Timeout <= 0:
		return fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout)
	case o.Output != "" && o.Output != outputYAML:
		return fmt.Errorf("--output is %q: it must be yaml", o.Output)
	}
	return validateDryRun(o.DryRun, dryRunServer)
}

func validateDryRun(given string, allowed ...string) error {
	if given == dryRunNone || slices.Contains(allowed, given) {
		return nil
	}
	return fmt.Errorf("--dry-run is %q: it must be none or %s", given, strings.Join(allowed, " or "))
}

func (o *enableOptions) run(ctx context.Context) error {
	h, err := newHub(o.source, o.System)
	if err != nil {
		return err
	}
	all, err := o.enablings(ctx, h)
	if err != nil {
		return err
	}
	if o.Output == outputYAML {
		return o.show(all)
	}
	var failed []error
	late := 0
	for _, e := range all {
		switch err := o.one(ctx, h, e); {
		case errors.Is(err, errTimeout):
			late++
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", e.wanted.Name, err))
		}
	}
	switch {
	case len(failed) > 0:
		return errors.Join(failed...)
	case late > 0:
		return &exitError{code: exitPartial}
	}
	return nil
}

// enablings are what is to be enabled. All of it is found before anything is made.
func (o *enableOptions) enablings(ctx context.Context, h *hub) (all []*enabling, err error) {
	types, err := h.types(ctx)
	if err != nil {
		return nil, err
	}
	members, err := h.memberTypes(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.Files) > 0 {
		return o.enablingsOfFiles(types, members)
	}
	for _, word := range o.words {
		e, err := newEnabling(h, types, members, word, o.Version)
		if err != nil {
			return nil, err
		}
		if o.StatusCollection != "" {
			mode := v1beta1.Mode(o.StatusCollection)
			e.wanted.Spec.StatusCollection = &mode
		}
		if o.annotations {
			e.wanted.Spec.PropagatingAnnotations = o.PropagatingAnnotations
		}
		all = append(all, e)
	}
	return all, nil
}

func (o *enableOptions) enablingsOfFiles(types []v1beta1.FederatedTypeConfig, members []memberTypes) (all []*enabling, err error) {
	documents, err := readDocuments(o.In, o.Files, false)
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		config, err := typeConfigOf(d, o.System)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.from, err)
		}
		e := &enabling{wanted: config}
		if i := slices.IndexFunc(types, func(c v1beta1.FederatedTypeConfig) bool { return c.Name == config.Name }); i >= 0 {
			e.have = &types[i]
		}
		// The file has the say: a type that no member serves yet is made all the same.
		if e.survey, err = surveyType(members, rights.Target(config), config.Spec.TargetType.Version); err != nil {
			e.absent = err.Error()
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no FederatedTypeConfig in what -f names")
	}
	return all, nil
}

// show prints what would be made, and what there is to say of it.
func (o *enableOptions) show(all []*enabling) error {
	for i, e := range all {
		data, err := marshal(e.wanted)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(o.Out, "---")
		}
		if _, err := o.Out.Write(data); err != nil {
			return err
		}
		e.remark(o.ErrOut)
	}
	return nil
}

// one makes or changes one FederatedTypeConfig, and waits for it. It returns errTimeout, once that is said, if
// it is not served in time.
func (o *enableOptions) one(ctx context.Context, h *hub, e *enabling) error {
	e.remark(o.ErrOut)
	config, outcome, warnings, err := e.write(ctx, h, o.DryRun == dryRunServer)
	for _, warning := range warnings {
		fmt.Fprintf(o.ErrOut, "Warning: %s: %s\n", e.wanted.Name, warning)
	}
	if err != nil {
		return err
	}
	if o.DryRun == dryRunServer {
		outcome += " (server dry run)"
	}
	fmt.Fprintf(o.Out, "federatedtypeconfig.%s/%s %s\n", v1beta1.GroupName, config.Name, outcome)
	if o.DryRun == dryRunServer {
		return nil
	}
	if o.Wait {
		if config, err = waitServed(ctx, h, config, o.every, o.Timeout); errors.Is(err, errTimeout) {
			fmt.Fprintf(o.ErrOut, "after %s %s is not served: %s\n", o.Timeout, config.Spec.FederatedType.PluralName, servedMessage(config))
		}
		if err != nil {
			return err
		}
	}
	name := config.Name + "/NAME"
	fmt.Fprintf(o.ErrOut, "Next:\n  kubectl koinon federate %s --all%s\n  kubectl koinon doctor%s\n", name, o.flags.givenIn(o.System), o.flags.givenIn(o.System))
	if outcome == isEnabled {
		return nil
	}
	fmt.Fprintln(o.ErrOut, "The doctor says whether the accounts in members may write the type; \"kubectl koinon join\" again gives them the rights.")
	return nil
}
