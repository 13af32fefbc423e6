// Package fedclient reads and writes federated objects of any kind, in the topology
// shape, as the one Go type they all have.
//
// The generated clientset knows kinds when it is compiled; federated kinds come and go
// with FederatedTypeConfigs. So a client here is made for a resource name, and its codec
// decodes every kind into v1beta2.FederatedObject. Clients may be used concurrently.
package fedclient

import (
	"fmt"
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Client is a client of one federated resource in one namespace, or in all of them.
type Client = gentype.ClientWithList[*v1beta2.FederatedObject, *v1beta2.FederatedObjectList]

// Factory makes clients of the federated kinds of one API group.
type Factory struct {
	rest  rest.Interface
	group schema.GroupVersion
}

// New returns a factory for the group of a FederatedTypeConfig's federatedType. The
// version is always v1beta2. It does no I/O; it fails if config cannot be used.
func New(config *rest.Config, group string) (*Factory, error) {
	gv := schema.GroupVersion{Group: group, Version: "v1beta2"}
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &gv
	config.NegotiatedSerializer = codecs{}
	config.ContentType = runtime.ContentTypeJSON
	config.AcceptContentTypes = runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", gv, err)
	}
	return &Factory{rest: client, group: gv}, nil
}

// Version is the group and version of what clients read and write.
func (f *Factory) Version() schema.GroupVersion { return f.group }

// Resource returns a client for a plural name; namespace is empty for cluster-scoped
// kinds, and to list and watch all namespaces.
func (f *Factory) Resource(plural, namespace string) *Client {
	return gentype.NewClientWithList(plural, f.rest, parameterCodec, namespace,
		func() *v1beta2.FederatedObject { return &v1beta2.FederatedObject{} },
		func() *v1beta2.FederatedObjectList { return &v1beta2.FederatedObjectList{} })
}

var (
	metaScheme     = newMetaScheme()
	parameterCodec = anyVersion{runtime.NewParameterCodec(metaScheme)}
)

// anyVersion encodes list, get and write options, which are the same in every group, for
// groups that the scheme does not know.
type anyVersion struct{ runtime.ParameterCodec }

// EncodeParameters encodes for version v1 of the meta kinds, whatever is asked for.
func (a anyVersion) EncodeParameters(object runtime.Object, _ schema.GroupVersion) (url.Values, error) {
	return a.ParameterCodec.EncodeParameters(object, schema.GroupVersion{Version: "v1"})
}

func newMetaScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme
}

// codecs decodes Status, options and watch events as such, and all else as a
// FederatedObject.
type codecs struct{}

func (codecs) SupportedMediaTypes() []runtime.SerializerInfo {
	serializer := json.NewSerializerWithOptions(json.DefaultMetaFactory, anyKind{}, anyKind{}, json.SerializerOptions{})
	return []runtime.SerializerInfo{{
		MediaType:        runtime.ContentTypeJSON,
		MediaTypeType:    "application",
		MediaTypeSubType: "json",
		EncodesAsText:    true,
		Serializer:       serializer,
		StreamSerializer: &runtime.StreamSerializerInfo{
			EncodesAsText: true,
			Serializer:    serializer,
			Framer:        json.Framer,
		},
	}}
}

func (codecs) EncoderForVersion(encoder runtime.Encoder, _ runtime.GroupVersioner) runtime.Encoder {
	return encoder
}

func (codecs) DecoderToVersion(decoder runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return decoder
}

// anyKind tells the serializer which Go type a kind is.
type anyKind struct{}

// ObjectKinds knows the meta kinds; a federated object is not registered, so that the
// serializer decodes right into it.
func (anyKind) ObjectKinds(object runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	return metaScheme.ObjectKinds(object)
}

func (anyKind) Recognizes(gvk schema.GroupVersionKind) bool { return true }

// New makes what a watch event or an error answer holds.
func (anyKind) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if metaScheme.Recognizes(gvk) {
		return metaScheme.New(gvk)
	}
	return &v1beta2.FederatedObject{}, nil
}
