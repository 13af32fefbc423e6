package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// federateOptions are the options of "kubectl koinon federate".
type federateOptions struct {
	genericiooptions.IOStreams
	flags *connection

	From            string
	Files           []string
	Recursive       bool
	Clusters, Cells []string
	ClusterSelector string
	CellSelector    string
	All             bool
	Contents        bool
	Skip            []string
	WithReferences  bool
	WithNamespace   bool
	EnableType      bool
	Replace         bool
	DeleteUnplaced  bool
	Follow          bool
	DryRun, Output  string
	System          string

	words    []string
	topology string
	placed   v1beta2.Placement
	source   *source
	// every and patience are how often, and how long, it is looked whether a type is served that was enabled.
	every, patience time.Duration
}

func newFederateCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &federateOptions{
		IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, DryRun: dryRunNone, every: 100 * time.Millisecond, patience: time.Minute,
	}
	cmd := &cobra.Command{
		Use:   "federate (TYPE/NAME... | TYPE NAME... | namespace NAME --contents | -f FILE)",
		Args:  cobra.ArbitraryArgs,
		Short: "Make federated objects of objects that there are",
		Long: `Make federated objects of objects that there are: in the host, in a member (--from), or in files (-f).

A federated object has the name and the namespace of the object. Its template is the object without what belongs to the place where it is: the
status, metadata but labels and the annotations that propagate, and what the API server there allocated. What else was left
out is said.

Where it goes has to be said: --all, --clusters, --cluster-selector, --cells or --selector. Objects that members have already are taken over,
unless the KubeFedConfig says that nothing is.

With --contents the object is a namespace, and all objects in it of types that are enabled are federated, but for those that controllers
have made, and that every cluster has by itself.

Objects of topology cluster go only where their namespace goes: --with-namespace makes its FederatedNamespace, with the same placement, if
there is none. That is refused if objects in other clusters would be deleted by it. ConfigMaps, Secrets and ServiceAccounts that Pods of an object name are federated with it by --with-references; else
they are named.

What there is already and is another is refused, unless --replace says to put template and placement in their place: overrides and the mask stay. A placement
that leaves out clusters or cells which have the object is refused, with what would be deleted there, unless --delete-unplaced says so. A namespace is
deleted with all that is in it.

With --follow the objects get the label federation.koinon.io/federate, and their federated objects follow them: their templates change as they do, and
they are deleted with them. The objects are in the host then, which is where they are followed.`,
		Example: `  # A Deployment of the member m1, and what its Pods need, to all clusters
  kubectl koinon federate deployment/web -n shop --from m1 --all --with-references --with-namespace

  # See the federated object
  kubectl koinon federate deployment/web -n shop --from m1 --clusters m1,m2 -o yaml

  # All that is in a namespace of m1, but for its Secrets
  kubectl koinon federate namespace shop --contents --from m1 --all --skip secrets

  # A ConfigMap of the host to all clusters, and each change of it
  kubectl koinon federate configmap/settings -n shop --all --follow

  # What a chart makes, to all cells of one city
  helm template web ./web | kubectl koinon federate -n shop -f - --selector city=hangzhou`,
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
	f.StringVar(&o.From, "from", "", "The member that has the objects. The default is the host.")
	f.StringArrayVarP(&o.Files, "filename", "f", nil, "A file or folder with the objects, or - for the standard input; may be repeated.")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "Read folders in folders too.")
	f.BoolVar(&o.All, "all", false, "Place them in all clusters, those that are joined later included.")
	f.StringSliceVar(&o.Clusters, "clusters", nil, "Place them in these clusters, separated by commas.")
	f.StringVar(&o.ClusterSelector, "cluster-selector", "", "Place them in the clusters that have these labels.")
	f.StringSliceVar(&o.Cells, "cells", nil, "Place them in these cells of the namespace, separated by commas.")
	f.StringVar(&o.CellSelector, "selector", "", "Place them in the cells of the namespace that have these labels.")
	f.BoolVar(&o.Contents, "contents", false, "Federate what is in the namespace that is named, too.")
	f.StringSliceVar(&o.Skip, "skip", nil, "With --contents, types that are left out, separated by commas.")
	f.BoolVar(&o.WithReferences, "with-references", false, "Federate what Pods of the objects name: ConfigMaps, Secrets and ServiceAccounts.")
	f.BoolVar(&o.WithNamespace, "with-namespace", false, "Make a FederatedNamespace with the same placement, if the namespace has none.")
	f.BoolVar(&o.EnableType, "enable-type", false, "Enable types that are not, first.")
	f.BoolVar(&o.Replace, "replace", false, "Put template and placement in place of those of federated objects that there are.")
	f.BoolVar(&o.DeleteUnplaced, "delete-unplaced", false, "With --replace, delete objects in clusters and cells that the new placement leaves out.")
	f.BoolVar(&o.Follow, "follow", false, "Have the federated objects follow the objects of the host, by a label on those.")
	f.StringVar(&o.DryRun, "dry-run", o.DryRun, "client says what would be made, server has the server check it; neither makes anything.")
	f.StringVarP(&o.Output, "output", "o", "", "yaml prints the federated objects, and makes nothing.")
	f.StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	completeNames(cmd, "from", flags, cluster)
	completeNames(cmd, "clusters", flags, cluster)
	completeNames(cmd, "cells", flags, cell)
	return cmd
}

func (o *federateOptions) complete(args []string) (err error) {
	if o.words, err = objectWords(args); err != nil {
		return err
	}
	if err := o.place(); err != nil {
		return err
	}
	o.source, err = loadSource(o.flags)
	return err
}

// objectWords reads TYPE/NAME... and TYPE NAME..., and makes the first of it.
func objectWords(args []string) (words []string, err error) {
	if len(args) == 0 {
		return nil, nil
	}
	if !strings.Contains(args[0], "/") {
		if len(args) == 1 {
			return nil, fmt.Errorf("%q is no object: it must be TYPE/NAME, or TYPE NAME", args[0])
		}
		for _, name := range args[1:] {
			words = append(words, args[0]+"/"+name)
		}
		args = words
	}
	for _, word := range args {
		if _, _, err := splitObject(word); err != nil {
			return nil, fmt.Errorf("%q is no object: it must be TYPE/NAME, such as deployment/web", word)
		}
	}
	return args, nil
}

// place reads where objects go.
func (o *federateOptions) place() (err error) {
	ways := 0
	for _, given := range []bool{o.All, len(o.Clusters) > 0, o.ClusterSelector != "", len(o.Cells) > 0, o.CellSelector != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("one of --all, --clusters, --cluster-selector, --cells and --selector is needed, to say where objects go")
	}
	o.topology = v1beta2.TopologyCluster
	if len(o.Cells) > 0 || o.CellSelector != "" {
		o.topology = v1beta2.TopologyCell
	}
	if slices.Contains(slices.Concat(o.Clusters, o.Cells), "") {
		return errors.New("--clusters or --cells has an empty name")
	}
	for _, name := range slices.Concat(o.Clusters, o.Cells) {
		o.placed.Topologies = append(o.placed.Topologies, v1beta2.TopologyReference{Name: name})
	}
	for flag, text := range map[string]string{"--cluster-selector": o.ClusterSelector, "--selector": o.CellSelector} {
		if text == "" {
			continue
		}
		if o.placed.TopologySelector, err = metav1.ParseToLabelSelector(text); err != nil {
			return fmt.Errorf("%s is %q: %w", flag, text, err)
		}
	}
	if o.All {
		o.placed.TopologySelector = &metav1.LabelSelector{}
	}
	return nil
}

// placeFlags are the flags that say where objects go, for commands that are printed.
func (o *federateOptions) placeFlags() string {
	switch {
	case o.All:
		return " --all"
	case len(o.Clusters) > 0:
		return " --clusters " + shellWord(strings.Join(o.Clusters, ","))
	case o.ClusterSelector != "":
		return " --cluster-selector " + shellWord(o.ClusterSelector)
	case len(o.Cells) > 0:
		return " --cells " + shellWord(strings.Join(o.Cells, ","))
	}
	return " --selector " + shellWord(o.CellSelector)
}

func (o *federateOptions) validate() error {
	switch {
	case len(o.words) == 0 && len(o.Files) == 0:
		return errors.New("an object is needed: kubectl koinon federate TYPE/NAME, or -f FILE")
	case len(o.words) > 0 && len(o.Files) > 0:
		return errors.New("the objects are those that are named, or those of -f: not both")
	case o.Follow && (o.From != "" || len(o.Files) > 0):
		return errors.New("--follow is for objects in the host: not with --from, nor with -f")
	case o.From != "" && len(o.Files) > 0:
		return errors.New("--from and -f exclude each other: an object is in a member or in a file")
	case o.Contents && len(o.words) != 1:
		return errors.New("--contents is for one namespace: kubectl koinon federate namespace NAME --contents")
	case o.WithNamespace && o.topology != v1beta2.TopologyCluster:
		return errors.New("--with-namespace is for clusters: the namespace of a cell is the cell's")
	case len(o.Skip) > 0 && !o.Contents:
		return errors.New("--skip is for --contents alone")
	case o.DeleteUnplaced && !o.Replace:
		return errors.New("--delete-unplaced is for --replace alone")
	case o.Output != "" && o.Output != outputYAML:
		return fmt.Errorf("--output is %q: it must be yaml", o.Output)
	case o.From != "" && validateMemberName(o.From) != nil:
		return fmt.Errorf("--from is %w", validateMemberName(o.From))
	}
	return validateDryRun(o.DryRun, dryRunClient, dryRunServer)
}
