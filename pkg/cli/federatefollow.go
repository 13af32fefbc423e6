package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// A federated object is marked first, and its native object labelled then: the mark says that it has ended to follow, which holds until the
// controller sees the label. The other way round the controller would make a federated object that is placed nowhere.

// mark is the annotation that a federated object gets that is to follow one; empty if it is to follow none.
func (i *federatedItem) mark() string {
	if i.follows == nil {
		return ""
	}
	return following.Mark{UID: i.follows.GetUID(), Ended: true}.String()
}

// isMarkedFor reports whether a federated object follows a native one, or will once that is labelled.
func isMarkedFor(have *v1beta2.FederatedObject, object *unstructured.Unstructured) bool {
	mark := following.MarkOf(have.Annotations)
	return mark != nil && mark.UID == object.GetUID()
}

// label labels the native object of an item, unless it is labelled.
func (f *federating) label(ctx context.Context, item *federatedItem) error {
	if wanted, _, _ := following.Wanted(item.follows.GetLabels()); wanted || f.DryRun == dryRunClient || f.unserved[item.config.Name] {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": item.follows.GetUID(), "labels": map[string]any{v1beta1.FederateLabel: following.LabelTrue},
	}})
	if err != nil {
		return err
	}
	resource := item.resource.WithVersion(schema.FromAPIVersionAndKind(item.follows.GetAPIVersion(), "").Version)
	_, warnings, err := f.hub.do(ctx, sent{
		verb: http.MethodPatch, path: pathOf(resource, item.follows.GetNamespace(), item.name),
		query: writeQuery(f.DryRun == dryRunServer), body: patch, content: string(types.MergePatchType),
	})
	f.warn(item, warnings)
	if err != nil {
		return fmt.Errorf("label the object that it is to follow: %w", asSentence(err))
	}
	return nil
}
