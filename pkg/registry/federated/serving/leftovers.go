package serving

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
	"github.com/koinon-io/koinon/pkg/registry/namespacebound"
)

// Departure is a namespace that somebody deleted.
type Departure struct {
	Namespace string
	// UID tells it from namespaces of the same name before and after it.
	UID types.UID
	// Gone says that the host has it no more, and false that it still deletes its content:
	// then that of kinds that are served is the host's to delete.
	Gone bool
}

// DeleteLeftovers deletes the objects of a deleted namespace that its host does not delete,
// since their kinds are not served. One with finalizers is marked as deleted, and goes when
// its kind is served again and a controller takes them off: so an engine still finds out what
// there is to remove from members. Objects of a namespace of the same name with another UID
// are left alone.
func (s *Server) DeleteLeftovers(ctx context.Context, departure Departure) error {
	stored, err := s.config.StoredResources(ctx)
	if err != nil {
		return fmt.Errorf("find out which federated kinds are in the store: %w", err)
	}
	served := sets.New[string]()
	if !departure.Gone {
		for _, kind := range s.Kinds() {
			served.Insert(kind.Resource)
		}
	}
	var errs []error
	for _, resource := range stored {
		if served.Has(resource) {
			continue
		}
		if err := s.deleteLeftovers(ctx, resource, departure); err != nil {
			errs = append(errs, fmt.Errorf("delete %s of the namespace %s: %w", resource, departure.Namespace, err))
		}
	}
	return errors.Join(errs...)
}

// deleteLeftovers deletes those of one resource.
func (s *Server) deleteLeftovers(ctx context.Context, resource string, departure Departure) error {
	storage, release, err := s.storageOf(resource)
	if err != nil {
		return err
	}
	defer release()
	ctx = namespacebound.WithUID(genericapirequest.WithNamespace(ctx, departure.Namespace), departure.UID)
	list, err := storage.List(ctx, &metainternalversion.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	items := list.(*typesv1beta2.FederatedObjectList).Items
	for i := range items {
		if departure.includes(&items[i]) {
			errs = append(errs, deleteOne(ctx, storage, &items[i]))
		}
	}
	return errors.Join(errs...)
}

// Count returns how many objects of a resource are in the store.
func (s *Server) Count(ctx context.Context, resource string) (int64, error) {
	storage, release, err := s.storageOf(resource)
	if err != nil {
		return 0, err
	}
	defer release()
	stats, err := storage.Storage.Stats(ctx)
	return stats.ObjectCount, err
}

// storageOf returns the storage of a resource that is in the store, served or not. It is to be
// released. What is not served is read from the store, not through a watch cache, which would
// have to load all of it.
func (s *Server) storageOf(resource string) (storage *strategy.REST, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, served := range s.registries {
		if kind.Resource == resource {
			return served.Object, func() {}, nil
		}
	}
	kind := federated.Kind{Resource: resource, Namespaced: true} // each object says what it is
	opened, err := strategy.NewStorage(strategy.Config{Types: wire.NewTypes(), Kind: kind, Authorizer: s.config.Authorizer}, s.config.UncachedRESTOptions)
	if err != nil {
		return nil, nil, err
	}
	return opened.Object, opened.Object.Destroy, nil
}

// includes says whether an object goes with the namespace. Of one that an earlier release
// stored nobody wrote down which namespace it was made in; it is this one's as long as no
// other can have been made.
func (d Departure) includes(object *typesv1beta2.FederatedObject) bool {
	if object.DeletionTimestamp != nil {
		return false
	}
	uid := namespacebound.Of(object)
	return uid == d.UID || uid == "" && !d.Gone
}

func deleteOne(ctx context.Context, storage *strategy.REST, object *typesv1beta2.FederatedObject) error {
	options := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &object.UID}}
	_, _, err := storage.Delete(ctx, object.Name, rest.ValidateAllObjectFunc, options)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or another one has its name
	}
	return err
}
