package ownership

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Serializer returns a serializer of requests that reads the managedFields of objects as the
// field manager wants them: clients send them back, and may change them.
func Serializer(s runtime.NegotiatedSerializer) runtime.NegotiatedSerializer { return serializer{s} }

type serializer struct{ runtime.NegotiatedSerializer }

// DecoderToVersion returns the decoder of the serializer, and what is to be done after it.
func (s serializer) DecoderToVersion(d runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	return decoder{s.NegotiatedSerializer.DecoderToVersion(d, gv)}
}

type decoder struct{ runtime.Decoder }

// Decode decodes. An object that comes with an error may be used nevertheless.
func (d decoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, gvk, err := d.Decoder.Decode(data, defaults, into)
	if o, ok := obj.(*typesv1beta2.FederatedObject); ok && o != nil && gvk != nil {
		o.ManagedFields, _ = trackedEntries(o.ManagedFields, gvk.GroupVersion())
	}
	return obj, gvk, err
}
