package serving

import (
	"bytes"
	"encoding/json"
	"mime"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// form is how a client wants objects.
type form int

const (
	asObjects form = iota
	asMetadata
	// asOther is as only upstream can write them.
	asOther
)

// formOf is the first that Accept names and that can be given. Of one that only upstream can write it is the next that can, if upstream is away.
func formOf(accept string, list, away bool) form {
	if strings.TrimSpace(accept) == "" {
		return asObjects
	}
	metadata := "PartialObjectMetadata"
	if list {
		metadata += "List"
	}
	for _, one := range strings.Split(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(one)
		if err != nil || kind != "application/json" && kind != "*/*" && kind != "application/*" {
			continue
		}
		switch as := parameters["as"]; {
		case as == "":
			return asObjects
		case as == metadata && parameters["g"] == "meta.k8s.io" && parameters["v"] == "v1":
			return asMetadata
		case !away: // upstream may know it: the client wants it more than what comes after it
			return asOther
		}
	}
	return asOther
}

// metadataOnly is an object as PartialObjectMetadata.
func metadataOnly(body []byte) ([]byte, error) {
	var o struct {
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := utiljson.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o.Metadata})
}

// builtIn are the groups of Kubernetes' own types that have a dot in their name.
var builtIn = map[string]bool{
	"admissionregistration.k8s.io": true, "apiextensions.k8s.io": true, "apiregistration.k8s.io": true, "authentication.k8s.io": true,
	"authorization.k8s.io": true, "certificates.k8s.io": true, "coordination.k8s.io": true, "discovery.k8s.io": true, "events.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, "networking.k8s.io": true, "node.k8s.io": true, "rbac.authorization.k8s.io": true, "resource.k8s.io": true,
	"scheduling.k8s.io": true, "storage.k8s.io": true, "storagemigration.k8s.io": true,
}

// item is an object as it is in a list: begun, and the rest. Those of Kubernetes' own types do not say there what they are; custom resources do.
func item(group string, body []byte) (begun string, rest []byte) {
	if strings.Contains(group, ".") && !builtIn[group] {
		return "", body
	}
	if at := bytes.Index(body, []byte(`,"metadata":`)); at > 0 && bytes.HasPrefix(body, []byte(`{"kind":`)) && !bytes.ContainsAny(body[1:at], "{[") {
		return "{", body[at+1:]
	}
	return "", body
}

// write is an object as a client wants it.
func (f form) write(body []byte) ([]byte, error) {
	if f == asMetadata {
		return metadataOnly(body)
	}
	return body, nil
}
