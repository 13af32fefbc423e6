package proxy

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
)

// protobufMagic is what bodies of Kubernetes in protobuf begin with.
const protobufMagic = 4

// asJSON reads a body of one of Kubernetes' own types that is in protobuf, as kubectl sends some, and
// writes it as JSON: in that, names can be mapped. Other bodies stay as they are. What this
// release does not know of an object would be lost on the way, so such a body is refused.
func asJSON(header http.Header, body io.Reader) (http.Header, io.Reader, error) {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != runtime.ContentTypeProtobuf || body == nil {
		return header, body, nil
	}
	data, err := io.ReadAll(io.LimitReader(body, cellview.MaxBodyBytes+1))
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("read the body: %v", err))
	}
	if len(data) > cellview.MaxBodyBytes {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a body has at most %d bytes", cellview.MaxBodyBytes))
	}
	header = header.Clone()
	header.Set("Content-Type", runtime.ContentTypeJSON)
	if len(data) == 0 {
		return header, bytes.NewReader(nil), nil
	}
	object, kind, err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Decode(data, nil, nil)
	switch {
	case runtime.IsNotRegisteredError(err):
		return nil, nil, unsupported(fmt.Sprintf("the body is in protobuf, of a type that is not known here: send it as JSON (%v)", err))
	case err != nil:
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("the body is no object in protobuf: %v", err))
	case loses(data, object):
		return nil, nil, unsupported(fmt.Sprintf("the body is in protobuf, and has fields of %s that are not known here: send it as JSON", kind.Kind))
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	var written bytes.Buffer
	if err := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{}).Encode(object, &written); err != nil {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("write the body as JSON: %w", err))
	}
	return header, &written, nil
}

// loses reports whether an object has less than the bytes that it was read from.
func loses(data []byte, object runtime.Object) bool {
	var wrapped runtime.Unknown
	sized, ok := object.(interface{ Size() int })
	return !ok || wrapped.Unmarshal(data[protobufMagic:]) != nil || sized.Size() != len(wrapped.Raw)
}

func unsupported(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType, Message: message,
	}}
}
