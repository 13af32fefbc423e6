package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// metadataOnly asks for lists without what is in objects.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

// disableOptions are the options of "kubectl koinon disable".
type disableOptions struct {
	genericiooptions.IOStreams
	flags *connection

	Delete, KeepObjects bool
	Timeout             time.Duration
	DryRun, System      string

	words  []string
	source *source
	// every is how often it is looked whether a FederatedTypeConfig is gone.
	every time.Duration
}

func newDisableCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &disableOptions{
		IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, DryRun: dryRunNone, Timeout: 30 * time.Second, every: 100 * time.Millisecond,
	}
	cmd := &cobra.Command{
		Use:   "disable TYPE...",
		Args:  cobra.ArbitraryArgs,
		Short: "Have a type no longer propagated, or no longer federated at all",
		Long: `Have a type no longer propagated: nothing of it is made or changed in members, and what is there stays. What is deleted here is
deleted there all the same. "kubectl koinon enable TYPE" turns it on again.

With --delete its FederatedTypeConfig is deleted, and the federated kind is no longer served. That is refused while there are objects
of the kind, unless --keep-objects says that they are to stay: in the store and in members, where nobody looks after them. They
are there again once the type is enabled again.

Exit codes: 0 disabled, or deleted; 1 refused or failed; 3 deleted, and something keeps the FederatedTypeConfig from going.`,
		Example: `  # Change nothing of StatefulSets in members for now
  kubectl koinon disable statefulsets

  # The end of a type of which there are no objects any more
  kubectl koinon disable issuers.example.com --delete`,
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
	f.BoolVar(&o.Delete, "delete", false, "Delete the FederatedTypeConfig.")
	f.BoolVar(&o.KeepObjects, "keep-objects", false, "With --delete, leave federated objects in the store, and what members have.")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "How long --delete waits until the FederatedTypeConfig is gone.")
	f.StringVar(&o.DryRun, "dry-run", o.DryRun, "server has the server check it, and changes nothing.")
	f.StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of FederatedTypeConfigs.")
	return cmd
}

func (o *disableOptions) complete(args []string) (err error) {
	o.words = args
	o.source, err = loadSource(o.flags)
	return err
}

func (o *disableOptions) validate() error {
	switch {
	case len(o.words) == 0:
		return errors.New("a type is needed: kubectl koinon disable TYPE")
	case o.KeepObjects && !o.Delete:
		return errors.New("--keep-objects is for --delete alone: without it all objects stay")
	case o.Timeout <= 0:
		return fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout)
	}
	return validateDryRun(o.DryRun, dryRunServer)
}

func (o *disableOptions) run(ctx context.Context) error {
	h, err := newHub(o.source, o.System)
	if err != nil {
		return err
	}
	var failed []error
	late := false
	for _, word := range o.words {
		switch err := o.one(ctx, h, word); {
		case errors.Is(err, errTimeout):
			late = true
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", word, err))
		}
	}
	switch {
	case len(failed) > 0:
		return errors.Join(failed...)
	case late:
		return &exitError{code: exitPartial}
	}
	return nil
}

func (o *disableOptions) one(ctx context.Context, h *hub, word string) error {
	config, err := o.find(ctx, h, word)
	if err != nil || config == nil {
		return err
	}
	found, err := countFederated(ctx, h, config)
	if err != nil {
		found = nil
		fmt.Fprintf(o.ErrOut, "Warning: objects of %s could not be counted: %s\n", config.Spec.FederatedType.PluralName, sentence(err))
	}
	if o.Delete {
		return o.delete(ctx, h, config, found)
	}
	return o.disable(ctx, h, config, found)
}

// find finds the FederatedTypeConfig; nil, once that is said, if a type that there is has none.
func (o *disableOptions) find(ctx context.Context, h *hub, word string) (*v1beta1.FederatedTypeConfig, error) {
	all, err := h.types(ctx)
	if err != nil {
		return nil, err
	}
	if config, err := targetNamed(all, word); err != nil || config != nil {
		return config, err
	}
	federated, err := h.typeOf(ctx, word)
	if err == nil {
		return federated, nil
	}
	members, membersErr := h.memberTypes(ctx)
	if membersErr != nil {
		return nil, err
	}
	resource, findErr := findType(members, word)
	if findErr != nil {
		return nil, err
	}
	if config := typeConfigFor(all, resource); config != nil {
		return config, nil
	}
	fmt.Fprintf(o.Out, "%s has no FederatedTypeConfig: there is nothing to disable\n", resource)
	return nil, nil
}

// federatedCount is how many objects of a federated kind there are, and the names of some.
type federatedCount struct {
	total int
	first []string
}

func (c *federatedCount) String() string {
	objects := "objects"
	if c.total == 1 {
		objects = "object"
	}
	return fmt.Sprintf("%d %s (%s)", c.total, objects, strings.Join(c.first, ", ")+ifMore(c.total > len(c.first)))
}

// there begins a sentence with how many there are.
func (c *federatedCount) there() string {
	if c.total == 1 {
		return "there is " + c.String()
	}
	return "there are " + c.String()
}

// countFederated counts the objects of a federated kind, in pages without what is in them.
func countFederated(ctx context.Context, h *hub, config *v1beta1.FederatedTypeConfig) (*federatedCount, error) {
	found := &federatedCount{}
	query := map[string]string{"limit": fmt.Sprint(pageSize)}
	for {
		answer, _, err := h.do(ctx, sent{
			verb: http.MethodGet, path: federatedPath(config, v1beta2.SchemeGroupVersion.Version, "", ""), query: query, accept: metadataOnly,
		})
		if err != nil {
			return nil, err
		}
		var list metav1.PartialObjectMetadataList
		if err := json.Unmarshal(answer, &list); err != nil {
			return nil, err
		}
		for _, item := range list.Items {
			if found.total++; len(found.first) < firstNames {
				found.first = append(found.first, strings.TrimPrefix(item.Namespace+"/"+item.Name, "/"))
			}
		}
		if query["continue"] = list.Continue; list.Continue == "" {
			return found, nil
		}
	}
}

// disable turns propagation off. found is nil if it is not known what there is.
func (o *disableOptions) disable(ctx context.Context, h *hub, config *v1beta1.FederatedTypeConfig, found *federatedCount) error {
	outcome := "is disabled already"
	if config.Spec.Propagation != v1beta1.Disabled {
		_, warnings, err := writeTypeConfig(ctx, h, sent{
			verb: http.MethodPatch, path: h.typeConfigPath(config.Name), body: []byte(`{"spec":{"propagation":"Disabled"}}`), content: string(types.MergePatchType),
		}, o.DryRun == dryRunServer)
		o.warn(config, warnings)
		if err != nil {
			return asSentence(err)
		}
		outcome = "disabled"
	}
	o.say(config, outcome)
	if found != nil && found.total > 0 {
		fmt.Fprintf(o.Out, "  %s: what members have stays, and what is deleted here is deleted there\n", found.there())
	}
	if config.Name == "namespaces" {
		fmt.Fprintln(o.ErrOut, "Warning: objects of topology cluster, of all namespaces and types, stay as they are in members, and go nowhere new, until namespaces are enabled again")
	}
	fmt.Fprintf(o.ErrOut, "Next:\n  kubectl koinon enable %s%s\n", config.Name, o.flags.givenIn(o.System))
	return nil
}

// delete deletes the FederatedTypeConfig, and waits until it is gone. What there is is not known if found is nil.
func (o *disableOptions) delete(ctx context.Context, h *hub, config *v1beta1.FederatedTypeConfig, found *federatedCount) error {
	plural := config.Spec.FederatedType.PluralName + "." + config.Spec.FederatedType.Group
	if !o.KeepObjects {
		all := " --all"
		if config.Spec.FederatedType.Scope == v1beta1.NamespaceScoped {
			all += " --all-namespaces"
		}
		switch {
		case found == nil:
			return fmt.Errorf("it is not known whether there are %s: --keep-objects deletes the FederatedTypeConfig all the same, and leaves what there may be", plural)
		case found.total > 0:
			return fmt.Errorf("%s of %s: delete them first with \"kubectl delete %s%s\", which deletes them in members too (--cascade=orphan leaves those), or leave them with --keep-objects",
				found.there(), plural, plural, all)
		}
	}
	// Nobody else's FederatedTypeConfig of the same name is deleted.
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &config.UID}}
	if config.UID == "" {
		options.Preconditions = nil
	}
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	query := map[string]string{}
	if o.DryRun == dryRunServer {
		query["dryRun"] = metav1.DryRunAll
	}
	_, warnings, err := h.do(ctx, sent{verb: http.MethodDelete, path: h.typeConfigPath(config.Name), query: query, body: body})
	o.warn(config, warnings)
	if err != nil && !apierrors.IsNotFound(err) {
		return asSentence(err)
	}
	if o.DryRun == dryRunNone {
		if err := o.waitGone(ctx, h, config); err != nil {
			return err
		}
	}
	o.say(config, "deleted")
	if found != nil && found.total > 0 {
		fmt.Fprintf(o.Out, "  %s: left in the store and in members, and there again with \"kubectl koinon enable %s%s\"\n", found, config.Name, o.flags.givenIn(o.System))
	}
	return nil
}

// waitGone waits until the FederatedTypeConfig is gone. It returns errTimeout, once that is said, if it is not in time.
func (o *disableOptions) waitGone(ctx context.Context, h *hub, config *v1beta1.FederatedTypeConfig) error {
	var finalizers []string
	err := poll(ctx, o.every, o.Timeout, func(ctx context.Context) (bool, error) {
		now, err := readTypeConfig(ctx, h, config.Name)
		switch {
		case apierrors.IsNotFound(err):
			return true, nil
		case err != nil:
			return false, asSentence(err)
		}
		finalizers = now.Finalizers
		return now.UID != config.UID, nil
	})
	if errors.Is(err, errTimeout) {
		fmt.Fprintf(o.ErrOut, "after %s the FederatedTypeConfig %s is still there: its finalizers %s have not been taken off; Koinon's controllers do that for %s\n",
			o.Timeout, config.Name, strings.Join(finalizers, ", "), v1beta1.TypeConfigFinalizer)
	}
	return err
}

func (o *disableOptions) warn(config *v1beta1.FederatedTypeConfig, warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintf(o.ErrOut, "Warning: %s: %s\n", config.Name, warning)
	}
}

func (o *disableOptions) say(config *v1beta1.FederatedTypeConfig, outcome string) {
	if o.DryRun == dryRunServer {
		outcome += " (server dry run)"
	}
	fmt.Fprintf(o.Out, "federatedtypeconfig.%s/%s %s\n", v1beta1.GroupName, config.Name, outcome)
}
