package strategy

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	objectnames "github.com/koinon-io/koinon/pkg/apis/names"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// REST is the registry of one federated kind.
type REST struct {
	*objectstore.REST
	kind     federated.Kind
	rights   rights
	strategy strategy
}

// Categories makes "kubectl get federated" list objects of all federated kinds.
func (*REST) Categories() []string { return []string{"federated"} }

// Config says what is special to one kind. All fields but Annotations, Disabled, Placement,
// Contents, OtherEngine and Namespaces are required.
type Config struct {
	Types *wire.Types
	Kind  federated.Kind
	// Schema returns the schema of the target kind, nil as long as it is not known. It is
	// called when a template is checked, not before.
	Schema func() *targetschema.Target
	// Annotations returns the patterns of the annotations that propagate now. If it is nil,
	// nothing is said of annotations.
	Annotations func() manifest.Patterns
	// Disabled says whether the type is Disabled now; nil says no.
	Disabled func() bool
	// Placement checks targets at admission; nil checks nothing.
	Placement PlacementChecker
	// Contents are counted for warnings of what a FederatedNamespace takes away; nil counts nothing.
	Contents Contents
	// OtherEngine says whether another engine than ours propagates. It is asked when that makes
	// a difference to warnings; nil says no.
	OtherEngine func(context.Context) bool
	// Authorizer says who may write what gives rights in members, or deletes namespaces there.
	Authorizer authorizer.Authorizer
	// Namespaces are asked about labels that a FederatedNamespace may set; nil checks nothing.
	Namespaces HostNamespaces
}

// Storage is the registry of one kind, of its objects and of their subresources. Object
// is to be destroyed once nobody uses it any more; the others share its store.
type Storage struct {
	Object *REST
	Status *objectstore.StatusREST
	// Scale is there for every kind, whether its templates have replicas or not.
	Scale *ScaleREST
}

// NewStorage returns the registry of a kind.
func NewStorage(c Config, optsGetter generic.RESTOptionsGetter) (*Storage, error) {
	if c.Authorizer == nil {
		return nil, errors.New("strategy: Authorizer must be set")
	}
	kind := c.Kind
	s := strategy{Types: c.Types, NameGenerator: names.SimpleNameGenerator, kind: kind, placement: c.Placement, contents: c.Contents, disabled: c.Disabled, schema: c.Schema, annotations: c.Annotations, namespaces: c.Namespaces, otherEngine: c.OtherEngine}
	config := objectstore.Config{
		Group: federated.GroupName, Plural: kind.Resource, Singular: kind.Singular(),
		New:            func() runtime.Object { return newOf(kind) },
		NewList:        func() runtime.Object { return newListOf(kind) },
		Strategy:       s,
		StatusStrategy: statusStrategy{s},
		Table:          newTableConvertor(kind.Target.GroupKind()),
		// A federated object has the name of the objects that it makes.
		Names: objectnames.Of(kind.Target.GroupKind()),
	}
	if kind.ShortName != "" {
		config.ShortNames = []string{kind.ShortName}
	}
	object, status, err := objectstore.New(config, restOptions{optsGetter, wire.NewCodec(s.Types, kind)})
	if err != nil {
		return nil, err
	}
	registry := &REST{object, kind, rights{c.Authorizer, c.Namespaces, kind}, s}
	return &Storage{Object: registry, Status: status, Scale: &ScaleREST{registry}}, nil
}

func newOf(kind federated.Kind) *typesv1beta2.FederatedObject {
	return &typesv1beta2.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: kind.Kind, APIVersion: federated.V1beta2.String()}}
}

func newListOf(kind federated.Kind) *typesv1beta2.FederatedObjectList {
	return &typesv1beta2.FederatedObjectList{TypeMeta: metav1.TypeMeta{Kind: kind.ListKind(), APIVersion: federated.V1beta2.String()}}
}

// restOptions are the server's, but for the codec.
type restOptions struct {
	generic.RESTOptionsGetter
	codec runtime.Codec
}

func (o restOptions) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	// The example would have to be of the server's scheme; it serves to find the storage
	// version, which the codec knows.
	options, err := o.RESTOptionsGetter.GetRESTOptions(resource, nil)
	if err != nil {
		return generic.RESTOptions{}, err
	}
	config := storagebackend.ConfigForResource{Config: options.StorageConfig.Config, GroupResource: resource}
	config.Codec = o.codec
	config.EncodeVersioner = federated.V1beta2
	options.StorageConfig = &config
	return options, nil
}
