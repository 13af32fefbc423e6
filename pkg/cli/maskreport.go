package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// maskReport is what the mask of one object lets through, and what waits.
type maskReport struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Mask is the mask itself; null if all may change.
	Mask *v1beta2.Placement `json:"mask"`
	// Changed by this command; DryRun says that it was not stored.
	Changed    bool  `json:"changed"`
	DryRun     bool  `json:"dryRun,omitempty"`
	Generation int64 `json:"generation"`
	// Problem is why the targets cannot be computed.
	Problem string `json:"problem,omitempty"`
	// Allowed are the targets that may change, and Waiting those for which something waits. Same are held back,
	// too, and nothing waits for them.
	Allowed []allowedTarget `json:"allowed"`
	Waiting []waitingTarget `json:"waiting"`
	Same    []string        `json:"same,omitempty"`
	// Unmatched are the names of --targets that are no target of the object.
	Unmatched []string `json:"unmatched,omitempty"`
}

// allowedTarget is a target that may change.
type allowedTarget struct {
	Name     string              `json:"name"`
	UpToDate bool                `json:"upToDate"`
	State    v1beta2.TargetState `json:"state,omitempty"`
	Message  string              `json:"message,omitempty"`
}

// waitingTarget is a target that the mask holds back.
type waitingTarget struct {
	Name string `json:"name"`
	// Runs is the generation that it runs; 0 if it has nothing yet.
	Runs int64 `json:"runs"`
	// Waits is the generation that waits.
	Waits int64 `json:"waits"`
	// What waits: create, update or delete.
	What string `json:"what"`
}

// report finds out what a mask lets through. A target whose manifest would be as it is waits for nothing.
func (o *maskOptions) report(ctx context.Context, h *hub, object masked, federated *v1beta2.FederatedObject, changed bool) (*maskReport, error) {
	r := &maskReport{
		Kind: object.ftc.Spec.FederatedType.Kind, Namespace: object.namespace, Name: object.name, Mask: federated.Spec.PlacementMask, Changed: changed,
		DryRun: o.DryRun, Generation: federated.Generation, Allowed: []allowedTarget{}, Waiting: []waitingTarget{},
	}
	l, err := look(ctx, h, object.ftc, federated)
	if err != nil {
		return nil, err
	}
	if r.Problem = l.problem; r.Problem != "" {
		return r, nil
	}
	hashes, err := l.hashes(ctx, h)
	if err != nil {
		return nil, err
	}
	aims := l.aims()
	r.Unmatched = l.unmatched(o.Targets, aims)
	r.Allowed = l.allowed(aims)
	for _, a := range aims {
		switch {
		case a.purpose == toStay || !a.held:
		case a.purpose == toLeave:
			r.Waiting = append(r.Waiting, waitingTarget{a.Name, a.record.Generation, federated.Generation, "delete"})
		case a.record.Hash == "" || a.record.Version == "":
			r.Waiting = append(r.Waiting, waitingTarget{a.Name, 0, federated.Generation, "create"})
		default:
			hash, err := hashes(a)
			if err != nil {
				return nil, err
			}
			if hash == a.record.Hash {
				r.Same = append(r.Same, a.Name)
				continue
			}
			r.Waiting = append(r.Waiting, waitingTarget{a.Name, a.record.Generation, federated.Generation, "update"})
		}
	}
	return r, nil
}

// unmatched are the names that no target is called by, in order.
func (l *looked) unmatched(names []string, aims []aim) (not []string) {
	grouped, known := topology.Label(l.object.TopologyType) != "", make(map[string]bool, len(aims))
	for _, a := range aims {
		if grouped {
			known[l.groupOf(a)] = true
		} else {
			known[a.Name] = true
		}
	}
	for _, name := range names {
		if !known[name] {
			not = append(not, name)
		}
	}
	return not
}

// allowed lists the targets that may change, each once, and says whether they have done so. One that moves is up to date once
// it is in all of its places.
func (l *looked) allowed(aims []aim) []allowedTarget {
	all, at := []allowedTarget{}, map[string]int{}
	for _, a := range aims {
		if a.held || a.purpose == toStay {
			continue
		}
		t := allowedTarget{Name: a.Name, State: a.record.State, Message: a.record.Message}
		t.UpToDate = l.observed() && a.purpose == toRun && a.record.Name != "" && a.record.State.UpToDate()
		switch i, twice := at[a.Name]; {
		case !twice:
			at[a.Name] = len(all)
			all = append(all, t)
		case all[i].UpToDate:
			all[i] = t
		}
	}
	return all
}

// observed reports whether the status speaks of the object as it is.
func (l *looked) observed() bool {
	return l.federated.Status != nil && l.federated.Status.ObservedGeneration >= l.federated.Generation
}

// hashes returns what says what a target should run, in the words of its record. It is empty where that cannot be
// said: what waits there is an error.
func (l *looked) hashes(ctx context.Context, h *hub) (func(aim) (string, error), error) {
	federation := ""
	if l.kind.IsNamespace() { // which have it in their manifests
		config, err := h.config(ctx)
		if err != nil {
			return nil, err
		}
		federation = config.Annotations[federationv1alpha1.FederationAnnotation]
	}
	base, err := render.Compile(ctx, reach.RenderSpec(l.federated, l.object.Source(), federation, &l.ftc.Spec))
	var malformed *render.TemplateError
	if errors.As(err, &malformed) {
		return func(aim) (string, error) { return "", nil }, nil
	}
	if err != nil {
		return nil, err
	}
	return func(a aim) (string, error) {
		m, err := base.For(ctx, l.kind.RenderTarget(l.object, a.Candidate, federation))
		var override *render.OverrideError
		if errors.As(err, &override) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return m.Hash, nil
	}, nil
}

// maskText is a mask in words.
func maskText(mask *v1beta2.Placement) string {
	switch {
	case mask == nil:
		return "no mask: all targets may change"
	case mask.Topologies == nil && mask.TopologySelector == nil:
		return "the mask lets nobody change"
	case mask.Topologies == nil:
		return "the mask lets those change that have the labels " + metav1.FormatLabelSelector(mask.TopologySelector)
	case len(mask.Topologies) == 0:
		return "the mask lets nobody change"
	}
	var names []string
	for _, t := range mask.Topologies {
		names = append(names, t.Name)
	}
	return "the mask lets change " + someNames(names)
}

// subject is which object it is about.
func (r *maskReport) subject() string {
	return r.Kind + " " + strings.TrimPrefix(r.Namespace+"/"+r.Name, "/")
}

// print prints it for people.
func (r *maskReport) print(out io.Writer) {
	done := ""
	switch {
	case r.Changed && r.DryRun:
		done = " (dry run)"
	case r.Changed:
		done = " (changed)"
	}
	fmt.Fprintf(out, "%s, generation %d: %s%s\n", r.subject(), r.Generation, maskText(r.Mask), done)
	if r.Problem != "" {
		fmt.Fprintf(out, "  its targets cannot be computed: %s\n", r.Problem)
		return
	}
	var ready, behind []string
	for _, t := range r.Allowed {
		if t.UpToDate {
			ready = append(ready, t.Name)
		} else {
			behind = append(behind, t.Name)
		}
	}
	for _, line := range []struct {
		what  string
		names []string
	}{{"may change, up to date", ready}, {"may change, not up to date", behind}, {"held back, nothing waits", r.Same}} {
		if len(line.names) > 0 {
			fmt.Fprintf(out, "  %s: %s\n", line.what, someNames(line.names))
		}
	}
	if len(r.Waiting) == 0 {
		return
	}
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintf(table, "  WAITING\tRUNS\tWAITS\tWHAT\n")
	for _, t := range r.Waiting {
		runs := "-"
		if t.Runs > 0 {
			runs = fmt.Sprint(t.Runs)
		}
		fmt.Fprintf(table, "  %s\t%s\t%d\t%s\n", t.Name, runs, t.Waits, t.What)
	}
	_ = table.Flush() // out's error shows with the next write
}

// wait waits until all targets that may change are up to date.
func (o *maskOptions) wait(ctx context.Context, h *hub, objects []masked) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	last := ""
	for {
		behind, err := o.behind(ctx, h, objects)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && len(behind) == 0 {
			return nil
		}
		if said := strings.Join(behind, "\n"); err == nil && said != last {
			fmt.Fprintf(o.ErrOut, "waiting for %s\n", someNames(behind))
			last = said
		}
		select {
		case <-ctx.Done():
			switch {
			case errors.Is(ctx.Err(), context.DeadlineExceeded) && last == "":
				return fmt.Errorf("after %s it is not known yet whether the targets are up to date", o.Timeout)
			case errors.Is(ctx.Err(), context.DeadlineExceeded):
				return fmt.Errorf("after %s these targets are not up to date: %s", o.Timeout, strings.ReplaceAll(last, "\n", ", "))
			}
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// behind are the targets that may change and are not up to date, with their states.
func (o *maskOptions) behind(ctx context.Context, h *hub, objects []masked) (behind []string, err error) {
	for _, object := range objects {
		federated, err := readFederated(ctx, h, object.ftc, object.namespace, object.name)
		if err != nil {
			return nil, errors.New(sentence(err))
		}
		// Clusters and cells that come or go meanwhile are seen the next time the command is run.
		l, err := look(ctx, h, object.ftc, federated)
		switch {
		case err != nil:
			return nil, err
		case l.problem != "":
			return nil, fmt.Errorf("%s: its targets cannot be computed: %s", object, l.problem)
		}
		for _, t := range l.allowed(l.aims()) {
			if t.UpToDate {
				continue
			}
			state := t.State
			if state == "" || !l.observed() {
				state = v1beta2.TargetPending
			}
			behind = append(behind, fmt.Sprintf("%s of %s (%s)", t.Name, object, state))
		}
	}
	return behind, nil
}
