package serving

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/edgehub/protobuf"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// codec writes what a client reads, in the form that it wants. Objects come as views have them, in JSON.
type codec interface {
	// mediaType is that of an object or a list, and of a watch.
	mediaType(watch bool) string
	// object is one as an answer, or in an event.
	object(body []byte) ([]byte, error)
	// end is behind one that is an answer.
	end() string
	// bookmark is what a bookmark has for an object.
	bookmark(meta metav1.ObjectMeta) ([]byte, error)
	// status is what the last event of a watch has for an object.
	status(s *metav1.Status) ([]byte, error)
	// event is an event of what one of the others has returned.
	event(what view.Type, object []byte) ([]byte, error)
	// list writes a list. An error is of an object; that the client has gone is none, and ends it.
	list(b *bufio.Writer, meta metav1.ListMeta, bodies iter.Seq2[[]byte, error]) error
}

// newCodec returns that of a form, for what a request asks for, which are objects of a kind. Its options are in query. An error is a *StatusError: they cannot be written so.
func newCodec(as form, q *target.Target, kind string, query url.Values) (codec, error) {
	of := schema.GroupVersionKind{Group: q.Group, Version: q.Version, Kind: kind}
	switch as {
	case asMetadata:
		return &jsonCodec{kind: metadataKind, metadata: true}, nil
	case asTable:
		return newTableCodec(q, query)
	case asProtobuf:
		protobufKind, err := protobuf.NewKind(of)
		if err != nil {
			return nil, notAcceptable(err)
		}
		return &protobufCodec{protobufKind}, nil
	case asProtobufMetadata:
		return &protobufCodec{protobuf.Metadata()}, nil
	}
	apiVersion, _ := of.ToAPIVersionAndKind()
	return &jsonCodec{kind: metav1.TypeMeta{Kind: kind, APIVersion: apiVersion}, group: q.Group}, nil
}

// notAcceptable is that objects cannot be written as a client wants them.
func notAcceptable(why error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable, Message: why.Error()}}
}

// metadataKind is what objects are of which there is the metadata only.
var metadataKind = metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: metav1.SchemeGroupVersion.String()}

// jsonCodec writes JSON: objects to the byte as they are, or their metadata.
type jsonCodec struct {
	kind     metav1.TypeMeta
	group    string
	metadata bool
}

func (c *jsonCodec) mediaType(bool) string { return "application/json" }

func (c *jsonCodec) object(body []byte) ([]byte, error) {
	if c.metadata {
		return metadataOnly(body)
	}
	return body, nil
}

func (c *jsonCodec) end() string { return "\n" }

func (c *jsonCodec) bookmark(meta metav1.ObjectMeta) ([]byte, error) {
	return json.Marshal(map[string]any{
		"kind": c.kind.Kind, "apiVersion": c.kind.APIVersion,
		"metadata": map[string]any{"resourceVersion": meta.ResourceVersion, "creationTimestamp": nil, "annotations": meta.Annotations},
	})
}

func (c *jsonCodec) status(s *metav1.Status) ([]byte, error) { return json.Marshal(s) }

func (c *jsonCodec) event(what view.Type, object []byte) ([]byte, error) {
	return fmt.Appendf(nil, `{"type":%q,"object":%s}`+"\n", what, object), nil
}

func (c *jsonCodec) list(b *bufio.Writer, meta metav1.ListMeta, bodies iter.Seq2[[]byte, error]) error {
	list := struct {
		metav1.TypeMeta
		metav1.ListMeta `json:"metadata"`
		Items           []any `json:"items"`
	}{metav1.TypeMeta{Kind: c.kind.Kind + "List", APIVersion: c.kind.APIVersion}, meta, []any{}}
	return writeElements(b, list, bodies, func(body []byte) ([]byte, error) {
		if c.metadata {
			return c.object(body)
		}
		return item(c.group, body), nil
	})
}

// writeElements writes what ends with an empty list of elements, with each as write has it, and one at a time in memory. The error is of an object; that the client has gone is none, and ends it.
func writeElements(b *bufio.Writer, empty any, bodies iter.Seq2[[]byte, error], write func(body []byte) ([]byte, error)) error {
	const end = "]}"
	head, err := json.Marshal(empty)
	if err != nil {
		return err
	}
	_, _ = b.Write(bytes.TrimSuffix(head, []byte(end)))
	first := true
	for body, err := range bodies {
		if err == nil {
			body, err = write(body)
		}
		if err != nil {
			return err
		}
		if !first {
			_ = b.WriteByte(',')
		}
		first = false
		if _, err := b.Write(body); err != nil {
			return nil
		}
	}
	_, _ = b.WriteString(end + "\n")
	return nil
}

// metadataOnly is an object as PartialObjectMetadata.
func metadataOnly(body []byte) ([]byte, error) {
	var o struct {
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := utiljson.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"kind": metadataKind.Kind, "apiVersion": metadataKind.APIVersion, "metadata": o.Metadata})
}

// builtIn are the groups of Kubernetes' own types that have a dot in their name.
var builtIn = map[string]bool{
	"admissionregistration.k8s.io": true, "apiextensions.k8s.io": true, "apiregistration.k8s.io": true, "authentication.k8s.io": true,
	"authorization.k8s.io": true, "certificates.k8s.io": true, "coordination.k8s.io": true, "discovery.k8s.io": true, "events.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, "networking.k8s.io": true, "node.k8s.io": true, "rbac.authorization.k8s.io": true, "resource.k8s.io": true,
	"scheduling.k8s.io": true, "storage.k8s.io": true, "storagemigration.k8s.io": true,
}

// item is an object as it is in a list. Those of Kubernetes' own types do not say there what they are; custom resources do.
func item(group string, body []byte) []byte {
	if strings.Contains(group, ".") && !builtIn[group] {
		return body
	}
	if at := bytes.Index(body, []byte(`,"metadata":`)); at > 0 && bytes.HasPrefix(body, []byte(`{"kind":`)) && !bytes.ContainsAny(body[1:at], "{[") {
		return append([]byte("{"), body[at+1:]...)
	}
	return body
}

// protobufCodec writes protobuf.
type protobufCodec struct{ *protobuf.Kind }

func (c *protobufCodec) mediaType(watch bool) string {
	if watch {
		return protobuf.WatchMediaType
	}
	return protobuf.MediaType
}

func (c *protobufCodec) object(body []byte) ([]byte, error) { return c.Object(body) }

func (c *protobufCodec) end() string { return "" }

func (c *protobufCodec) bookmark(meta metav1.ObjectMeta) ([]byte, error) {
	body, err := json.Marshal(metav1.PartialObjectMetadata{ObjectMeta: meta})
	if err != nil {
		return nil, err
	}
	return c.Object(body)
}

func (c *protobufCodec) status(s *metav1.Status) ([]byte, error) { return protobuf.Status(s) }

func (c *protobufCodec) event(what view.Type, object []byte) ([]byte, error) {
	return protobuf.Event(string(what), object)
}

func (c *protobufCodec) list(b *bufio.Writer, meta metav1.ListMeta, bodies iter.Seq2[[]byte, error]) error {
	return c.List(b, meta, bodies)
}
