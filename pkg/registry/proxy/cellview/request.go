package cellview

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
)

// MaxBodyBytes is how much a body may have, as API servers limit it.
const MaxBodyBytes = 3 << 20

// Request is what a client sends to a cell.
type Request struct {
	Method string
	// URL has the path below the cell's endpoint, with a leading slash: /api/v1/pods. Its
	// RawPath is heeded.
	URL    *url.URL
	Header http.Header
	// Body may be nil. It is not read if Mapped.Stream is set.
	Body io.Reader
}

// Mapped is what to send to the member.
type Mapped struct {
	// Path is escaped; RawQuery is without its question mark.
	Path, RawQuery string
	// Header is a copy, with what was mapped. Headers that say who the client is are the
	// caller's to replace.
	Header http.Header
	// Body is the whole body; nil is none.
	Body []byte
	// Stream: the client's body, or its connection, is passed on as it comes.
	Stream bool
	// Writes is the object that is created, changed or deleted; nil if none is, or several are.
	Writes *Written
	// Answer maps what the member answers.
	Answer Answer
}

// Written names an object in the words of the client; it has the namespace of the view, or is that: then it has no
// name here.
type Written struct {
	Resource schema.GroupVersionResource
	Name     string
}

// Request maps a request, or refuses it. Errors are Statuses (apierrors.APIStatus) to be
// answered as they are, or those of reading the body.
func (v View) Request(r Request, scopes Scopes) (*Mapped, error) {
	t, err := v.parse(r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	if t, err = v.within(r, t, scopes); err != nil {
		return nil, err
	}
	m := &Mapped{Header: r.Header.Clone(), Answer: Answer{view: v}}
	if m.Header == nil {
		m.Header = http.Header{}
	}
	opaque := t.subresource == "proxy"
	connects := opaque || slices.Contains(connections, t.subresource)
	if isUpgrade(r.Header) && !connects {
		return nil, v.bad("upgrades connections for exec, attach, portforward and proxy only")
	}
	if t.plain != "" || opaque {
		m.Path, m.RawQuery, m.Stream = t.String(), r.URL.RawQuery, opaque
		return m, nil
	}
	query, err := v.query(r.URL.RawQuery, t)
	if err != nil {
		return nil, err
	}
	m.Path, m.RawQuery = t.String(), query.Encode()
	// Bodies are written anew, and answers can only be read as they are.
	for _, name := range []string{"Content-Length", "Range", "If-Range"} {
		m.Header.Del(name)
	}
	m.Header.Set("Accept-Encoding", "identity")
	if connects || t.subresource == "log" {
		m.Stream, m.Answer.mode = connects, failures
		return m, nil
	}
	return m, v.object(r, t, query, scopes, m)
}

// connections are subresources that turn a request into a connection.
var connections = []string{"attach", "exec", "portforward"}

// object maps what belongs to requests that send and answer objects.
func (v View) object(r Request, t target, query url.Values, scopes Scopes, m *Mapped) error {
	accepted := accept(r.Header.Values("Accept"))
	if accepted == "" {
		return v.refuse(http.StatusNotAcceptable, "answers in JSON only, not in %q", r.Header.Get("Accept"))
	}
	m.Header.Set("Accept", accepted)
	m.Answer = v.answerTo(r.Method, t, query, asksForTable(accepted))
	if isRead(r.Method) {
		m.Header.Del("Content-Type")
		return nil
	}
	m.Writes = written(t, nil)
	body, err := v.readBody(r.Body)
	if err != nil || len(body) == 0 {
		return err
	}
	media, err := v.bodyMedia(r.Header)
	if err != nil {
		return err
	}
	if m.Body, media, err = v.body(r.Method, t, media, body); err != nil {
		return err
	}
	m.Writes = written(t, m.Body)
	if v.Controller && t.isNamespaces() && t.name == "" {
		// It may make none in the member, which would refuse it, and not say that this one is there.
		return apierrors.NewAlreadyExists(t.groupResource(), v.Namespace)
	}
	if t.groupResource() == selfAccess {
		m.Body = v.narrowReview(m.Body, scopes)
	}
	m.Header.Set("Content-Type", media)
	return nil
}

// written says what a request writes. A body that creates an object has its name.
func written(t target, body []byte) *Written {
	w := &Written{Resource: schema.GroupVersionResource{Group: t.group, Version: t.version, Resource: t.resource}}
	if t.isNamespaces() {
		return w
	}
	if w.Name = t.name; w.Name == "" {
		var object metav1.PartialObjectMetadata
		// As the member reads it, which heeds how keys are written: another name could hide this one.
		if json.Unmarshal(body, &object) != nil || object.Name == "" {
			return nil
		}
		w.Name = object.Name
	}
	return w
}

// answerTo says what the member will answer.
func (v View) answerTo(method string, t target, query url.Values, table bool) Answer {
	a := Answer{view: v, mode: objects, rules: rulesFor(t), table: table}
	if t.namespace == "" && !t.isNamespaces() && !slices.Contains(selfReviews, t.groupResource()) {
		// Types without a namespace are shown as they are.
		return Answer{view: v, mode: failures}
	}
	switch {
	case t.watch || query.Has("watch") && isRead(method) && t.name == "":
		a.mode = events
	case t.name == "" && (isRead(method) || method == http.MethodDelete):
		a.mode = lists
	}
	return a
}

// readBody reads a body whole.
func (v View) readBody(body io.Reader) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(body, MaxBodyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the body of a request to cell %q of namespace %q: %w", v.Cell, v.Namespace, err)
	}
	if len(data) > MaxBodyBytes {
		return nil, v.refuse(http.StatusRequestEntityTooLarge, "takes bodies of at most %d bytes", MaxBodyBytes)
	}
	return data, nil
}

// rulesFor returns where names stand in what is sent to and answered by a path.
func rulesFor(t target) *rules { return rulesOf(t.groupResource(), t.subresource) }
