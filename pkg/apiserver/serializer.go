package apiserver

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
)

// withoutProtobuf does not offer protobuf, which our kinds have no form in. The metadata
// clients of namespace deletion and garbage collection prefer protobuf where it is
// offered, and would get an error.
type withoutProtobuf struct{ runtime.NegotiatedSerializer }

// SupportedMediaTypes are the library's, but for protobuf.
func (s withoutProtobuf) SupportedMediaTypes() []runtime.SerializerInfo {
	return slices.DeleteFunc(slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes()), func(info runtime.SerializerInfo) bool {
		return info.MediaType == runtime.ContentTypeProtobuf
	})
}
