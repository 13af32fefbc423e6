// Package guard says when a federated object has to carry the finalizer of the sync controller
// (v1beta1.SyncFinalizer): as long as its status records that members were written to, it cannot
// be deleted without anybody clearing up there.
//
// While the object is not being deleted, nobody may take the finalizer away, and a deletion
// puts it on an object that lost it before this rule was. While the object is being deleted the
// controller takes it away, or whoever decides that what members hold may stay there.
//
// Everything is pure, modifies nothing that it is given, and may be called concurrently.
package guard

import (
	"slices"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Kept is what is said to who takes the finalizer away and sees it stay: a sentence that begins
// with the path of the field.
const Kept = `metadata.finalizers: "` + v1beta1.SyncFinalizer + `" stays, since the status records that members hold copies: delete the object to have them removed, with the annotation ` +
	v1beta1.OrphanAnnotation + `: "true" to leave them where they are`

// HoldsCopies reports whether the status records a target that was written to. Our engine records
// a hash before the first write; stock controllers record an empty state after it.
func HoldsCopies(status *v1beta2.FederatedObjectStatus) bool {
	return status != nil && slices.ContainsFunc(status.Targets, HasCopy)
}

// HasCopy reports whether the record of one target says so.
func HasCopy(t v1beta2.TargetStatus) bool {
	return t.Hash != "" || t.State == v1beta2.TargetOK || slices.ContainsFunc(t.Former, func(f v1beta2.FormerPlace) bool { return f.Hash != "" })
}

// OnUpdate returns the finalizers that an object is stored with if a writer wants it to have
// these, and whether that is not what he wants. old is the object that is replaced. The
// finalizer is put back where it was: after the one that it followed.
func OnUpdate(finalizers []string, old *v1beta2.FederatedObject) ([]string, bool) {
	was := slices.Index(old.Finalizers, v1beta1.SyncFinalizer)
	if was < 0 || old.DeletionTimestamp != nil || slices.Contains(finalizers, v1beta1.SyncFinalizer) || !HoldsCopies(old.Status) {
		return finalizers, false
	}
	at := 0
	for i := was - 1; i >= 0 && at == 0; i-- {
		at = slices.Index(finalizers, old.Finalizers[i]) + 1
	}
	return slices.Insert(slices.Clone(finalizers), at, v1beta1.SyncFinalizer), true
}

// OnDeletion returns the finalizers of an object whose deletion begins, and whether the one of
// the sync controller was missing.
func OnDeletion(object *v1beta2.FederatedObject) ([]string, bool) {
	if object.DeletionTimestamp != nil || slices.Contains(object.Finalizers, v1beta1.SyncFinalizer) || !HoldsCopies(object.Status) {
		return object.Finalizers, false
	}
	return append(slices.Clone(object.Finalizers), v1beta1.SyncFinalizer), true
}
