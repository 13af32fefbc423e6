package propagation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// aborts reports whether a write is left undone that would take fields from other field managers.
func (v *view) aborts() bool {
	switch v1beta1.ConflictPolicy(v.federated.Annotations[v1beta1.ConflictsAnnotation]) {
	case v1beta1.AbortOnConflicts:
		return true
	case v1beta1.OverwriteConflicts:
		return false
	}
	return v.kind.spec.Conflicts == v1beta1.AbortOnConflicts
}

// refuseConflicts says which fields of others keep an object from being written; nil if none do.
// What looks like a change may be another way to write the same, or a default: the member is
// asked by a dry run, where there is something to ask. outrun is as for writeOnce; the error is
// memberclient.ErrTypeNotServed, if the member does not serve the version.
func (s spot) refuseConflicts(ctx context.Context, o observation, gvr schema.GroupVersionResource, existing *unstructured.Unstructured, sent map[string]any) (refused *result, outrun bool, err error) {
	if !s.aborts {
		return nil, false, nil
	}
	first, all := compose.Conflicts(existing.Object, sent, sent)
	if all == 0 {
		return nil, false, nil
	}
	becomes, err := s.conn.TryUpdate(ctx, gvr, s.namespace, s.name, sent)
	switch {
	case err == nil:
		first, all = compose.Conflicts(existing.Object, sent, becomes.Object)
	case errors.Is(err, memberclient.ErrTypeNotServed):
		return nil, false, err
	case !firstLookCounts(err):
		failed := o.failed(v1beta2.TargetUpdateFailed, memberclient.Problem(err))
		return &failed, apierrors.IsConflict(err) || apierrors.IsNotFound(err), nil
	}
	if all == 0 {
		return nil, false, nil
	}
	failed := o.failed(v1beta2.TargetConflict, ownedThere(first, all))
	return &failed, false, nil
}

// firstLookCounts reports whether a member cannot say what would become of an object: its webhooks
// have side effects, so that it takes no dry runs, or the object cannot be changed in this way at all.
func firstLookCounts(err error) bool { return apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) }

// ownedThere says what keeps a write from being done, and how to do it all the same.
func ownedThere(first []compose.Conflict, all int) string {
	var parts []string
	for _, g := range byOwner(first) {
		subject := "field " + g.paths[0] + " is"
		if len(g.paths) > 1 {
			subject = "fields " + strings.Join(g.paths, ", ") + " are"
		}
		parts = append(parts, subject+" owned by "+g.owner)
	}
	hint := fmt.Sprintf("; the annotation %s=%s takes over what others own", v1beta1.ConflictsAnnotation, v1beta1.OverwriteConflicts)
	return withHint(parts, all-len(first), hint+replicasAdvice(first))
}

// takenThere says which fields a write has taken from whom; empty if from nobody. Whom nobody
// knows, nothing is said to have been taken from.
func takenThere(first []compose.Conflict, all int) string {
	known := slices.DeleteFunc(slices.Clone(first), func(c compose.Conflict) bool { return c.Manager == "" })
	if len(known) == 0 {
		return ""
	}
	var parts []string
	for _, g := range byOwner(known) {
		parts = append(parts, strings.Join(g.paths, ", ")+" from field manager "+g.owner)
	}
	parts[0] = "the write took over " + parts[0]
	return withHint(parts, all-len(first), replicasAdvice(known))
}

// withHint joins sentences. What is too long is cut before the hint.
func withHint(parts []string, more int, hint string) string {
	text := strings.Join(parts, "; ")
	if more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return status.Cut(text, v1beta2.MaxMessageBytes-len(hint)) + hint
}

func replicasAdvice(found []compose.Conflict) string {
	if slices.ContainsFunc(found, func(c compose.Conflict) bool { return c.Path == replicasPath }) {
		return replicasHint
	}
	return ""
}

// ownedPaths are the fields of one owner.
type ownedPaths struct {
	owner string
	paths []string
}

// byOwner groups conflicts, which are sorted, by who owns the fields: in the order of first fields.
func byOwner(found []compose.Conflict) []ownedPaths {
	var out []ownedPaths
	for _, c := range found {
		owner := ownerText(c)
		at := slices.IndexFunc(out, func(g ownedPaths) bool { return g.owner == owner })
		if at < 0 {
			out, at = append(out, ownedPaths{owner: owner}), len(out)
		}
		if !slices.Contains(out[at].paths, c.Path) {
			out[at].paths = append(out[at].paths, c.Path)
		}
	}
	return out
}

func ownerText(c compose.Conflict) string {
	switch {
	case c.Manager == "":
		return "somebody whom the member does not name, since the object has no managedFields"
	case c.Subresource != "":
		return fmt.Sprintf("%q, which wrote the subresource %s", c.Manager, c.Subresource)
	}
	return fmt.Sprintf("%q", c.Manager)
}
