package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// maskAttempts bounds how often an object is read again since somebody else wrote it in between.
const maskAttempts = 5

// maskVerb is what "kubectl koinon mask" is to do.
type maskVerb string

const (
	maskSet    maskVerb = "set"
	maskAdd    maskVerb = "add"
	maskClear  maskVerb = "clear"
	maskStatus maskVerb = "status"
)

// maskOptions are the options of "kubectl koinon mask" and its verbs.
type maskOptions struct {
	genericiooptions.IOStreams
	flags *connection
	verb  maskVerb

	Targets        []string
	TargetSelector string
	None           bool
	ObjectSelector string
	Files          []string
	Recursive      bool
	DryRun, Wait   bool
	Timeout        time.Duration
	Output, System string

	words  []string
	chosen *metav1.LabelSelector
	source *source
	// every is how often it is looked whether targets are up to date.
	every time.Duration
}

func newMaskCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mask",
		Short: "Say which targets of federated objects may change now",
		Long: `Say which of the placed targets of federated objects may change now, and see what waits. The others are left
as they are: nothing is created, changed or deleted there. Without a mask all may change.

The mask is spec.placementMask of a federated object. Deletion of the object itself is not held back by it.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newMaskVerb(flags, streams, maskSet, "Let only some targets change",
			`Let only the named targets change, or those that a selector picks, or with --none nobody. A mask that is there
is replaced.`,
			`  # Begin with one cell, and wait until it runs the new version
  kubectl koinon mask set federateddeployment/web --targets rz00a --wait

  # All cells of one city
  kubectl koinon mask set federateddeployment/web --selector city=hangzhou

  # Freeze everything of an application
  kubectl koinon mask set federateddeployment -l app=shop --none`),
		newMaskVerb(flags, streams, maskAdd, "Let further targets change",
			"Let further targets change. The mask that is there must name its targets.",
			`  # Go on with the next two
  kubectl koinon mask add federateddeployment/web --targets rz01a,rz02a --wait`),
		newMaskVerb(flags, streams, maskClear, "Let all targets change",
			"Take the mask away: all placed targets may change.",
			`  # The end of a gray release
  kubectl koinon mask clear federateddeployment/web --wait`),
		newMaskVerb(flags, streams, maskStatus, "Say what may change, and what waits",
			"Say which targets may change, and which wait, and for what. Nothing is written.",
			`  # What waits?
  kubectl koinon mask status federateddeployment -l app=shop`),
	)
	return cmd
}

func newMaskVerb(flags *connection, streams genericiooptions.IOStreams, verb maskVerb, short, long, example string) *cobra.Command {
	o := &maskOptions{
		IOStreams: streams, flags: flags, verb: verb, System: v1beta1.DefaultNamespace, Output: outputText, Timeout: 5 * time.Minute, every: time.Second,
	}
	cmd := &cobra.Command{
		Use: string(verb) + " (TYPE/NAME... | TYPE -l SELECTOR | -f FILE)", Args: cobra.ArbitraryArgs, Short: short, Long: long, Example: example,
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
	f := cmd.Flags()
	f.StringVarP(&o.ObjectSelector, "object-selector", "l", "", "The objects of a type that have these labels.")
	f.StringArrayVarP(&o.Files, "filename", "f", nil, "The objects that a file or folder names, or - for the standard input.")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "Read folders in folders too.")
	f.StringVarP(&o.Output, "output", "o", o.Output, "text for people, json or yaml for a program.")
	f.StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	if verb == maskSet || verb == maskAdd {
		f.StringSliceVar(&o.Targets, "targets", nil, "Names of the targets that may change, separated by commas.")
		// The only error is that there is no such flag, which a test would see.
		_ = cmd.RegisterFlagCompletionFunc("targets", completeTargetNames(flags, &o.System))
	}
	if verb == maskSet {
		f.StringVar(&o.TargetSelector, "selector", "", "Labels of the targets that may change.")
		f.BoolVar(&o.None, "none", false, "Nobody may change.")
	}
	if verb != maskStatus {
		f.BoolVar(&o.DryRun, "dry-run", false, "Have the server check the change, and do not make it.")
		f.BoolVar(&o.Wait, "wait", false, "Wait until the targets that may change are up to date.")
		f.DurationVar(&o.Timeout, "timeout", o.Timeout, "How long --wait waits.")
	}
	return cmd
}

func (o *maskOptions) complete(args []string) (err error) {
	o.words = args
	if o.TargetSelector != "" {
		if o.chosen, err = metav1.ParseToLabelSelector(o.TargetSelector); err != nil {
			return fmt.Errorf("--selector is %q: %w", o.TargetSelector, err)
		}
	}
	o.source, err = loadSource(o.flags)
	return err
}

func (o *maskOptions) validate() error {
	if err := o.validateObjects(); err != nil {
		return err
	}
	if !slices.Contains([]string{outputText, outputJSON, outputYAML}, o.Output) {
		return fmt.Errorf("--output is %q: it must be text, json or yaml", o.Output)
	}
	ways := 0
	for _, given := range []bool{len(o.Targets) > 0, o.TargetSelector != "", o.None} {
		if given {
			ways++
		}
	}
	switch {
	case o.verb == maskSet && ways != 1:
		return errors.New("one of --targets, --selector and --none is needed, to say which targets may change")
	case o.verb == maskAdd && len(o.Targets) == 0:
		return errors.New("--targets is needed, to say which further targets may change")
	case slices.Contains(o.Targets, ""):
		return errors.New("--targets has an empty name")
	case o.Wait && o.DryRun:
		return errors.New("--wait and --dry-run exclude each other: there is nothing to wait for")
	case o.Timeout <= 0:
		return fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout)
	}
	return nil
}

func (o *maskOptions) validateObjects() error {
	byName := len(o.words) > 0 && strings.Contains(o.words[0], "/")
	switch {
	case len(o.Files) > 0 && (len(o.words) > 0 || o.ObjectSelector != ""):
		return errors.New("the objects are those of -f, or those that are named: not both")
	case len(o.Files) > 0:
		return nil
	case len(o.words) == 0:
		return errors.New("objects are needed: TYPE/NAME, or TYPE -l SELECTOR, or -f FILE")
	case o.ObjectSelector != "" && (byName || len(o.words) != 1):
		return errors.New("-l is for one TYPE without a name")
	case o.ObjectSelector == "" && !byName:
		return fmt.Errorf("%q is no object: it must be TYPE/NAME, or -l must say which objects of the type", o.words[0])
	}
	return nil
}

// masked is a federated object that a mask is of.
type masked struct {
	ftc             *v1beta1.FederatedTypeConfig
	namespace, name string
}

func (m masked) String() string {
	name := m.name
	if m.namespace != "" {
		name = m.namespace + "/" + name
	}
	return m.ftc.Spec.FederatedType.Kind + " " + name
}

func (o *maskOptions) run(ctx context.Context) error {
	h, err := newHub(o.source, o.System)
	if err != nil {
		return err
	}
	objects, err := o.objects(ctx, h)
	if err != nil {
		return err
	}
	all := []*maskReport{}
	var failed []error
	for _, object := range objects {
		report, err := o.one(ctx, h, object)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", object, err))
			continue
		}
		all = append(all, report)
		if o.Output == outputText {
			report.print(o.Out)
		}
	}
	if o.Output != outputText {
		if err := printValue(o.Out, o.Output, map[string]any{"objects": all}); err != nil {
			return err
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if err := o.checkNames(all); err != nil {
		return err
	}
	if o.Wait {
		return o.wait(ctx, h, objects)
	}
	return nil
}

// checkNames refuses to wait for a name that is no target: that would end at once. Without --wait it warns, since
// the target may be about to come.
func (o *maskOptions) checkNames(reports []*maskReport) error {
	var problems []error
	for _, r := range reports {
		if len(r.Unmatched) == 0 {
			continue
		}
		problem := fmt.Errorf("--targets: %s has no target %s", r.subject(), someNames(r.Unmatched))
		if problems = append(problems, problem); !o.Wait {
			fmt.Fprintf(o.ErrOut, "Warning: %v\n", problem)
		}
	}
	if !o.Wait {
		return nil
	}
	return errors.Join(problems...)
}

// objects are those that are meant.
func (o *maskOptions) objects(ctx context.Context, h *hub) (objects []masked, err error) {
	if len(o.Files) > 0 {
		return o.objectsOfFiles(ctx, h)
	}
	if o.ObjectSelector != "" {
		return o.selected(ctx, h)
	}
	for _, word := range o.words {
		typeWord, name, err := splitObject(word)
		if err != nil {
			return nil, err
		}
		ftc, err := h.typeOf(ctx, typeWord)
		if err != nil {
			return nil, err
		}
		objects = append(objects, masked{ftc, o.namespaceFor(ftc), name})
	}
	return objects, nil
}

func (o *maskOptions) namespaceFor(ftc *v1beta1.FederatedTypeConfig) string {
	if ftc.Spec.FederatedType.Scope != v1beta1.NamespaceScoped {
		return ""
	}
	return o.source.namespace
}

func (o *maskOptions) objectsOfFiles(ctx context.Context, h *hub) (objects []masked, err error) {
	documents, err := readDocuments(o.In, o.Files, o.Recursive)
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		ftc, err := typeIfFederated(ctx, h, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.from, err)
		}
		if ftc == nil {
			fmt.Fprintf(o.ErrOut, "Warning: %s: %s is no federated object, and has no mask\n", d.from, d)
			continue
		}
		object := masked{ftc, o.namespaceFor(ftc), d.GetName()}
		if own := d.GetNamespace(); own != "" && object.namespace != "" {
			object.namespace = own
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		return nil, errors.New("there is no federated object in what -f names")
	}
	return objects, nil
}

// selected lists the objects of a type that have the labels.
func (o *maskOptions) selected(ctx context.Context, h *hub) (objects []masked, err error) {
	ftc, err := h.typeOf(ctx, o.words[0])
	if err != nil {
		return nil, err
	}
	path := federatedPath(ftc, v1beta2.SchemeGroupVersion.Version, o.namespaceFor(ftc), "")
	query := map[string]string{"labelSelector": o.ObjectSelector, "limit": "500"}
	for {
		answer, _, err := h.do(ctx, sent{verb: http.MethodGet, path: path, query: query})
		if err != nil {
			return nil, fmt.Errorf("list the %s: %s", ftc.Spec.FederatedType.PluralName, sentence(err))
		}
		var list metav1.PartialObjectMetadataList
		if err := json.Unmarshal(answer, &list); err != nil {
			return nil, err
		}
		for _, item := range list.Items {
			objects = append(objects, masked{ftc, item.Namespace, item.Name})
		}
		if query["continue"] = list.Continue; list.Continue == "" {
			break
		}
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("no %s has the labels %s", ftc.Spec.FederatedType.Kind, o.ObjectSelector)
	}
	return objects, nil
}

// one changes the mask of one object, if it is to be changed, and says what it lets through.
func (o *maskOptions) one(ctx context.Context, h *hub, object masked) (*maskReport, error) {
	for attempt := 1; ; attempt++ {
		federated, err := readFederated(ctx, h, object.ftc, object.namespace, object.name)
		if err != nil {
			return nil, errors.New(sentence(err))
		}
		federated.Kind = object.ftc.Spec.FederatedType.Kind
		changed := false
		if o.verb != maskStatus {
			mask, err := o.mask(federated.Spec.PlacementMask)
			if err != nil {
				return nil, err
			}
			written, err := o.write(ctx, h, object, federated, mask)
			if apierrors.IsConflict(err) && attempt < maskAttempts {
				continue
			}
			if err != nil {
				return nil, errors.New(sentence(err))
			}
			changed = written.Generation != federated.Generation
			federated = written
		}
		return o.report(ctx, h, object, federated, changed)
	}
}

// mask is what comes in the place of the one that is there.
func (o *maskOptions) mask(now *v1beta2.Placement) (*v1beta2.Placement, error) {
	switch {
	case o.verb == maskClear:
		return nil, nil
	case o.TargetSelector != "":
		return &v1beta2.Placement{TopologySelector: o.chosen}, nil
	case o.verb == maskSet:
		return namedMask(nil, o.Targets), nil
	case now == nil:
		return nil, errors.New("there is no mask, so that all targets may change already; \"mask set\" makes one")
	case now.Topologies == nil:
		return nil, errors.New("the mask picks its targets by labels, and no name can be added; \"mask set\" replaces it")
	}
	return namedMask(now.Topologies, o.Targets), nil
}

// namedMask names targets, each once, in order. Without any it is one that lets nobody change.
func namedMask(before []v1beta2.TopologyReference, names []string) *v1beta2.Placement {
	mask := &v1beta2.Placement{Topologies: slices.Clone(before)}
	if mask.Topologies == nil {
		mask.Topologies = []v1beta2.TopologyReference{}
	}
	for _, name := range names {
		reference := v1beta2.TopologyReference{Name: name}
		if !slices.Contains(mask.Topologies, reference) {
			mask.Topologies = append(mask.Topologies, reference)
		}
	}
	return mask
}

// write changes the mask, if the object is still as it was read.
func (o *maskOptions) write(ctx context.Context, h *hub, object masked, read *v1beta2.FederatedObject, mask *v1beta2.Placement) (*v1beta2.FederatedObject, error) {
	if mask == nil && read.Spec.PlacementMask == nil {
		return read, nil
	}
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	change := operation{"remove", "/spec/placementMask", nil}
	if mask != nil {
		change = operation{"add", "/spec/placementMask", mask}
	}
	// The version is not tested, but set: the server then refuses the change with a conflict.
	patch, err := json.Marshal([]operation{{"replace", "/metadata/resourceVersion", read.ResourceVersion}, change})
	if err != nil {
		return nil, err
	}
	written, warnings, err := h.patch(ctx, object, types.JSONPatchType, patch, o.DryRun)
	if err != nil {
		return nil, err
	}
	for _, warning := range warnings {
		fmt.Fprintf(o.ErrOut, "Warning: %s: %s\n", object, warning)
	}
	return written, nil
}

// patch changes a federated object, and returns it with what the server warns of.
func (h *hub) patch(ctx context.Context, object masked, content types.PatchType, patch []byte, dryRun bool) (*v1beta2.FederatedObject, []string, error) {
	query := map[string]string{"fieldManager": "kubectl-koinon", "fieldValidation": metav1.FieldValidationStrict}
	if dryRun {
		query["dryRun"] = metav1.DryRunAll
	}
	answer, warnings, err := h.do(ctx, sent{
		verb: http.MethodPatch, path: federatedPath(object.ftc, v1beta2.SchemeGroupVersion.Version, object.namespace, object.name),
		query: query, body: patch, content: string(content),
	})
	if err != nil {
		return nil, nil, err
	}
	written := &v1beta2.FederatedObject{}
	return written, warnings, json.Unmarshal(answer, written)
}
