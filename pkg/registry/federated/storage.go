package federated

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// REST is the registry of one federated kind.
type REST struct {
	*objectstore.REST
	kind Kind
}

// Categories makes "kubectl get federated" list objects of all federated kinds.
func (*REST) Categories() []string { return []string{"federated"} }

// newREST returns the registry of a kind and that of its status.
func newREST(s strategy, optsGetter generic.RESTOptionsGetter) (*REST, *objectstore.StatusREST, error) {
	kind := s.kind
	config := objectstore.Config{
		Group: GroupName, Plural: kind.Resource, Singular: kind.Singular(),
		New:            func() runtime.Object { return newOf(kind) },
		NewList:        func() runtime.Object { return newListOf(kind) },
		Strategy:       s,
		StatusStrategy: statusStrategy{s},
		Table:          tableConvertor{},
	}
	if kind.ShortName != "" {
		config.ShortNames = []string{kind.ShortName}
	}
	object, status, err := objectstore.New(config, restOptions{optsGetter, newCodec(s.Types)})
	if err != nil {
		return nil, nil, err
	}
	return &REST{object, kind}, status, nil
}

func newOf(kind Kind) *typesv1beta2.FederatedObject {
	return &typesv1beta2.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: kind.Kind, APIVersion: V1beta2.String()}}
}

func newListOf(kind Kind) *typesv1beta2.FederatedObjectList {
	return &typesv1beta2.FederatedObjectList{TypeMeta: metav1.TypeMeta{Kind: kind.ListKind(), APIVersion: V1beta2.String()}}
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
	config.EncodeVersioner = V1beta2
	options.StorageConfig = &config
	return options, nil
}
