package propagation

import (
	"context"
	"encoding/json"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/membership"
)

// A type that is Disabled is paused: nothing is made or changed in members, but objects that are
// deleted here are deleted there, since they would wait with their finalizers for ever, and their
// namespaces with them. Caches of members are filled only where such an object has a target.

// isPaused reports whether nothing of a type is made or changed.
func (e *Engine) isPaused(ftc *v1beta1.FederatedTypeConfig) bool {
	return ftc.Spec.Propagation != v1beta1.Enabled || ftc.DeletionTimestamp != nil || e.Paused != nil && e.Paused()
}

// followPaused has the targets of an object watched whose kind is paused.
func (e *Engine) followPaused(v *view) {
	if !v.kind.paused {
		return
	}
	for _, t := range v.targets {
		if member, ok := e.member(t.Member); ok && member.Conn != nil && member.Health == membership.Ready {
			v.kind.watchIn(member.Conn)
		}
	}
}

// ConfigChanged does what the KubeFedConfig says of all types, since it is another one: whether they are
// paused, and how many workers sync their objects.
func (e *Engine) ConfigChanged() {
	e.hire()
	all, err := e.Types.List(labels.Everything())
	if err != nil {
		return // listers fail only for want of an index
	}
	for _, ftc := range all {
		e.types.Add(ftc.Name)
	}
}

// letTypeGo takes off a FederatedTypeConfig that is being deleted the finalizer that a stock
// controller has put on it, in whose place we are: nobody else would.
func (e *Engine) letTypeGo(ctx context.Context, ftc *v1beta1.FederatedTypeConfig) error {
	if !slices.Contains(ftc.Finalizers, v1beta1.TypeConfigFinalizer) {
		return nil
	}
	kept := slices.DeleteFunc(slices.Clone(ftc.Finalizers), func(f string) bool { return f == v1beta1.TypeConfigFinalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": kept, "resourceVersion": ftc.ResourceVersion, "uid": ftc.UID,
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	_, err = e.TypeClient.Patch(ctx, ftc.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
