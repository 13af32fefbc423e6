package wire

import (
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// partBytes is how much of a list is collected before it is written out. The library
// goes by the first write: with less than this, it would not compress the list for clients
// that ask for that.
const partBytes = 128<<10 + 1

// buffers are reused: a list of ten thousand objects would else leave as many behind.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, partBytes+32<<10); return &b }}

// list is a list that is written in parts.
type list struct {
	kind metav1.TypeMeta
	meta metav1.ListMeta
	len  int
	// appendItem writes item i. It is called for each item once, in order, and by one
	// goroutine at a time.
	appendItem func(b []byte, i int) ([]byte, error)
}

func listV1beta2(l *typesv1beta2.FederatedObjectList) list {
	return list{l.TypeMeta, l.ListMeta, len(l.Items), func(b []byte, i int) ([]byte, error) {
		return appendV1beta2(b, &l.Items[i])
	}}
}

func listV1beta1(l *typesv1beta1.FederatedObjectList) list {
	return list{l.TypeMeta, l.ListMeta, len(l.Items), func(b []byte, i int) ([]byte, error) {
		return appendV1beta1(b, &l.Items[i])
	}}
}

// listConverted converts to v1beta1 while it is written, so that the list is in memory in
// one version only.
func listConverted(l *typesv1beta2.FederatedObjectList) list {
	kind := metav1.TypeMeta{Kind: l.Kind, APIVersion: federated.V1beta1.String()}
	var item typesv1beta1.FederatedObject // one for all: only what it points to is new
	return list{kind, l.ListMeta, len(l.Items), func(b []byte, i int) ([]byte, error) {
		in := &l.Items[i]
		if err := conversion.ToV1beta1Into(in, &item); err != nil {
			return nil, fmt.Errorf("convert %s %s/%s to v1beta1: %w", in.Kind, in.Namespace, in.Name, err)
		}
		return appendV1beta1(b, &item)
	}}
}

// write writes the list. While a part of it is on its way, the next one is made, by another
// goroutine: writing is mostly TLS, and takes longer than making. There are never more than
// two parts in memory.
func (l list) write(w io.Writer) error {
	first := l.part(0)
	if first.err != nil || first.next == l.len {
		return first.writeTo(w)
	}
	parts, stop := make(chan part), make(chan struct{})
	var making sync.WaitGroup
	making.Go(func() { // ends with the last part, the first error, or with stop
		defer close(parts)
		for next := first.next; next < l.len; {
			p := l.partOrPanic(next)
			select {
			case parts <- p:
			case <-stop:
				return
			}
			if p.err != nil || p.panicked != "" {
				return
			}
			next = p.next
		}
	})
	defer making.Wait()
	defer close(stop)
	if err := first.writeTo(w); err != nil {
		return err
	}
	for p := range parts {
		if err := p.writeTo(w); err != nil {
			return err
		}
	}
	return nil
}

// part is some of the JSON of a list.
type part struct {
	json *[]byte // from buffers
	next int     // the item that comes after it
	err  error
	// panicked is what was said, and where, if making it panicked.
	panicked string
}

// part makes the part that begins with item i: the first one has the head of the list, the
// last one its end.
func (l list) part(i int) part {
	pooled := buffers.Get().(*[]byte)
	b := (*pooled)[:0]
	var err error
	if i == 0 {
		if b, err = l.appendHead(b); err != nil {
			return part{err: err}
		}
	}
	for ; i < l.len && len(b) < partBytes; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = l.appendItem(b, i); err != nil {
			return part{err: fmt.Errorf("encode item %d: %w", i, err)}
		}
	}
	if i == l.len {
		b = append(b, "]}\n"...)
	}
	*pooled = b
	return part{json: pooled, next: i}
}

func (l list) appendHead(b []byte) ([]byte, error) {
	b, err := appendValue(appendKey(appendKind(b, l.kind), "metadata"), l.meta)
	return append(appendKey(b, "items"), '['), err
}

// partOrPanic is part for a goroutine that nobody watches over.
func (l list) partOrPanic(i int) (p part) {
	defer func() {
		if reason := recover(); reason != nil {
			p = part{panicked: fmt.Sprintf("%v\n%s", reason, debug.Stack())}
		}
	}()
	return l.part(i)
}

// writeTo writes the part, or fails as making it did.
func (p part) writeTo(w io.Writer) error {
	if p.panicked != "" {
		panic(p.panicked)
	}
	if p.err != nil {
		return p.err
	}
	_, err := w.Write(*p.json)
	buffers.Put(p.json)
	return err
}
