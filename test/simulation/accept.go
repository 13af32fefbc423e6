package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// form is how a client wants its answer.
type form struct{ metadataOnly, protobuf bool }

const protobufType = "application/vnd.kubernetes.protobuf"

// negotiate takes the first form of the Accept header that there is. Whole objects are JSON.
func negotiate(r *http.Request, watches bool) (form, error) {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return form{}, nil
	}
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, parameters, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		as := parameters["as"]
		f := form{metadataOnly: strings.HasPrefix(as, "PartialObjectMetadata"), protobuf: mediaType == protobufType}
		switch {
		case as != "" && !f.metadataOnly:
			continue
		case mediaType == "application/json", mediaType == "*/*", mediaType == "application/*":
			return f, nil
		case f.protobuf && watches && f.metadataOnly:
			return f, nil
		}
	}
	return form{}, notAcceptable()
}

// of returns an object in this form, as JSON.
func (f form) of(o *stored) []byte {
	if f.metadataOnly {
		return o.metadata()
	}
	return o.data
}

// codecs know the types of API machinery.
var codecs = func() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		panic(err)
	}
	return serializer.NewCodecFactory(scheme)
}()

// eventWriter writes the events of a watch.
type eventWriter interface {
	// write sends an object as JSON, or a Status.
	write(kind string, object []byte) error
}

func (f form) events(w http.ResponseWriter) eventWriter {
	if !f.protobuf {
		w.Header().Set("Content-Type", "application/json")
		return jsonEvents{w}
	}
	w.Header().Set("Content-Type", protobufType+";stream=watch")
	for _, info := range codecs.SupportedMediaTypes() {
		if info.MediaType == protobufType {
			return protobufEvents{info, info.StreamSerializer.Framer.NewFrameWriter(w)}
		}
	}
	panic("simulation: API machinery has no protobuf")
}

type jsonEvents struct{ io.Writer }

func (j jsonEvents) write(kind string, object []byte) error {
	_, err := fmt.Fprintf(j, "{\"type\":%q,\"object\":%s}\n", kind, object)
	return err
}

type protobufEvents struct {
	info  runtime.SerializerInfo
	frame io.Writer
}

func (p protobufEvents) write(kind string, object []byte) error {
	var decoded runtime.Object = &metav1.PartialObjectMetadata{}
	if kind == "ERROR" {
		decoded = &metav1.Status{}
	}
	if err := json.Unmarshal(object, decoded); err != nil {
		return err
	}
	var inner bytes.Buffer
	if err := p.info.Serializer.Encode(decoded, &inner); err != nil {
		return err
	}
	event := &metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: inner.Bytes()}}
	return p.info.StreamSerializer.Serializer.Encode(event, p.frame)
}
