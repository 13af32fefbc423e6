package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// outputs of "kubectl koinon get".
const (
	outputTable = "table"
	outputWide  = "wide"
	outputName  = "name"
)

// getOptions are the options of "kubectl koinon get".
type getOptions struct {
	genericiooptions.IOStreams
	flags *connection

	All, Watch    bool
	LabelSelector string
	FieldSelector string
	Clusters      []string
	Cell, Output  string

	typeWord, name string
	source         *source
	printer        *getPrinter

	mu sync.Mutex // guards what follows, and the streams
	// missing: a member has no part in what was printed.
	missing bool
}

func newGetCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &getOptions{IOStreams: streams, flags: flags, Output: outputTable}
	cmd := &cobra.Command{
		Use:   "get TYPE [NAME]",
		Args:  cobra.ArbitraryArgs,
		Short: "Show the objects of a type in all members",
		Long: `Show the objects of a type in all members that you may ask, as if they were one cluster, each with its cluster and
the cell whose namespace it is in. Members are asked through Koinon, as you.

TYPE is one of members, as kubectl has it: in singular or plural, with its group or without, or a short name. An
object of one NAME is shown of each member that has it. The namespace is that of members: the one of a cell is
spec.memberNamespace of the Cell, or its objects are those of --cell.

Exit codes: 0 all members were asked; 1 refused or failed; 3 a member is missing, and what is said of the others is true.`,
		Example: `  # All deployments, wherever they are
  kubectl koinon get deployments -A

  # One name, in each member and cell that has it
  kubectl koinon get deploy web -A

  # What is in a cell of namespace shop
  kubectl koinon get pods --cell rz00a -n shop

  # Of two members, as it changes
  kubectl koinon get nodes --cluster m1,m2 --watch`,
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
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all-namespaces", "A", false, "The objects of all namespaces.")
	f.StringVarP(&o.LabelSelector, "selector", "l", "", "The objects that have these labels.")
	f.StringVar(&o.FieldSelector, "field-selector", "", "The objects that have these fields.")
	f.StringSliceVar(&o.Clusters, "cluster", nil, "Only these members, separated by commas.")
	f.StringVar(&o.Cell, "cell", "", "The objects of this cell of the namespace.")
	f.BoolVarP(&o.Watch, "watch", "w", false, "Show the objects, and then what changes.")
	f.StringVarP(&o.Output, "output", "o", o.Output, "table or wide for people, json, yaml or name for a program.")
	// It takes the place of kubectl's flag, which names a cluster of the kubeconfig.
	completeNames(cmd, "cluster", flags, cluster)
	completeNames(cmd, "cell", flags, cell)
	return cmd
}

func (o *getOptions) complete(args []string) (err error) {
	switch len(args) {
	case 1:
		o.typeWord, o.name, _ = strings.Cut(args[0], "/")
	case 2:
		o.typeWord, o.name = args[0], args[1]
	default:
		return errors.New("one type is needed, and a name if only that one is meant: kubectl koinon get TYPE [NAME]")
	}
	o.source, err = loadSource(o.flags)
	return err
}

func (o *getOptions) validate() error {
	switch {
	case o.typeWord == "" || strings.ContainsAny(o.typeWord+o.name, "/,"):
		return fmt.Errorf("%q is no object: it must be one TYPE, or TYPE NAME", strings.TrimSuffix(o.typeWord+"/"+o.name, "/"))
	case o.name != "" && (o.LabelSelector != "" || o.FieldSelector != ""):
		return errors.New("-l and --field-selector are for one TYPE without a name")
	case o.Cell != "" && len(o.Clusters) > 0:
		return errors.New("--cell and --cluster exclude each other: a cell is in one member")
	case o.Cell != "" && o.All:
		return errors.New("--cell and -A exclude each other: a cell has one namespace")
	case slices.Contains(o.Clusters, ""):
		return errors.New("--cluster has an empty name")
	}
	return validateOutput(o.Output, outputTable, outputWide, outputJSON, outputYAML, outputName)
}

func (o *getOptions) run(ctx context.Context) error {
	o.printer = &getPrinter{out: o.Out, output: o.Output, namespaces: o.All, watch: o.Watch}
	places, err := o.places(ctx)
	if err != nil {
		return err
	}
	if places, err = o.resolved(ctx, places); err != nil {
		return err
	}
	if err := o.findCells(ctx, places); err != nil {
		return err
	}
	if places, err = o.list(ctx, places); err != nil {
		return err
	}
	if o.Watch {
		err = o.watch(ctx, places)
	} else {
		err = o.printed(places)
	}
	if err == nil && o.missing {
		return &exitError{code: exitPartial}
	}
	return err
}

// list prints what is in the places now, one after the other, and returns those that answered.
func (o *getOptions) list(ctx context.Context, places []*place) (answered []*place, err error) {
	for _, p := range places {
		p.problem = o.listOf(ctx, p)
		var cut *cutError
		if errors.As(p.problem, &cut) { // something of it was printed: that is no whole answer
			return nil, p.problem
		}
	}
	return o.settle(places)
}

// settle returns the places that answered. One that failed is missing, if another did not; one that lacks the type
// has no objects of it.
func (o *getOptions) settle(places []*place) (answered []*place, err error) {
	for _, p := range places {
		switch {
		case p.problem == nil:
			answered = append(answered, p)
		case err == nil || lacks(err) && !lacks(p.problem): // what failed may have it
			err = p.problem
		}
	}
	if len(answered) == 0 {
		return nil, err
	}
	for _, p := range places {
		if p.problem != nil && !lacks(p.problem) {
			o.miss(fmt.Sprintf("cluster %s is %s: %s", p.cluster, v1alpha1.FleetMissing, sentence(p.problem)))
		}
	}
	return answered, nil
}

// lacks: the member does not have the type.
func lacks(err error) bool {
	var none *noTypeError
	return errors.As(err, &none) || apierrors.IsNotFound(err)
}

// warn says what the answer of a server says besides.
func (o *getOptions) warn(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.ErrOut, "Warning: %s\n", cellText(text))
}

// miss says that a member is missing.
func (o *getOptions) miss(text string) {
	o.warn(text)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missing = true
}

// printed ends what was printed. That there is nothing is said.
func (o *getOptions) printed(places []*place) error {
	if o.printer.count == 0 && o.name != "" {
		what := fmt.Sprintf("%s %q%s", places[0].resource.Resource, o.name, o.in(places[0]))
		if o.missing {
			return &exitError{exitPartial, "no cluster that answered has " + what}
		}
		return fmt.Errorf("no cluster has %s", what)
	}
	if o.printer.count == 0 && (o.Output == outputTable || o.Output == outputWide) {
		fmt.Fprintf(o.ErrOut, "No resources found%s.\n", o.in(places[0]))
	}
	return o.printer.end()
}

func (o *getOptions) in(p *place) string {
	if !p.namespaced || o.All {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", o.source.namespace)
}
