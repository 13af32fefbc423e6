package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// severity is how bad something is.
type severity string

const (
	// severityError: something does not work.
	severityError severity = "Error"
	// severityWarning: something will not work soon, or may not.
	severityWarning severity = "Warning"
	// severityUnknown: it was not looked at, since the caller may not, or it was not reached.
	severityUnknown severity = "Unknown"
)

// severities, the worst first.
var severities = []severity{severityError, severityWarning, severityUnknown}

// finding is one thing that is wrong, or that is not known.
type finding struct {
	Severity severity `json:"severity"`
	// Subject is what it is about, KIND NAME or KIND NAMESPACE/NAME.
	Subject string `json:"subject"`
	Problem string `json:"problem"`
	// Command mends it, or shows more.
	Command string `json:"command,omitempty"`
}

// diagnosis is all that was found.
type diagnosis struct {
	// Members is how many were looked at.
	Members int `json:"members"`
	// Findings are by severity, and by subject within it.
	Findings []finding `json:"findings"`
}

// doctorOptions are the options of "kubectl koinon doctor".
type doctorOptions struct {
	genericiooptions.IOStreams
	flags *connection

	System, Output string

	cluster string
	source  *source
	now     func() time.Time
}

func newDoctorCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &doctorOptions{IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, now: time.Now}
	cmd := &cobra.Command{
		Use:  "doctor [CLUSTER]",
		Args: cobra.ArbitraryArgs,

		ValidArgsFunction: completeMembers(flags),
		Short:             "Say what is wrong with the federation and its members, and what mends it",
		Long: `Say what is wrong with the federation, or with one member, each with the command that mends it or shows more:

  members        that are not Ready, or are joined twice
  credentials    tokens, client certificates and authorities that have ended or end within 14 days
  certificates   of the host's API server, and of members' as far as they are reached from here: the same
  clocks         of the host and of members that differ from the one here by more than 2 s
  encryption     of what the datastore has of credentials, if its EncryptionConfiguration leaves some in the clear
  rights         that the join account needs for the types that are enabled, and has not
  versions       of members more than 3 minor releases away from the host's, and a host more than 1 away from this command
  deletions      of federated objects, cells, types and namespaces that have taken more than 10 minutes, and what holds them
  moves          of cells: the same
  APIServices    of the host that are not available

Members are asked through Koinon, as you. What you may not look at is said too, as Unknown. Nothing is changed.

Exit codes: 0 nothing was found; 1 there are errors or warnings; 2 Koinon could not be asked; 3 nothing was found, and
not all could be looked at.`,
		Example: `  # What is wrong?
  kubectl koinon doctor

  # With one member, for a program
  kubectl koinon doctor m1 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args); err != nil {
				return &exitError{exitFailed, err.Error()}
			}
			if err := o.validate(); err != nil {
				return &exitError{exitFailed, err.Error()}
			}
			return o.run(cmd.Context())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitFailed, err.Error()} })
	cmd.Flags().StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "json or yaml for a program; empty for people.")
	return cmd
}

func (o *doctorOptions) complete(args []string) (err error) {
	if len(args) > 1 {
		return errors.New("the name of one KubeFedCluster is allowed, or none for all: kubectl koinon doctor [CLUSTER]")
	}
	if len(args) == 1 {
		o.cluster = args[0]
	}
	o.source, err = loadSource(o.flags)
	return err
}

func (o *doctorOptions) validate() error { return validateOutput(o.Output, "json", "yaml") }

func (o *doctorOptions) run(ctx context.Context) error {
	d := &doctor{doctorOptions: o}
	found, err := d.look(ctx)
	if err != nil {
		return &exitError{exitFailed, err.Error()}
	}
	switch o.Output {
	case "json":
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(found)
	case "yaml":
		var data []byte
		if data, err = yaml.Marshal(found); err == nil {
			_, err = o.Out.Write(data)
		}
	default:
		err = found.print(o.Out)
	}
	if err != nil {
		return &exitError{exitFailed, err.Error()}
	}
	return found.verdict()
}

// verdict is the exit code, with nothing more to say.
func (d *diagnosis) verdict() error {
	switch {
	case d.count(severityError)+d.count(severityWarning) > 0:
		return &exitError{code: exitChanges}
	case d.count(severityUnknown) > 0:
		return &exitError{code: exitPartial}
	}
	return nil
}

func (d *diagnosis) count(s severity) (n int) {
	for _, f := range d.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// sort brings the worst to the top.
func (d *diagnosis) sort() {
	slices.SortStableFunc(d.Findings, func(a, b finding) int {
		if a.Severity != b.Severity {
			return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
		}
		return strings.Compare(a.Subject, b.Subject)
	})
}

// print writes for people: a line for each finding, and under it what mends it.
func (d *diagnosis) print(out io.Writer) error {
	out = NewPlainWriter(out)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Severity, f.Subject, f.Problem)
		if f.Command != "" {
			fmt.Fprintf(w, "\t\t  %s\n", f.Command)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	summary := fmt.Sprintf("errors: %d, warnings: %d, not looked at: %d; members: %d",
		d.count(severityError), d.count(severityWarning), d.count(severityUnknown), d.Members)
	if len(d.Findings) == 0 {
		summary = fmt.Sprintf("Nothing was found; members: %d", d.Members)
	}
	_, err := fmt.Fprintln(out, summary)
	return err
}

// doctor is one run. What it has found is guarded by mu, since members are asked at the same time.
type doctor struct {
	*doctorOptions
	koinon   *koinonClients
	types    []v1beta1.FederatedTypeConfig
	clusters []v1beta1.KubeFedCluster
	// hostVersion is empty if it is not known.
	hostVersion string

	mu       sync.Mutex
	findings []finding // guarded by mu
}

func (d *doctor) add(found ...finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.findings = append(d.findings, found...)
}

// unknown notes what could not be looked at.
func (d *doctor) unknown(subject, what string, err error) {
	d.add(finding{severityUnknown, subject, what + ": " + sentence(err), ""})
}

// kubectl begins commands for Koinon.
func (d *doctor) kubectl() string { return "kubectl" + d.flags.given() }

// look makes the diagnosis. It fails if Koinon is not there, or the member that is asked about.
func (d *doctor) look(ctx context.Context) (*diagnosis, error) {
	var err error
	if d.koinon, err = d.source.newKoinonClients(); err != nil {
		return nil, err
	}
	if err := d.lookAtKoinon(ctx); err != nil {
		return nil, err
	}
	members := d.members()
	if d.cluster == "" {
		d.add(joinedTwice(members, d.flags.givenIn(d.System))...)
		d.lookAtTypes()
		d.lookAtEncryption(ctx)
		d.lookAtAPIServices(ctx)
		d.lookAtNamespaces(ctx)
		d.lookAtDeletions(ctx)
		d.lookAtCells(ctx)
	}
	places := make(chan struct{}, asksAtOnce)
	var group sync.WaitGroup
	for _, member := range members {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			d.lookAtMember(ctx, member)
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	found := &diagnosis{Members: len(members), Findings: append([]finding{}, d.findings...)}
	found.sort()
	return found, nil
}
