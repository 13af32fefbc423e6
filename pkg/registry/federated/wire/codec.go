package wire

import (
	"bytes"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// NewCodec returns what objects of a kind are stored with: JSON, in v1beta2.
func NewCodec(types *Types, kind federated.Kind) runtime.Codec {
	s := NewSerializer(types)
	encoder := newJSON(types, json.SerializerOptions{})
	decoder := json.NewSerializerWithOptions(storedMeta{}, types, types, json.SerializerOptions{})
	return storedCodec{kind: kind, Codec: runtime.NewCodec(s.EncoderForVersion(encoder, federated.V1beta2), s.DecoderToVersion(decoder, federated.V1beta2))}
}

// storedCodec mends what was stored before writes were checked as they are now, when it is
// read, so that one such object does not keep clients from reading all the others: an
// object is of the kind that it is stored under, and its raw values can be read. The store
// has what is right once the object is written again.
type storedCodec struct {
	runtime.Codec
	kind federated.Kind
}

// Decode decodes a stored object.
func (c storedCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, gvk, err := c.Codec.Decode(data, defaults, into)
	o, ok := obj.(*typesv1beta2.FederatedObject)
	if !ok {
		return obj, gvk, err
	}
	o.Kind = c.kind.Kind
	makeReadable(o)
	return obj, gvk, err
}

func makeReadable(o *typesv1beta2.FederatedObject) {
	o.Spec.Template = o.Spec.Template.Readable()
	for i := range o.Spec.Overrides {
		patches := o.Spec.Overrides[i].TopologyOverrides
		for j := range patches {
			patches[j].Value = patches[j].Value.Readable()
		}
	}
	if o.Status == nil {
		return
	}
	for i := range o.Status.Targets {
		o.Status.Targets[i].RemoteStatus = o.Status.Targets[i].RemoteStatus.Readable()
	}
}

// storedMeta finds the kind of a stored object where WriteJSON has put it, in front. The
// library's way is to parse all of the object once, only for that.
type storedMeta struct{ json.SimpleMetaFactory }

var (
	storedKind    = []byte(`{"kind":"`)
	storedVersion = []byte(`","apiVersion":"` + federated.V1beta2.String() + `",`)
)

// Interpret returns the kind.
func (m storedMeta) Interpret(data []byte) (*schema.GroupVersionKind, error) {
	rest, ok := bytes.CutPrefix(data, storedKind)
	if !ok {
		return m.SimpleMetaFactory.Interpret(data)
	}
	end := bytes.IndexAny(rest, `"\`)
	if end < 0 || !bytes.HasPrefix(rest[end:], storedVersion) {
		return m.SimpleMetaFactory.Interpret(data)
	}
	gvk := federated.V1beta2.WithKind(string(rest[:end]))
	return &gvk, nil
}
