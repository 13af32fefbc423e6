package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// overviewShown is how many of each sort are printed if not all are wanted.
const overviewShown = 10

// overviewOptions are the options of "kubectl koinon status".
type overviewOptions struct {
	genericiooptions.IOStreams
	flags *connection

	All            bool
	Output, System string

	source *source
}

func newStatusCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &overviewOptions{IOStreams: streams, flags: flags, System: v1beta1.DefaultNamespace, Output: outputText}
	cmd := &cobra.Command{
		Use:   "status",
		Args:  func(cmd *cobra.Command, args []string) error { return failed(noArguments(cmd, args)) },
		Short: "Show how members, cells and federated objects are, the worst first",
		Long: `Show how the fleet is, the worst first: members, cells and edge units that are not ready, how many objects of each
federated type are up to date and healthy, and the objects that are not, with the command that explains each.

All of it is what the status of objects in Koinon says; members are not asked. With -n, the objects, cells and edge
units are those of one namespace. What you may not list is said, and left out.

  UP TO DATE   objects whose targets that may change run what the spec says
  HEALTHY      objects that are well in all targets, too
  WAITING      objects of which the mask holds back a newer generation somewhere
  BEHIND       targets that do not run what the spec says, and that no mask holds back

Exit codes: 0 all is well; 1 something is out of date or not well; 2 Koinon could not be asked; 3 all that was seen is
well, and not all could be looked at.`,
		Example: `  # How is the fleet?
  kubectl koinon status

  # All that is wrong in one namespace, for a program
  kubectl koinon status -n shop --all -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return failed(err)
			}
			if err := o.validate(); err != nil {
				return failed(err)
			}
			return o.run(cmd.Context())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return failed(err) })
	f := cmd.Flags()
	f.BoolVar(&o.All, "all", false, fmt.Sprintf("Everything, and not only the %d worst of each sort.", overviewShown))
	f.StringVarP(&o.Output, "output", "o", o.Output, "text for people, json or yaml for a program.")
	f.StringVar(&o.System, "kubefed-namespace", o.System, "The namespace of KubeFedClusters.")
	return cmd
}

func (o *overviewOptions) complete() (err error) {
	o.source, err = loadSource(o.flags)
	return err
}

func (o *overviewOptions) validate() error {
	return validateOutput(o.Output, outputText, outputJSON, outputYAML)
}

func (o *overviewOptions) run(ctx context.Context) error {
	h, err := newHub(o.source, o.System)
	if err != nil {
		return failed(err)
	}
	seen, err := o.see(ctx, h)
	if err != nil {
		return failed(err)
	}
	seen.sort()
	verdict := seen.verdict() // of all that was seen
	seen.shorten(o.All)
	if o.Output == outputText {
		err = seen.print(o.Out, o.flags.givenIn(o.System))
	} else {
		err = printValue(o.Out, o.Output, seen)
	}
	if err != nil {
		return failed(err)
	}
	return verdict
}

// namespace is the one that is asked about; empty for all.
func (o *overviewOptions) namespace() string {
	if o.source.given {
		return o.source.namespace
	}
	return ""
}

// overlook is one run. What it has found is guarded by mu.
type overlook struct {
	*hub
	namespace string

	mu    sync.Mutex
	found overview // guarded by mu
}

// see looks at everything. It fails if what it is cannot be told at all.
func (o *overviewOptions) see(ctx context.Context, h *hub) (*overview, error) {
	types, err := h.types(ctx)
	if err != nil && !h.mayNotList(ctx) {
		return nil, err
	}
	s := &overlook{hub: h, namespace: o.namespace()}
	missing := false
	if s.namespace != "" { // who may not read it is told what he may not list
		there, err := h.namespace(ctx, s.namespace)
		missing = err == nil && there == nil
	}
	s.found = overview{Members: []memberView{}, NotReady: []unitView{}, Types: []typeView{}, Unwell: []objectView{}, NotSeen: []notSeen{}}
	if err != nil {
		s.unseen("federated types", err)
	}
	all := []func(){func() { s.members(ctx) }, func() { s.cells(ctx) }, func() { s.edgeUnits(ctx) }}
	for i := range types {
		spec := &types[i].Spec
		if spec.Propagation == v1beta1.Disabled || s.namespace != "" && spec.FederatedType.Scope != v1beta1.NamespaceScoped {
			continue
		}
		all = append(all, func() { s.objects(ctx, &types[i]) })
	}
	together(asksAtOnce, all...)
	if missing && !slices.ContainsFunc(s.found.Types, func(t typeView) bool { return t.Objects > 0 }) { // what is left of a namespace that is gone is shown
		return nil, fmt.Errorf("there is no namespace %q", s.namespace)
	}
	return &s.found, context.Cause(ctx)
}

// mayNotList reports whether the types were not read since the caller may not list them.
func (h *hub) mayNotList(ctx context.Context) bool {
	_, err := readInto[v1beta1.FederatedTypeConfigList](ctx, h, kubefedPath+"/namespaces/"+h.system+"/federatedtypeconfigs")
	return apierrors.IsForbidden(err)
}

// unseen says what could not be looked at.
func (s *overlook) unseen(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.NotSeen = append(s.found.NotSeen, notSeen{what, sentence(err)})
}

func (s *overlook) members(ctx context.Context) {
	clusters, err := s.clusters(ctx)
	if err != nil {
		s.unseen("members", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range clusters {
		if !reach.IsUnit(&clusters[i]) { // a cell or an edge unit is counted as such
			s.found.addMember(viewOfMember(&clusters[i]))
		}
	}
}

// listPath is where a type of a namespace, or of all, is listed.
func (s *overlook) listPath(group, resource string) string {
	if s.namespace != "" {
		return group + "/namespaces/" + s.namespace + "/" + resource
	}
	return group + "/" + resource
}

func (s *overlook) cells(ctx context.Context) {
	count := 0
	var bad []unitView
	err := pages(ctx, s.hub, s.listPath(groupPath, "cells"), func(items []v1alpha1.Cell) {
		count += len(items)
		for i := range items {
			c := &items[i]
			bad = appendNotReady(bad, "Cell", c.Namespace, c.Name, c.Spec.ClusterName, c.Status.Conditions)
			bad = appendStranded(bad, c)
		}
	})
	s.addUnits(&s.found.Cells, "cells", count, bad, err)
}

func (s *overlook) edgeUnits(ctx context.Context) {
	count := 0
	var bad []unitView
	path := s.listPath("/apis/"+edgev1alpha1.SchemeGroupVersion.String(), "edgeunits")
	err := pages(ctx, s.hub, path, func(items []edgev1alpha1.EdgeUnit) {
		count += len(items)
		for i := range items {
			u := &items[i]
			bad = appendNotReady(bad, "EdgeUnit", u.Namespace, u.Name, u.Spec.ClusterName, u.Status.Conditions)
		}
	})
	s.addUnits(&s.found.EdgeUnits, "edge units", count, bad, err)
}

// addUnits takes what a list said as a whole: of one that broke off nothing is known.
func (s *overlook) addUnits(into **int, what string, count int, bad []unitView, err error) {
	if err != nil {
		s.unseen(what, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*into = &count
	s.found.NotReady = append(s.found.NotReady, bad...)
}

// objects looks at all objects of a type. They are many, and not kept.
func (s *overlook) objects(ctx context.Context, ftc *v1beta1.FederatedTypeConfig) {
	federated := ftc.Spec.FederatedType
	view := typeView{Type: federated.PluralName + "." + federated.Group}
	var unwell []objectView
	path := federatedPath(ftc, v1beta2.SchemeGroupVersion.Version, s.namespace, "")
	err := pages(ctx, s.hub, path, func(items []overviewObject) {
		for i := range items {
			if one := view.add(federated.Kind, &items[i]); one != nil {
				unwell = append(unwell, *one)
			}
		}
	})
	if err != nil {
		s.unseen(view.Type, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.Types = append(s.found.Types, view)
	s.found.Unwell = append(s.found.Unwell, unwell...)
}

// sort brings the worst to the top.
func (o *overview) sort() {
	slices.SortFunc(o.Members, memberView.compare)
	slices.SortFunc(o.NotReady, func(a, b unitView) int { return strings.Compare(a.key(), b.key()) })
	slices.SortFunc(o.Types, typeView.compare)
	slices.SortFunc(o.Unwell, objectView.compare)
	slices.SortFunc(o.NotSeen, func(a, b notSeen) int { return strings.Compare(a.What, b.What) })
}

// verdict is the exit code, with nothing more to say.
func (o *overview) verdict() error {
	switch {
	case o.Ready < len(o.Members) || len(o.NotReady) > 0 || len(o.Unwell) > 0:
		return &exitError{code: exitChanges}
	case len(o.NotSeen) > 0:
		return &exitError{code: exitPartial}
	}
	return nil
}
