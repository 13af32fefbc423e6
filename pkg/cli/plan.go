package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// planAtOnce is how many members are asked at once.
const planAtOnce = 32

// planOptions are the options of "kubectl koinon plan".
type planOptions struct {
	genericiooptions.IOStreams
	flags *connection

	Files                      []string
	Recursive                  bool
	ServerSide, ForceConflicts bool
	FieldManager               string
	Color, Output, System      string
	Verbosity                  int

	source *source
}

func newPlanCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &planOptions{
		IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, Color: colorAuto, Output: outputText,
		FieldManager: "kubectl-client-side-apply",
	}
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Args:  noFilesAsArguments,
		Short: "Show what applying federated objects would change, in which member",
		Long: `Show what "kubectl apply -f FILE" would change in members, as a diff for each target. Targets with
the same diff are shown together. Nothing is changed.

Each object is applied as a dry run, which says what it would be, with defaults, admission and conversion.
For each of its targets, what is there is read from the member, and what the controllers would send is sent as a dry run, so that
the member says what would come of it. You ask members yourself, through clusters/NAME/proxy: it takes the
right to read, create and update the objects there.

Objects that are not federated, such as Cells and Namespaces, are applied as dry runs, too, and what is planned after them
is planned as if they were there. What they change elsewhere is said, and not planned.

A target that is no longer placed loses the object, and is shown with it. One that the placement mask holds back
is shown with what waits. Values of Secrets are not shown.

Exit codes: 0 if nothing would change, 1 if something would, in members or of what is not federated, 3 if a member did not answer, or refused: what is shown of
the others is true. More than that is wrong with 2.`,
		Example: `  # What would this change?
  kubectl koinon plan -f web.yaml

  # All of a folder, for a program
  kubectl koinon plan -f manifests/ -R -o json

  # What comes from elsewhere, applied server-side
  kustomize build overlays/prod | kubectl koinon plan -f - --server-side`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(cmd); err != nil {
				return &exitError{exitFailed, err.Error()}
			}
			if err := o.validate(); err != nil {
				return &exitError{exitFailed, err.Error()}
			}
			return o.run(cmd.Context())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitFailed, err.Error()} })
	cmd.Flags().StringArrayVarP(&o.Files, "filename", "f", nil, "A file or folder with federated objects, or - for the standard input; may be repeated.")
	cmd.Flags().BoolVarP(&o.Recursive, "recursive", "R", false, "Read folders in folders too.")
	cmd.Flags().BoolVar(&o.ServerSide, "server-side", false, "Apply as \"kubectl apply --server-side\" does.")
	cmd.Flags().BoolVar(&o.ForceConflicts, "force-conflicts", false, "With --server-side, take fields over from other managers.")
	cmd.Flags().StringVar(&o.FieldManager, "field-manager", o.FieldManager, "Who applies. With --server-side the default is kubectl.")
	cmd.Flags().StringVar(&o.Color, "color", o.Color, "When diffs are coloured: auto, which is on a terminal, always or never.")
	cmd.Flags().StringVarP(&o.Output, "output", "o", o.Output, "text for people, json for a program.")
	cmd.Flags().StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	cmd.Flags().IntVarP(&o.Verbosity, "v", "v", 0, "With 1 or more, say how many requests were sent.")
	return cmd
}

// noFilesAsArguments refuses files without -f, with another exit code than cobra's, which means that something would change.
func noFilesAsArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &exitError{exitFailed, fmt.Sprintf("%q is no option: what is to be applied is named with -f, as in kubectl koinon plan -f %s", args[0], shellWord(args[0]))}
	}
	return nil
}

func (o *planOptions) complete(cmd *cobra.Command) (err error) {
	if o.ServerSide && !cmd.Flags().Changed("field-manager") {
		o.FieldManager = "kubectl"
	}
	o.source, err = loadSource(o.flags)
	return err
}

func (o *planOptions) validate() error {
	if len(o.Files) == 0 {
		return errors.New("what is to be applied is needed: kubectl koinon plan -f FILE")
	}
	if o.ForceConflicts && !o.ServerSide {
		return errors.New("--force-conflicts is for --server-side alone")
	}
	if !slices.Contains([]string{colorAuto, colorAlways, colorNever}, o.Color) {
		return fmt.Errorf("--color is %q: it must be auto, always or never", o.Color)
	}
	if !slices.Contains([]string{outputText, outputJSON}, o.Output) {
		return fmt.Errorf("--output is %q: it must be text or json", o.Output)
	}
	return nil
}

// run plans all objects, one after the other, and prints what would change.
func (o *planOptions) run(ctx context.Context) error {
	documents, err := readDocuments(o.In, o.Files, o.Recursive)
	if err != nil {
		return &exitError{exitFailed, err.Error()}
	}
	if len(documents) == 0 {
		return &exitError{exitFailed, "there is no object in what -f names"}
	}
	slices.SortStableFunc(documents, func(a, b document) int { return cmp.Compare(planOrder(a), planOrder(b)) })
	hub, err := newHub(o.source, o.System)
	if err != nil {
		return &exitError{exitFailed, err.Error()}
	}
	result := &plan{}
	out := newPlanPrinter(o)
	for _, document := range documents {
		err := o.add(ctx, hub, document, result, out)
		switch {
		case ctx.Err() != nil:
			return failed(context.Cause(ctx))
		case err != nil:
			result.Errors = append(result.Errors, fmt.Sprintf("%s: %v", document.from, err))
			fmt.Fprintf(o.ErrOut, "error: %s: %v\n", document.from, err)
		}
	}
	result.Requests = hub.requests.Load()
	if err := out.end(result); err != nil {
		return &exitError{exitFailed, err.Error()}
	}
	return result.exit()
}

// add plans one object, and prints what comes of it.
func (o *planOptions) add(ctx context.Context, h *hub, d document, result *plan, out *planPrinter) error {
	if d.GetAPIVersion() == "" || d.GetKind() == "" {
		return errors.New("it is no object: apiVersion and kind must be set")
	}
	ftc, err := typeIfFederated(ctx, h, d)
	if err != nil {
		return err
	}
	if ftc == nil {
		planned, err := o.planHost(ctx, h, d)
		if err != nil {
			return err
		}
		result.Host = append(result.Host, planned)
		out.hostObject(planned)
		return nil
	}
	planned, err := o.plan(ctx, h, ftc, d, out)
	if err != nil {
		return err
	}
	result.Objects = append(result.Objects, planned)
	out.object(planned)
	return nil
}

// plan is what would change; it is what -o json prints.
type plan struct {
	Objects []*plannedObject `json:"objects"`
	// Host are the objects that are not federated.
	Host []*plannedHostObject `json:"host,omitempty"`
	// Errors are of objects that could not be planned at all.
	Errors []string `json:"errors,omitempty"`
	// Requests that were sent, to Koinon and through it to members.
	Requests int64 `json:"requests"`
}

// exit says with which code the program ends; nil is 0.
func (p *plan) exit() error {
	code := 0
	failed := len(p.Errors) > 0
	for _, object := range p.Host {
		if object.Outcome.changes() {
			code = exitChanges
		}
	}
	for _, object := range p.Objects {
		failed = failed || object.Problem != ""
		for _, t := range object.Targets {
			switch {
			case t.Outcome.unknown():
				code = exitPartial
			case t.Outcome.changes() && !t.Held:
				code = max(code, exitChanges)
			}
		}
	}
	if failed {
		code = exitFailed
	}
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// plannedObject is one federated object.
type plannedObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Unchecked is why the server could not check it.
	Unchecked string `json:"unchecked,omitempty"`
	// Problem is why its targets cannot be computed.
	Problem string `json:"problem,omitempty"`
	// Targets that are placed, or hold the object, by name.
	Targets []plannedTarget `json:"targets"`
}

// plannedTarget is one target of it.
type plannedTarget struct {
	Name string `json:"name"`
	// Cluster is the member, and Object the place there.
	Cluster string `json:"cluster,omitempty"`
	Object  string `json:"object,omitempty"`
	// Outcome says what would become of the object there.
	Outcome outcome `json:"outcome"`
	// Held: the placement mask holds it back.
	Held bool `json:"masked,omitempty"`
	// Message is a sentence on it.
	Message string `json:"message,omitempty"`
	// Warnings are the member's.
	Warnings []string `json:"warnings,omitempty"`
	// Diff is a unified diff, without its two first lines.
	Diff string `json:"diff,omitempty"`
}

// outcome is one word on what would become of the object in a target.
type outcome string

const (
	outUnchanged outcome = "Unchanged"
	outCreated   outcome = "Created"
	outUpdated   outcome = "Updated"
	outDeleted   outcome = "Deleted"
	// outNotPlaced: it is left alone, since something other than the mask says so.
	outNotPlaced outcome = "NotPlaced"
	// outBlocked: something is in the way, and would not change.
	outBlocked outcome = "Blocked"
	// outUnreachable: the member does not answer.
	outUnreachable outcome = "Unreachable"
	// outForbidden: the caller has no right to ask.
	outForbidden outcome = "Forbidden"
	// outRefused: the member would refuse the object.
	outRefused outcome = "Refused"
)

func (o outcome) changes() bool { return o == outCreated || o == outUpdated || o == outDeleted }

// unknown: what would come of it is not known, or it would fail.
func (o outcome) unknown() bool { return o == outUnreachable || o == outForbidden || o == outRefused }

// plan plans one object.
func (o *planOptions) plan(ctx context.Context, h *hub, ftc *v1beta1.FederatedTypeConfig, d document, out *planPrinter) (*plannedObject, error) {
	applied, err := o.dryRun(ctx, h, ftc, d)
	if err != nil {
		return nil, err
	}
	o.warn(d, applied.warnings)
	if reach.KindOf(&applied.ftc.Spec).IsNamespace() {
		h.suppose(federatedPath(applied.ftc, v1beta2.SchemeGroupVersion.Version, applied.after.Namespace, applied.after.Name), applied.after)
	}
	planned := &plannedObject{Kind: d.GetKind(), Namespace: applied.after.Namespace, Name: applied.after.Name, Unchecked: applied.unchecked, Targets: []plannedTarget{}}
	looked, err := look(ctx, h, applied.ftc, applied.after)
	if err != nil {
		return nil, err
	}
	if planned.Problem = looked.problem; planned.Problem != "" {
		return planned, nil
	}
	prober, err := newProber(ctx, h, looked)
	var malformed *render.TemplateError
	switch {
	case errors.As(err, &malformed):
		planned.Problem = err.Error()
		return planned, nil
	case err != nil:
		return nil, err
	}
	var mu sync.Mutex // guards planned.Targets
	var all []func()
	aims := looked.aims()
	for _, a := range aims {
		all = append(all, func() {
			t := prober.probe(ctx, a)
			mu.Lock()
			defer mu.Unlock()
			planned.Targets = append(planned.Targets, t)
			out.progress(len(planned.Targets), len(aims))
		})
	}
	together(planAtOnce, all...)
	out.progressDone()
	slices.SortStableFunc(planned.Targets, func(a, b plannedTarget) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Cluster, b.Cluster))
	})
	return planned, nil
}
