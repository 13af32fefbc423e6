package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// prober asks members what would become of one federated object. It may be used concurrently.
type prober struct {
	*looked
	hub        *hub
	base       *render.Base
	rules      compose.Rules
	federation string
	adopt      bool
}

// newProber makes ready what is the same for all targets. An error concerns all of them.
func newProber(ctx context.Context, h *hub, l *looked) (*prober, error) {
	config, err := h.config(ctx)
	if err != nil {
		return nil, err
	}
	p := &prober{looked: l, hub: h, adopt: reach.Adopts(config), federation: config.Annotations[federationv1alpha1.FederationAnnotation]}
	rules, err := reach.RulesOf(&l.ftc.Spec)
	if err != nil {
		return nil, err
	}
	p.rules = reach.RulesFor(rules, l.federated)
	p.base, err = render.Compile(ctx, reach.RenderSpec(l.federated, l.object.Source(), p.federation, &l.ftc.Spec))
	return p, err
}

// probe finds out what becomes of the object in one target.
func (p *prober) probe(ctx context.Context, a aim) plannedTarget {
	namespace, name := p.kind.Place(p.object, a.Candidate)
	t := plannedTarget{Name: a.Name, Cluster: a.Member, Held: a.held, Message: a.message}
	if a.purpose == toStay {
		t.Outcome = outNotPlaced
		return t
	}
	t.Object = strings.TrimPrefix(namespace+"/"+name, "/")
	objection, err := p.objection(ctx, p.hub, a.Candidate)
	switch {
	case p.hub.comes(p.hub.clusterPath(a.Member)):
		t.Outcome, t.Message = outUnreachable, fmt.Sprintf("cluster %q is not joined yet", a.Member)
		return t
	case err != nil:
		return t.failed(err)
	case objection != "":
		t.Outcome, t.Message = outBlocked, objection
		return t
	case a.purpose == toLeave:
		return p.probeRemoval(ctx, a, t)
	}
	return p.probeWrite(ctx, a, t)
}

// failed says why a member could not be asked, or would refuse.
func (t plannedTarget) failed(err error) plannedTarget {
	t.Message = sentence(err)
	t.Outcome = outUnreachable
	var answered apierrors.APIStatus
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		t.Outcome = outForbidden
	case errors.As(err, &answered) && answered.Status().Code < http.StatusInternalServerError && !apierrors.IsTooManyRequests(err):
		t.Outcome = outRefused
	}
	return t
}

// spot is where an object is in a member.
type spot struct {
	member, list, path, name string
	version                  string
}

func (p *prober) spot(a aim, version string) spot {
	namespace, name := p.kind.Place(p.object, a.Candidate)
	resource := p.kind.GroupVersion().WithResource(p.ftc.Spec.TargetType.PluralName)
	if version != "" {
		resource.Version = version
	}
	return spot{
		member: a.Member, name: name, version: resource.GroupVersion().String(),
		list: throughMember(a.Member, pathOf(resource, namespace, "")), path: throughMember(a.Member, pathOf(resource, namespace, name)),
	}
}

// live reads the object in a member; nil if it is not there.
func (p *prober) live(ctx context.Context, at spot) (*unstructured.Unstructured, error) {
	answer, _, err := p.hub.do(ctx, sent{verb: http.MethodGet, path: at.path})
	if apierrors.IsNotFound(err) && !isNoType(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeObject(answer)
}

// isNoType reports whether an API server has nothing at a path: not the type, in that version.
func isNoType(err error) bool {
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) || !apierrors.IsNotFound(err) {
		return false
	}
	details := answered.Status().Details
	return details == nil || details.Name == "" || apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

func decodeObject(data []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(data, &object.Object); err != nil {
		return nil, err
	}
	return object, nil
}

func (p *prober) marks(a aim) reach.Marks {
	return reach.Marks{Source: p.object.Source(), Federation: p.federation, UnmarkedIsOurs: p.object.KubeFedsPlace(a.Candidate)}
}

// probeRemoval looks whether there is something to remove.
func (p *prober) probeRemoval(ctx context.Context, a aim, t plannedTarget) plannedTarget {
	live, err := p.live(ctx, p.spot(a, ""))
	switch {
	case err != nil:
		return t.failed(err)
	case live == nil:
		t.Outcome = outUnchanged
	case !p.marks(a).Ours(live.GetLabels(), live.GetAnnotations()):
		t.Outcome, t.Message = outUnchanged, "the object there is not this one's any more, and stays"
	default:
		t.Outcome = outDeleted
		t.Diff = diffOf(live.Object, nil)
	}
	return t
}

// probeWrite sends as a dry run what the engine would send.
func (p *prober) probeWrite(ctx context.Context, a aim, t plannedTarget) plannedTarget {
	manifest, err := p.base.For(ctx, p.kind.RenderTarget(p.object, a.Candidate, p.federation))
	if err != nil {
		t.Outcome, t.Message = outRefused, err.Error()
		return t
	}
	at := p.spot(a, manifest.Version.Version)
	live, err := p.live(ctx, at)
	switch {
	case isNoType(err):
		t.Outcome, t.Message = outRefused, "the member does not serve "+p.ftc.Spec.TargetType.PluralName+" in "+at.version
		return t
	case err != nil:
		return t.failed(err)
	case live == nil && p.hasEnded(a, manifest):
		t.Outcome, t.Message = outUnchanged, "the object ran to its end, and is gone; it is not run again"
		return t
	case live == nil:
		return p.probeCreation(ctx, at, t, compose.ForCreate(manifest.Object(), p.kind.GroupVersionKind))
	}
	if state, why := p.marks(a).Refuses(live, p.federated.Annotations, p.adopt); state != "" {
		if t.Outcome, t.Message = outBlocked, why; why == "" {
			t.Message = "the object there is being deleted; it is made anew once it is gone"
		}
		return t
	}
	body := compose.ForUpdate(manifest.Object(), live.Object, p.kind.GroupVersionKind, p.rules)
	answer, err := p.dryRun(ctx, http.MethodPut, at.path, body, &t)
	if err != nil {
		return t.failed(err)
	}
	t.Warnings = append(t.Warnings, compose.Kept(manifest.Object(), live.Object, p.rules)...)
	if t.Diff = diffOf(live.Object, answer.Object); t.Diff != "" {
		t.Outcome = outUpdated
	} else {
		t.Outcome = outUnchanged
	}
	return t
}

// hasEnded: what has ended and is gone is run again by another manifest alone, if the type says so.
func (p *prober) hasEnded(a aim, manifest *render.Manifest) bool {
	rule := p.ftc.Spec.RunToCompletion
	reruns := rule == nil || rule.Rerun != v1beta1.RerunNever
	return a.record.Ended && (!reruns || a.record.Hash == manifest.Hash)
}

func (p *prober) probeCreation(ctx context.Context, at spot, t plannedTarget, body map[string]any) plannedTarget {
	t.Outcome = outCreated
	answer, err := p.dryRun(ctx, http.MethodPost, at.list, body, &t)
	switch {
	case isNamespaceMissing(err):
		// The engine makes it first; a dry run cannot.
		t.Message = "its namespace is made first: what the member adds to the object is not known yet"
		data, err := json.Marshal(body)
		if err != nil {
			return t.failed(err)
		}
		if answer, err = decodeObject(data); err != nil {
			return t.failed(err)
		}
	case err != nil:
		return t.failed(err)
	}
	t.Diff = diffOf(nil, withoutAllocated(answer.Object, p.kind.GroupKind()))
	return t
}

// dryRun sends a body. Warnings of the member are put into t.
func (p *prober) dryRun(ctx context.Context, verb, path string, body map[string]any, t *plannedTarget) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	answer, warnings, err := p.hub.do(ctx, sent{verb: verb, path: path, body: data, query: map[string]string{
		"dryRun": metav1.DryRunAll, "fieldManager": compose.FieldManager, "fieldValidation": metav1.FieldValidationWarn,
	}})
	if len(warnings) > 0 {
		slices.Sort(warnings)
		t.Warnings = slices.Compact(warnings)
	}
	if err != nil {
		return nil, err
	}
	return decodeObject(bytes.TrimSpace(answer))
}

// isNamespaceMissing tells "no such namespace" from "no such type".
func isNamespaceMissing(err error) bool {
	var answered apierrors.APIStatus
	return apierrors.IsNotFound(err) && errors.As(err, &answered) && answered.Status().Details != nil && answered.Status().Details.Kind == "namespaces"
}
