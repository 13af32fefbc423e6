// Package protobuf writes Kubernetes' own objects as protobuf: for those who read nothing else, as views have JSON. A field that the types of k8s.io/api do not
// know yet, of a cluster that is newer than the hub, is lost on the way.
package protobuf

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	kjson "sigs.k8s.io/json"
)

// MediaType is that of an object or a list, WatchMediaType that of a watch.
const (
	MediaType      = "application/vnd.kubernetes.protobuf"
	WatchMediaType = MediaType + ";stream=watch"
)

// types are those that can be written: what programs on nodes read.
var types = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, batchv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, eventsv1.AddToScheme,
		networkingv1.AddToScheme, nodev1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, schedulingv1.AddToScheme, storagev1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
})

// Knows reports whether objects of a group and version can be written.
func Knows(group, version string) bool {
	return types().IsVersionRegistered(schema.GroupVersion{Group: group, Version: version})
}

// message is what types with a protobuf form have.
type message interface{ Marshal() ([]byte, error) }

// Kind is one kind of objects.
type Kind struct {
	kind metav1.TypeMeta
	of   reflect.Type
}

// NewKind returns a kind of Kubernetes' own; an error if there is none such here.
func NewKind(kind schema.GroupVersionKind) (*Kind, error) {
	known, ok := types().AllKnownTypes()[kind]
	if !ok || !reflect.PointerTo(known).Implements(reflect.TypeFor[message]()) {
		return nil, fmt.Errorf("%s has no protobuf form here", kind)
	}
	apiVersion, name := kind.ToAPIVersionAndKind()
	return &Kind{metav1.TypeMeta{Kind: name, APIVersion: apiVersion}, known}, nil
}

// Metadata is PartialObjectMetadata, which an object of any kind can be written as.
func Metadata() *Kind {
	return &Kind{metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: metav1.SchemeGroupVersion.String()}, reflect.TypeFor[metav1.PartialObjectMetadata]()}
}

// message is an object in JSON as a message without what it is, as elements of a list are.
func (k *Kind) message(body []byte) ([]byte, error) {
	object := reflect.New(k.of).Interface()
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, object); err != nil {
		return nil, fmt.Errorf("write a %s as protobuf: %w", k.kind.Kind, err)
	}
	return object.(message).Marshal() // NewKind has seen that it is one
}

// Object is an object in JSON as clients read it.
func (k *Kind) Object(body []byte) ([]byte, error) {
	raw, err := k.message(body)
	if err != nil {
		return nil, err
	}
	return envelope(k.kind, raw)
}

// List writes a list of objects in JSON, with one at a time in memory: as their length is before them, it goes over them twice. Who reads may be slow, and many. The error is of an object; that w
// takes nothing more is none, and ends it.
func (k *Kind) List(w io.Writer, meta metav1.ListMeta, bodies iter.Seq2[[]byte, error]) error {
	head, err := meta.Marshal()
	if err != nil {
		return err
	}
	head = appendField(nil, 1, head) // all lists are so: metadata, items
	size := uint64(len(head))
	for message, err := range k.messages(bodies) {
		if err != nil {
			return err
		}
		size += uint64(1 + len(binary.AppendUvarint(nil, uint64(len(message)))) + len(message))
	}
	begun, err := envelope(metav1.TypeMeta{Kind: k.kind.Kind + "List", APIVersion: k.kind.APIVersion}, nil)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(binary.AppendUvarint(append(begun, tag(2)), size), head...)); err != nil {
		return nil
	}
	for message, err := range k.messages(bodies) {
		if err != nil {
			return err
		}
		if _, err := w.Write(appendField(nil, 2, message)); err != nil {
			return nil
		}
	}
	return nil
}

// messages are objects as messages.
func (k *Kind) messages(bodies iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for body, err := range bodies {
			if err == nil {
				body, err = k.message(body)
			}
			if !yield(body, err) {
				return
			}
		}
	}
}

// tag is that of a field that is bytes.
func tag(number byte) byte {
	const isBytes = 2
	return number<<3 | isBytes
}

// appendField appends a field that is bytes.
func appendField(b []byte, number byte, value []byte) []byte {
	return append(binary.AppendUvarint(append(b, tag(number)), uint64(len(value))), value...)
}

// Status is a Status as clients read it.
func Status(s *metav1.Status) ([]byte, error) {
	raw, err := s.Marshal()
	if err != nil {
		return nil, err
	}
	return envelope(s.TypeMeta, raw)
}

// magic is how what is Kubernetes' protobuf begins.
var magic = []byte("k8s\x00")

// envelope says what a message is.
func envelope(kind metav1.TypeMeta, raw []byte) ([]byte, error) {
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: kind.APIVersion, Kind: kind.Kind}, Raw: raw}
	b := make([]byte, len(magic)+unknown.Size())
	if _, err := unknown.MarshalTo(b[copy(b, magic):]); err != nil {
		return nil, err
	}
	return b, nil
}

// Event is an event of a watch, with an object or a Status as clients read them.
func Event(what string, object []byte) ([]byte, error) {
	e := metav1.WatchEvent{Type: what, Object: runtime.RawExtension{Raw: object}}
	const lengthSize = 4
	b := make([]byte, lengthSize+e.Size())
	binary.BigEndian.PutUint32(b, uint32(e.Size())) // events are of objects, which are far smaller than 4 GiB
	if _, err := e.MarshalTo(b[lengthSize:]); err != nil {
		return nil, err
	}
	return b, nil
}
