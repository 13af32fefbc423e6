package serving

import (
	"mime"
	"strings"

	"github.com/koinon-io/koinon/pkg/edgehub/protobuf"
)

// form is how a client wants objects.
type form int

const (
	asObjects form = iota
	asMetadata
	// asProtobuf and asProtobufMetadata are for who reads nothing else: JSON costs less here.
	asProtobuf
	asProtobufMetadata
	// asTable is for people while upstream is away: it has more columns of more kinds, and those of custom resources.
	asTable
	// asOther is as only upstream can write them.
	asOther
)

// formOf is the first that Accept names and that can be given of objects of a group and version, JSON before protobuf. Of one that only upstream can write it is
// the next that can, if upstream is away; and of Tables, which are a view's only then.
func formOf(accept, group, version string, list, away bool) form {
	if strings.TrimSpace(accept) == "" {
		return asObjects
	}
	metadata := "PartialObjectMetadata"
	if list {
		metadata += "List"
	}
	var ofProtobuf []form // in the client's order
	for _, one := range strings.Split(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(one)
		isProtobuf := kind == protobuf.MediaType
		if err != nil || !isProtobuf && kind != "application/json" && kind != "*/*" && kind != "application/*" {
			continue
		}
		as := asOther
		of, ofMeta := parameters["as"], parameters["g"] == "meta.k8s.io" && parameters["v"] == "v1"
		switch {
		case of == "" && !isProtobuf:
			return asObjects
		case of == "" && protobuf.Knows(group, version):
			as = asProtobuf
		case of == metadata && ofMeta && !isProtobuf:
			return asMetadata
		case of == metadata && ofMeta:
			as = asProtobufMetadata
		case of == "Table" && ofMeta && !isProtobuf && away:
			return asTable
		}
		if isProtobuf {
			ofProtobuf = append(ofProtobuf, as)
		} else if !away { // upstream may know it: the client wants it more than what comes after it
			return asOther
		}
	}
	for _, as := range ofProtobuf {
		if as != asOther || !away {
			return as
		}
	}
	return asOther
}
