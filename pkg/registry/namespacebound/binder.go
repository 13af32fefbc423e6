package namespacebound

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// Namespaces are those of the host.
type Namespaces interface {
	// KnownUID is the UID of a namespace as a watch has shown it, and "" if it has not. It
	// does no I/O and may be late.
	KnownUID(name string) types.UID
	// CurrentUID asks the host. It is "" if there is no such namespace; an error means that
	// nobody knows.
	CurrentUID(ctx context.Context, name string) (types.UID, error)
}

// patience is how long a new object waits for the host's word on a namespace that a watch has
// shown.
const patience = time.Second

// Config is what a Binder needs. All fields but Exempt are required.
type Config struct {
	Namespaces Namespaces
	// Authorizer says who may list a kind in all namespaces.
	Authorizer authorizer.Authorizer
	// Exempt is a namespace whose objects are not bound: the system namespace, which has
	// one owner whatever its UID.
	Exempt string
}

// Binder binds the objects of any number of resources.
type Binder struct{ config Config }

// New checks the configuration.
func New(config Config) (*Binder, error) {
	if config.Namespaces == nil || config.Authorizer == nil {
		return nil, errors.New("namespacebound: namespaces and an authorizer are required")
	}
	return &Binder{config}, nil
}

// Of is the UID of the namespace that an object was made in. It is "" for objects that an
// earlier release stored, and where objects are not bound.
func Of(object metav1.Object) types.UID {
	return types.UID(object.GetAnnotations()[federationv1alpha1.NamespaceUIDAnnotation])
}

// bind writes it down. The annotations may be shared with a cache, so they are copied.
func bind(object metav1.Object, uid types.UID) {
	if uid == "" || Of(object) == uid {
		return
	}
	annotations := maps.Clone(object.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[federationv1alpha1.NamespaceUIDAnnotation] = string(uid)
	object.SetAnnotations(annotations)
}

// binds says whether an object is of the kind that is bound.
func (b *Binder) binds(object metav1.Object) bool {
	return object.GetNamespace() != "" && object.GetNamespace() != b.config.Exempt
}

// sight is what one request sees. It asks each question once.
type sight struct {
	binder   *Binder
	resource schema.GroupResource
	// current has the UIDs of namespaces that the host was asked for; nil if none.
	current map[string]types.UID
	// everything is whether the request sees objects of earlier namespaces, nil if nobody
	// has asked.
	everything *bool
}

func (b *Binder) sightOf(resource schema.GroupResource) *sight {
	return &sight{binder: b, resource: resource}
}

// Sees says whether a request is shown an object of a resource: it is for all namespaces, or may see it.
func (b *Binder) Sees(ctx context.Context, resource schema.GroupResource, object metav1.Object) (bool, error) {
	if allNamespaces(ctx) {
		return true, nil
	}
	return b.sightOf(resource).sees(ctx, object)
}

// sees says whether a request is shown an object: it belongs to the namespace, or its user may
// see it without having a right in the namespace.
func (s *sight) sees(ctx context.Context, object metav1.Object) (bool, error) {
	belongs, err := s.belongs(ctx, object)
	if belongs || err != nil {
		return belongs, err
	}
	if s.everything == nil {
		all, err := s.binder.seesAll(ctx, s.resource)
		if err != nil {
			return false, err
		}
		s.everything = &all
	}
	return *s.everything, nil
}

// belongs says whether an object belongs to the namespace that has its namespace's name now.
func (s *sight) belongs(ctx context.Context, object metav1.Object) (bool, error) {
	uid, namespace := Of(object), object.GetNamespace()
	if uid == "" || !s.binder.binds(object) || uid == s.binder.config.Namespaces.KnownUID(namespace) {
		return true, nil
	}
	current, asked := s.current[namespace]
	if !asked {
		var err error
		if current, err = s.binder.config.Namespaces.CurrentUID(ctx, namespace); err != nil {
			return false, unknown(object, err)
		}
		if s.current == nil {
			s.current = map[string]types.UID{}
		}
		s.current[namespace] = current
	}
	return uid == current, nil
}

// seesAll says whether the user of a request may list a resource in all namespaces. Without a
// user it is this process that asks.
func (b *Binder) seesAll(ctx context.Context, resource schema.GroupResource) (bool, error) {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return true, nil
	}
	attributes := authorizer.AttributesRecord{User: user, Verb: "list", APIGroup: resource.Group, Resource: resource.Resource, ResourceRequest: true}
	if info, ok := genericapirequest.RequestInfoFrom(ctx); ok {
		attributes.APIVersion = info.APIVersion
	}
	decision, _, err := b.config.Authorizer.Authorize(ctx, attributes)
	if decision != authorizer.DecisionAllow && err != nil {
		return false, apierrors.NewInternalError(fmt.Errorf("ask whether %s may list %s in all namespaces: %w", user.GetName(), resource, err))
	}
	return decision == authorizer.DecisionAllow, nil
}

// bindNew binds an object that is being made. Whatever its writer says of it is overwritten.
// The host is asked: what a watch shows may be the namespace before this one.
func (b *Binder) bindNew(ctx context.Context, object metav1.Object) error {
	if !b.binds(object) {
		return nil
	}
	known := b.config.Namespaces.KnownUID(object.GetNamespace())
	uid, err := b.ask(ctx, object.GetNamespace(), known)
	if err != nil {
		return unknown(object, err)
	}
	if uid == "" {
		return apierrors.NewNotFound(corev1.Resource("namespaces"), object.GetNamespace())
	}
	bind(object, uid)
	return nil
}

// ask returns the UID that a namespace has by now, or what is known of it if the host does not
// say soon: the store, or whoever else does not answer either, then has the last word on the
// request. If the namespace was another one, the object is hidden, and shown to nobody else.
func (b *Binder) ask(ctx context.Context, namespace string, known types.UID) (types.UID, error) {
	if known == "" {
		return b.config.Namespaces.CurrentUID(ctx, namespace)
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	uid, err := b.config.Namespaces.CurrentUID(soon, namespace)
	if err != nil {
		return known, nil
	}
	return uid, nil
}

// bindChanged keeps the binding of an object over a change; was is what it was bound to. One
// that an earlier release stored gets a binding, and so does one of an earlier namespace when
// its binding is taken off: to come here its writer had to see it.
func (b *Binder) bindChanged(ctx context.Context, object metav1.Object, was types.UID) error {
	if !b.binds(object) {
		return nil
	}
	if was != "" && (Of(object) != "" || was == b.config.Namespaces.KnownUID(object.GetNamespace())) {
		bind(object, was)
		return nil
	}
	if uid, ok := ctx.Value(uidKey{}).(types.UID); ok && was == "" {
		bind(object, uid)
		return nil
	}
	current, err := b.config.Namespaces.CurrentUID(ctx, object.GetNamespace())
	switch {
	case err == nil && current != "":
		bind(object, current)
	case was != "":
		bind(object, was)
	}
	return nil
}

type uidKey struct{}

// WithUID returns a context in which changed objects without a binding are bound to this UID:
// that of a namespace which may be gone, so that the host cannot be asked.
func WithUID(ctx context.Context, uid types.UID) context.Context {
	return context.WithValue(ctx, uidKey{}, uid)
}

// unknown answers when the host does not say which namespace there is.
func unknown(object metav1.Object, err error) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("the host does not say whether %s belongs to the namespace %s of now: %v", object.GetName(), object.GetNamespace(), err))
}
