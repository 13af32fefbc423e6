package cell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/guard"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

// maxNamed is how many of the objects in a cell are named to who wants to delete it.
const maxNamed = 10

// Federated are the federated objects.
type Federated interface {
	// Kinds are those that are served, in an order.
	Kinds() []federated.Kind
	// Objects calls visit for each object of a namespace. Objects are shared: visit must not modify them.
	Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*v1beta2.FederatedObject) error) error
}

// Namespaces are those of the host.
type Namespaces interface {
	// IsEnding reports whether a namespace is being deleted, or gone.
	IsEnding(ctx context.Context, name string) (bool, error)
}

// Deletions say what a cell may be deleted with.
type Deletions struct {
	// Federated are asked what is in a cell; nil: nothing is.
	Federated  Federated
	Namespaces Namespaces
	// OtherEngine says whether another engine than ours propagates; nil says no. That one leaves what is in a
	// cell where it is, and nobody waits for it.
	OtherEngine func(context.Context) bool
}

// REST serves Cells. One with federated objects in it is deleted only where its policy is to drain it, or
// its namespace is being deleted: see ADR 42.
type REST struct {
	*seats.REST
	deletions Deletions
}

// Delete deletes a cell, or begins to if it has finalizers.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	return r.REST.Delete(ctx, name, r.empty(validate), options)
}

// DeleteCollection deletes cells.
func (r *REST) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions, list *metainternalversion.ListOptions) (runtime.Object, error) {
	return r.REST.DeleteCollection(ctx, r.empty(validate), options, list)
}

// empty refuses the deletion of a cell with objects in it. What it returns is for one request: each
// namespace is looked at once.
func (r *REST) empty(validate rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	var mu sync.Mutex
	looked := map[string]contents{} // by namespace; guarded by mu
	return func(ctx context.Context, obj runtime.Object) error {
		if validate != nil {
			if err := validate(ctx, obj); err != nil {
				return err
			}
		}
		cell := obj.(*v1alpha1.Cell)
		if cell.DeletionTimestamp != nil || cell.Spec.DeletionPolicy == v1alpha1.DeletionDrains || !r.deletions.counts(ctx) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		in, ok := looked[cell.Namespace]
		if !ok {
			var err error
			if in, err = r.deletions.look(ctx, cell.Namespace); err != nil {
				return apierrors.NewInternalError(fmt.Errorf("look for federated objects in cell %q: %w", cell.Name, err))
			}
			looked[cell.Namespace] = in
		}
		if objects := in[cell.Name]; len(objects) > 0 {
			return apierrors.NewConflict(r.DefaultQualifiedResource, cell.Name, fmt.Errorf(
				"%s in it: take the cell out of their placement, or set spec.deletionPolicy to %s, which has them removed from member %q first",
				named(objects), v1alpha1.DeletionDrains, cell.Spec.ClusterName))
		}
		return nil
	}
}

func (d Deletions) counts(ctx context.Context) bool {
	return d.Federated != nil && (d.OtherEngine == nil || !d.OtherEngine(ctx))
}

// contents are the federated objects in cells, by cell.
type contents map[string][]string

// look returns what is in the cells of a namespace: nothing that counts, if it is being deleted.
func (d Deletions) look(ctx context.Context, namespace string) (contents, error) {
	ending, err := d.Namespaces.IsEnding(ctx, namespace)
	if err != nil || ending {
		return nil, err
	}
	in := contents{}
	for _, kind := range d.Federated.Kinds() {
		if !kind.Namespaced {
			continue
		}
		err := d.Federated.Objects(ctx, kind, namespace, func(object *v1beta2.FederatedObject) error {
			in.add(kind.Resource+"/"+object.Name, object)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return in, nil
}

// add notes the cells in which an object is, as its status records.
func (c contents) add(name string, object *v1beta2.FederatedObject) {
	if object.Status == nil {
		return
	}
	for _, target := range object.Status.Targets {
		cell := target.Name
		if topology.Base(object.Spec.TopologyType) != v1beta2.TopologyCell {
			of, namespace, ok := topology.Split(v1beta2.TopologyCell, target.Name)
			if !ok || namespace != object.Namespace {
				continue
			}
			cell = of
		}
		if guard.HasCopy(target) {
			c[cell] = append(c[cell], name)
		}
	}
}

// named says which objects there are, as the beginning of a sentence.
func named(objects []string) string {
	slices.Sort(objects)
	switch more := len(objects) - maxNamed; {
	case len(objects) == 1:
		return fmt.Sprintf("the federated object %s is", objects[0])
	case more > 0:
		return fmt.Sprintf("%d federated objects (%s and %d more) are", len(objects), strings.Join(objects[:maxNamed], ", "), more)
	}
	return fmt.Sprintf("%d federated objects (%s) are", len(objects), strings.Join(objects, ", "))
}
