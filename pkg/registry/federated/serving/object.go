package serving

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// Object returns an object of a kind that is served, as it is stored now; nil if there is none.
func (s *Server) Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error) {
	s.mu.Lock()
	served := s.registries[kind]
	s.mu.Unlock()
	if served == nil {
		return nil, nil
	}
	object, err := served.Object.Get(genericapirequest.WithNamespace(ctx, namespace), name, &metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stored, ok := object.(*typesv1beta2.FederatedObject)
	if !ok {
		return nil, fmt.Errorf("get %s %s/%s: got a %T", kind.Kind, namespace, name, object)
	}
	return stored, nil
}

// List returns the objects of a kind that is served, in the namespace of the context or, if that is empty,
// in all. Objects are shared.
func (s *Server) List(ctx context.Context, kind federated.Kind, options *metainternalversion.ListOptions) (*typesv1beta2.FederatedObjectList, error) {
	s.mu.Lock()
	served := s.registries[kind]
	s.mu.Unlock()
	if served == nil {
		return nil, apierrors.NewServiceUnavailable(kind.Kind + " is not served any more")
	}
	listed, err := served.Object.List(ctx, options)
	if err != nil {
		return nil, err
	}
	list, ok := listed.(*typesv1beta2.FederatedObjectList)
	if !ok {
		return nil, fmt.Errorf("list %s: got a %T", kind.Kind, listed)
	}
	return list, nil
}

// Objects calls visit for each object of a kind that is served, in a namespace or, if that is empty,
// in all, as they were some milliseconds ago. Objects are shared: visit must not modify them.
func (s *Server) Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error {
	list, err := s.List(genericapirequest.WithNamespace(ctx, namespace), kind, &metainternalversion.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if list.Items[i].Kind == "" {
			list.Items[i].Kind = kind.Kind
		}
		if err := visit(&list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// InNamespace implements strategy.Contents.
func (s *Server) InNamespace(ctx context.Context, namespace string, visit func(o *typesv1beta2.FederatedObject, disabled bool) error) error {
	for _, kind := range s.Kinds() {
		if !kind.TargetNamespaced {
			continue
		}
		disabled := s.settings(kind).Disabled
		if err := s.Objects(ctx, kind, namespace, func(o *typesv1beta2.FederatedObject) error { return visit(o, disabled) }); err != nil {
			return err
		}
	}
	return nil
}

// Encoding is how objects of a kind are stored; false if it is not served.
func (s *Server) Encoding(kind federated.Kind) (objectstore.Encoding, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	served := s.registries[kind]
	if served == nil {
		return objectstore.Encoding{}, false
	}
	return served.Object.Encoding(), true
}
