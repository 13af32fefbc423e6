package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// flushBytes is how much of a list is collected before it is written out. The library
// goes by the first write: with less than this, it would not compress the list for clients
// that ask for that.
const flushBytes = 128<<10 + 1

// buffers are reused: a list of ten thousand objects would else leave as many behind.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, flushBytes+32<<10); return &b }}

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
		return true, writeList(w, o.TypeMeta, o.ListMeta, len(o.Items), func(b []byte, i int) ([]byte, error) {
			return appendV1beta2(b, &o.Items[i])
		})
	case *typesv1beta1.FederatedObjectList:
		return true, writeList(w, o.TypeMeta, o.ListMeta, len(o.Items), func(b []byte, i int) ([]byte, error) {
			return appendV1beta1(b, &o.Items[i])
		})
	}
	return false, nil
}

// writeConverted writes a list as v1beta1.
func writeConverted(list *typesv1beta2.FederatedObjectList, w io.Writer) error {
	kind := metav1.TypeMeta{Kind: list.Kind, APIVersion: federated.V1beta1.String()}
	var item typesv1beta1.FederatedObject // one for all: only what it points to is new
	return writeList(w, kind, list.ListMeta, len(list.Items), func(b []byte, i int) ([]byte, error) {
		in := &list.Items[i]
		if err := conversion.ToV1beta1Into(in, &item); err != nil {
			return nil, fmt.Errorf("convert %s %s/%s to v1beta1: %w", in.Kind, in.Namespace, in.Name, err)
		}
		return appendV1beta1(b, &item)
	})
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

// writeList writes items as they are made, so that a large list is never in memory as
// a whole.
func writeList(w io.Writer, kind metav1.TypeMeta, meta metav1.ListMeta, n int, appendItem func([]byte, int) ([]byte, error)) error {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	b := appendKind((*pooled)[:0], kind)
	b = append(b, `,"metadata":`...)
	b, err := appendValue(b, meta)
	if err != nil {
		return err
	}
	b = append(b, `,"items":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendItem(b, i); err != nil {
			return fmt.Errorf("encode item %d: %w", i, err)
		}
		if len(b) >= flushBytes {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	b = append(b, "]}\n"...)
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
