package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"weak"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/edgehub/jsonspan"
)

// Object is one as upstream sent it. Nobody changes it.
type Object struct {
	// Name is NAMESPACE/NAME, or NAME of what has no namespace.
	Name string
	// Version is the resourceVersion.
	Version uint64
	// Body is JSON.
	Body []byte
}

// partial is what is read of an object. Names of fields are as they are written, and no other: a custom resource may have a Metadata beside its metadata.
type partial struct {
	Metadata struct {
		Name            string `json:"name"`
		Namespace       string `json:"namespace"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
}

// ParseVersion reads a resourceVersion. Those of Kubernetes' API servers are numbers that grow.
func ParseVersion(text string) (uint64, error) {
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the resourceVersion %q is no number", text)
	}
	return version, nil
}

// nameOf is the name of an object within its kind.
func nameOf(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// objects are those that there are, each once.
type objects struct {
	mu   sync.Mutex
	byID map[identity]weak.Pointer[Object] // guarded by mu; what nobody has any more is removed
}

type identity struct {
	kind, name string
	version    uint64
}

// parse reads an object of a kind, and of a namespace if that is not empty. The one that is there already is returned, if it is the same.
func (all *objects) parse(kind, namespace string, body []byte) (*Object, error) {
	var p partial
	if err := utiljson.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("an object that is no JSON: %w", err)
	}
	if p.Metadata.Name == "" || strings.ContainsAny(p.Metadata.Namespace+p.Metadata.Name, "/\x00") {
		return nil, fmt.Errorf("an object of %s with the name %q in the namespace %q", kind, p.Metadata.Name, p.Metadata.Namespace)
	}
	if namespace != "" && p.Metadata.Namespace != namespace {
		return nil, fmt.Errorf("an object of %s in the namespace %q, and not in %q", kind, p.Metadata.Namespace, namespace)
	}
	name := nameOf(p.Metadata.Namespace, p.Metadata.Name)
	version, err := ParseVersion(p.Metadata.ResourceVersion)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return all.share(kind, &Object{name, version, body}), nil
}

// share returns the object that is there already, if it is the same, or else the one that it is given.
func (all *objects) share(kind string, o *Object) *Object {
	id := identity{kind, o.Name, o.Version}
	all.mu.Lock()
	defer all.mu.Unlock()
	if before := all.byID[id].Value(); before != nil && before.same(o) {
		return before
	}
	if all.byID == nil {
		all.byID = map[identity]weak.Pointer[Object]{}
	}
	all.byID[id] = weak.Make(o)
	runtime.AddCleanup(o, all.forget, id)
	return o
}

// same reports whether an object says the same. With one resourceVersion it does, though API servers may write it in another order; only one that was
// set back can have another object of it, and one of another version see it otherwise.
func (o *Object) same(other *Object) bool { return sameJSON(o.Body, other.Body) }

// sameJSON reports whether two texts say the same.
func sameJSON(one, other []byte) bool {
	if bytes.Equal(one, other) {
		return true
	}
	var a, b any
	return json.Unmarshal(one, &a) == nil && json.Unmarshal(other, &b) == nil && reflect.DeepEqual(a, b)
}

// isSeenAgain reports whether another object is this one, as an API server of another version sees it, which knows more fields, or other defaults. Its metadata says the same, and so who wrote it, and when: that of what was
// written in its place after an API server was set back does not.
func (o *Object) isSeenAgain(other *Object) bool {
	mine, ok := jsonspan.Value(o.Body, "metadata")
	theirs, also := jsonspan.Value(other.Body, "metadata")
	return ok && also && o.Version == other.Version && sameJSON(o.Body[mine.From:mine.To], other.Body[theirs.From:theirs.To])
}

// forget removes an object that nobody has any more.
func (all *objects) forget(id identity) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byID[id].Value() == nil {
		delete(all.byID, id)
	}
}

// at returns an object with another resourceVersion. All else of it is as it was, to the byte.
func (o *Object) at(version uint64) (*Object, error) {
	if version == o.Version {
		return o, nil
	}
	metadata, ok := jsonspan.Value(o.Body, "metadata")
	if !ok {
		return nil, errors.New("there is no metadata")
	}
	at, ok := jsonspan.Value(o.Body[metadata.From:metadata.To], "resourceVersion")
	if !ok {
		return nil, errors.New("there is no resourceVersion")
	}
	text := strconv.AppendQuote(nil, strconv.FormatUint(version, 10))
	return &Object{o.Name, version, slices.Concat(o.Body[:metadata.From+at.From], text, o.Body[metadata.From+at.To:])}, nil
}
