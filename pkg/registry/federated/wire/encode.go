package wire

import (
	"encoding/json"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// WriteJSON writes a federated object or list as JSON and a newline, in the shape that
// its Go type has. Templates are copied, not parsed. It reports false, and writes
// nothing, for objects of other Go types.
func WriteJSON(obj runtime.Object, w io.Writer) (bool, error) {
	switch o := obj.(type) {
	case *typesv1beta2.FederatedObject:
		return true, writeOne(w, func(b []byte) ([]byte, error) { return appendV1beta2(b, o) })
	case *typesv1beta1.FederatedObject:
		return true, writeOne(w, func(b []byte) ([]byte, error) { return appendV1beta1(b, o) })
	case *typesv1beta2.FederatedObjectList:
		return true, listV1beta2(o).write(w)
	case *typesv1beta1.FederatedObjectList:
		return true, listV1beta1(o).write(w)
	}
	return false, nil
}

func writeOne(w io.Writer, appendObject func([]byte) ([]byte, error)) error {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	b, err := appendObject((*pooled)[:0])
	if err != nil {
		return err
	}
	b = append(b, '\n')
	*pooled = b
	_, err = w.Write(b)
	return err
}

func appendV1beta2(b []byte, o *typesv1beta2.FederatedObject) ([]byte, error) {
	b, err := appendHead(b, o.TypeMeta, &o.ObjectMeta)
	if err != nil {
		return nil, err
	}
	if b, err = appendTopologySpec(appendKey(b, "spec"), &o.Spec); err != nil {
		return nil, err
	}
	if o.Status != nil {
		if b, err = appendTopologyStatus(appendKey(b, "status"), o.Status); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendV1beta1(b []byte, o *typesv1beta1.FederatedObject) ([]byte, error) {
	b, err := appendHead(b, o.TypeMeta, &o.ObjectMeta)
	if err != nil {
		return nil, err
	}
	if b, err = appendClusterSpec(appendKey(b, "spec"), &o.Spec); err != nil {
		return nil, err
	}
	if o.Status != nil {
		if b, err = appendClusterStatus(appendKey(b, "status"), o.Status); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendHead begins an object: its kind and metadata.
func appendHead(b []byte, kind metav1.TypeMeta, meta *metav1.ObjectMeta) ([]byte, error) {
	return appendMeta(appendKey(appendKind(b, kind), "metadata"), meta)
}

func appendKind(b []byte, kind metav1.TypeMeta) []byte {
	b = append(b, `{"kind":"`...)
	b = append(b, kind.Kind...)
	b = append(b, `","apiVersion":"`...)
	b = append(b, kind.APIVersion...)
	return append(b, '"')
}

func appendValue(b []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(b, data...), err
}
