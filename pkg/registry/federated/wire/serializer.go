package wire

import (
	"bytes"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
	"sigs.k8s.io/yaml"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// negotiatedSerializer speaks JSON and YAML. It must not offer protobuf: the metadata
// clients of namespace deletion and garbage collection prefer that, and would get an
// error instead of an object that has no such form.
type negotiatedSerializer struct {
	types      *Types
	mediaTypes []runtime.SerializerInfo // made once: every request asks for them
}

// NewSerializer returns what requests are decoded and responses encoded with: JSON and
// YAML, in the version that is asked for.
func NewSerializer(types *Types) runtime.NegotiatedSerializer {
	return negotiatedSerializer{types, []runtime.SerializerInfo{{
		MediaType: "application/json", MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
		Serializer:       newJSON(types, json.SerializerOptions{}),
		PrettySerializer: newJSON(types, json.SerializerOptions{Pretty: true}),
		StrictSerializer: newJSON(types, json.SerializerOptions{Strict: true}),
		StreamSerializer: &runtime.StreamSerializerInfo{EncodesAsText: true, Serializer: newJSON(types, json.SerializerOptions{}), Framer: json.Framer},
	}, {
		MediaType: "application/yaml", MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
		Serializer:       newJSON(types, json.SerializerOptions{Yaml: true}),
		StrictSerializer: newJSON(types, json.SerializerOptions{Yaml: true, Strict: true}),
	}}}
}

// SupportedMediaTypes lists JSON first: it is what a client without wishes gets.
func (s negotiatedSerializer) SupportedMediaTypes() []runtime.SerializerInfo { return s.mediaTypes }

// EncoderForVersion converts to gv, then encodes.
func (s negotiatedSerializer) EncoderForVersion(encoder runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return versionedEncoder{types: s.types, encoder: encoder, version: gv,
		identifier: runtime.Identifier("federated/" + gv.Identifier() + "/" + string(encoder.Identifier()))}
}

// DecoderToVersion decodes, sets defaults and converts to gv.
func (s negotiatedSerializer) DecoderToVersion(decoder runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	return versioning.NewCodec(nil, decoder, s.types, s.types, s.types, s.types, nil, gv, "federated")
}

// versionedEncoder converts objects to a version before it encodes them. Objects that
// many watchers wait for are encoded once.
type versionedEncoder struct {
	types      *Types
	encoder    runtime.Encoder
	version    runtime.GroupVersioner
	identifier runtime.Identifier
}

func (e versionedEncoder) Identifier() runtime.Identifier { return e.identifier }

func (e versionedEncoder) Encode(obj runtime.Object, w io.Writer) error {
	if cacheable, ok := obj.(runtime.CacheableObject); ok {
		return cacheable.CacheEncode(e.identifier, e.encode, w)
	}
	return e.encode(obj, w)
}

func (e versionedEncoder) encode(obj runtime.Object, w io.Writer) error {
	if _, ok := obj.(*runtime.Unknown); ok {
		return e.encoder.Encode(obj, w)
	}
	if list, ok := obj.(*typesv1beta2.FederatedObjectList); ok {
		if done, err := e.encodeConverted(list, w); done {
			return err
		}
	}
	version := e.version
	if kinds, unversioned, err := e.types.ObjectKinds(obj); err == nil && unversioned {
		// Status and the like are of version v1 everywhere, also where a client names no
		// version that there is.
		version = kinds[0].GroupVersion()
	}
	if status, ok := obj.(*metav1.Status); ok && status.Message == otherNamespace && isV1beta1(e.version) {
		said := *status
		said.Message = otherNamespaceInClusterWords
		obj = &said
	}
	out, err := e.types.ConvertToVersion(obj, version)
	if runtime.IsNotRegisteredError(err) {
		// Not of this group: options are of version v1, Scale is of its own group.
		out, err = e.types.ConvertToVersion(obj, schema.GroupVersions{{Version: "v1"}, ScaleKind.GroupVersion()})
	}
	if err != nil {
		return err
	}
	return e.encoder.Encode(out, w)
}

// otherNamespace is what the library says of an object that is not of its request's namespace.
// One of v1beta1 that has no metadata.namespace is of the one that its names and selectors say,
// see package conversion: who sends it is told so.
const (
	otherNamespace               = "the namespace of the provided object does not match the namespace sent on the request"
	otherNamespaceInClusterWords = "the object is of another namespace than the request: metadata.namespace says so or, where it is left out, the first cell or edge unit that spec names, as in <cell>.<namespace>"
)

func isV1beta1(version runtime.GroupVersioner) bool {
	return version.Identifier() == federated.V1beta1.Identifier()
}

// encodeConverted writes a list item by item as each is converted, so that the list is in
// memory in one version only. It reports false if no such list is wanted.
func (e versionedEncoder) encodeConverted(list *typesv1beta2.FederatedObjectList, w io.Writer) (bool, error) {
	serializer, ok := e.encoder.(*jsonSerializer)
	if !ok || serializer.options.Pretty || serializer.options.Yaml {
		return false, nil
	}
	if to, ok := pickVersion(list.GroupVersionKind(), e.version); !ok || to.Version != federated.V1beta1.Version {
		return false, nil
	}
	return true, listConverted(list).write(w)
}

// jsonSerializer is the library's serializer, but for how federated objects are
// written.
type jsonSerializer struct {
	*json.Serializer
	options    json.SerializerOptions
	identifier runtime.Identifier
}

func newJSON(types *Types, options json.SerializerOptions) runtime.Serializer {
	library := json.NewSerializerWithOptions(json.DefaultMetaFactory, types, types, options)
	return &jsonSerializer{Serializer: library, options: options, identifier: "federated-" + library.Identifier()}
}

func (s *jsonSerializer) Identifier() runtime.Identifier { return s.identifier }

// Decode finds keys that come twice inside of raw values, where the library does not look,
// in strict mode. For YAML the library has met them, but for those in an annotation.
func (s *jsonSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, gvk, err := s.Serializer.Decode(data, defaults, into)
	if obj == nil || !s.options.Strict {
		return obj, gvk, err
	}
	find := duplicateFields
	if s.options.Yaml {
		find = stashDuplicates
	}
	duplicates := find(obj)
	if len(duplicates) == 0 {
		return obj, gvk, err
	}
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		duplicates = append(strict.Errors(), duplicates...)
	} else if err != nil {
		return obj, gvk, err
	}
	return obj, gvk, runtime.NewStrictDecodingError(duplicates)
}

func (s *jsonSerializer) Encode(obj runtime.Object, w io.Writer) error {
	if cacheable, ok := obj.(runtime.CacheableObject); ok {
		return cacheable.CacheEncode(s.identifier, s.encode, w)
	}
	return s.encode(obj, w)
}

func (s *jsonSerializer) encode(obj runtime.Object, w io.Writer) error {
	if s.options.Pretty {
		return s.Serializer.Encode(obj, w)
	}
	if !s.options.Yaml {
		if done, err := WriteJSON(obj, w); done {
			return err
		}
		return s.Serializer.Encode(obj, w)
	}
	var buf bytes.Buffer
	done, err := WriteJSON(obj, &buf)
	if !done {
		return s.Serializer.Encode(obj, w)
	}
	if err != nil {
		return err
	}
	data, err := yaml.JSONToYAML(buf.Bytes())
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
