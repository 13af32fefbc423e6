// Package remembered answers, while the API server is away, reads that no view can have: what it answered last. These are documents, such as those of discovery, /version and
// OpenAPI, and objects that a caller may get and not list, such as a node's CSINode.
//
// An object is answered to whoever got it, and to nobody else; that there is none is remembered, too. A document is answered to every caller. What was answered last may be old: so
// nothing is answered from here while the API server answers.
package remembered

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
)

const (
	// maxDocument and maxObject are how large an answer is remembered, in bytes.
	maxDocument, maxObject = 1 << 20, 128 << 10
	// maxDocuments and maxObjects are how many are.
	maxDocuments, maxObjects = 256, 1024
	// maxObjectsOf are remembered of one who is not of the node: that there is none is remembered, too, and he may ask for ever others.
	maxObjectsOf = 128
	// maxRecording are kept at a time while they are read, of those who are not of the node, and maxRecordingOf of one: many may read slowly what is large.
	maxRecording, maxRecordingOf = 32, 4
)

// Node names programs of the node. What they were answered stays though it is refused later, as API servers refuse nodes for a moment when they start, and they could read it on disk. Nobody else
// is answered again what he may not read any more.
const Node = "node"

// Answer is what the API server said.
type Answer struct {
	Code int    `json:"code"`
	Type string `json:"type"`
	// ETag is by what the API server knows it.
	ETag string `json:"etag,omitempty"`
	Body []byte `json:"body"`
}

// Handler remembers what Next answers, and answers for it when it is away.
type Handler struct {
	next http.Handler
	// who names the caller of a request, without spaces; empty if nobody is known, for whom nothing is remembered.
	who       func(*http.Request) string
	documents *notes.Shelf[Answer]
	objects   *notes.Shelf[Answer]

	mu sync.Mutex
	// What follows is guarded by mu.

	recording   int // how many are being read
	recordingOf map[string]int
}

// New returns a handler with what a book has. What of it cannot be read is gone, and the error says so.
func New(book *notes.Book, next http.Handler, who func(*http.Request) string) (*Handler, error) {
	h := &Handler{next: next, who: who, recordingOf: map[string]int{}}
	var documents, objects error
	h.documents, documents = notes.NewShelf[Answer](book, "documents", maxDocuments)
	h.objects, objects = notes.NewShelf[Answer](book, "objects", maxObjects)
	h.objects.Bound(ownerOf, maxObjectsOf)
	return h, errors.Join(documents, objects)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	who := h.who(r)
	if who == "" || r.Header.Get("Upgrade") != "" {
		h.next.ServeHTTP(rw, r)
		return
	}
	if r.Method != http.MethodGet {
		h.write(rw, r, who)
		return
	}
	if isDocument(r.URL) && len(asked(r.URL)) == 0 {
		h.document(rw, r, who)
		return
	}
	q, ok := target.Parse(r.URL)
	if !ok || q.Name == "" || q.Subresource != "" || isLease(&q) || len(asked(r.URL)) > 0 {
		h.next.ServeHTTP(rw, r)
		return
	}
	reads, rather := readsJSON(r)
	if !reads {
		h.next.ServeHTTP(rw, r)
		return
	}
	legibly(r)
	name := objectName(who, &q, q.Name)
	w, done := h.record(rw, who, maxObject)
	defer done()
	if rather {
		w.limit = 0
	}
	w.before, w.known = h.objects.Get(name)
	w.known = w.known && (w.before.Code != http.StatusNotFound || !isMade(&q))
	h.next.ServeHTTP(w, r)
	switch {
	case w.answer.Code == http.StatusForbidden && who != Node:
		h.objects.Delete(name)
	case w.isOf(q.Name):
		keep(h.objects, name, w)
	}
}

// keep remembers an answer, if it is worth it.
func keep(shelf *notes.Shelf[Answer], name string, w *recorder) {
	if before, known := shelf.Get(name); w.whole() && (!known || !before.same(&w.answer)) {
		shelf.Put(name, w.answer)
	}
}

// document answers with one that is the same for everybody. There may be several of a path, of other types: the first that the client takes is answered.
func (h *Handler) document(rw http.ResponseWriter, r *http.Request, who string) {
	at := r.URL.Path + " "
	w, done := h.record(rw, who, maxDocument)
	defer done()
	for _, kind := range types(r.Header.Get("Accept")) {
		if w.before, w.known = h.documents.Get(at + kind); w.known {
			break
		}
	}
	legibly(r)
	h.next.ServeHTTP(w, r)
	keep(h.documents, at+typeOf(w.answer.Type), w)
}

// ETag returns by what the API server knows a document of a path and a type; empty if there is none.
func (h *Handler) ETag(path, kind string) string {
	a, _ := h.documents.Get(path + " " + typeOf(kind))
	return a.ETag
}

// Documents is how many are remembered.
func (h *Handler) Documents() int { return h.documents.Len() }

// typeOf is a media type as all write it who mean the same.
func typeOf(text string) string {
	kind, parameters, err := mime.ParseMediaType(text)
	if err != nil {
		return text
	}
	delete(parameters, "charset")
	return mime.FormatMediaType(kind, parameters)
}

// types are those that a client takes, what it would rather have first.
func types(accept string) (all []string) {
	for _, one := range strings.Split(accept, ",") {
		switch kind := typeOf(strings.TrimSpace(one)); kind {
		case "", "*/*", "application/*":
			all = append(all, "application/json")
		default:
			all = append(all, kind)
		}
	}
	return all
}

// asked is what a query asks for, but for how long and how, and by which hash a document was named.
func asked(u *url.URL) url.Values {
	query := u.Query()
	for _, key := range []string{"timeout", "resourceVersion", "timeoutSeconds", "pretty", "hash"} {
		query.Del(key)
	}
	return query
}

// isMade reports whether an object is one that its reader makes if it is said not to be there: kubelet ends if it can neither read nor make its CSINode, and goes on if it is not told whether there is one.
func isMade(q *target.Target) bool { return q.Group == "storage.k8s.io" && q.Resource == "csinodes" }

// isLease reports whether an object is one that says how things are for seconds: of then it says nothing true any more, and it is read and renewed for ever, which disks do not bear.
func isLease(q *target.Target) bool {
	return q.Group == "coordination.k8s.io" && q.Resource == "leases"
}

// objectName is what an object is kept as: for whom, and which.
func objectName(who string, q *target.Target, name string) string {
	return who + " " + q.Collection() + "/" + name
}

// ownerOf is for whom an object is kept, empty for the node.
func ownerOf(objectName string, _ Answer) string {
	who, _, _ := strings.Cut(objectName, " ")
	return strings.TrimPrefix(who, Node)
}

// readsJSON reports whether a client takes objects as JSON, and has it get them so: of anything else it is not seen what it says. rather is that it would rather have something
// else in JSON, such as a Table: it gets that, and an object only if nobody answers.
func readsJSON(r *http.Request) (reads, rather bool) {
	accept := r.Header.Get("Accept")
	if strings.TrimSpace(accept) == "" {
		return true, false
	}
	for _, one := range strings.Split(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(one)
		if err != nil || kind != "application/json" && kind != "*/*" {
			continue
		}
		if parameters["as"] != "" {
			rather = true
			continue
		}
		if !rather {
			r.Header.Set("Accept", "application/json")
		}
		return true, rather
	}
	return false, false
}

// legibly has an answer come as it is read, and not compressed as the client would take it: API servers compress discovery if there are many kinds. On the way from upstream it is compressed all the same.
func legibly(r *http.Request) { r.Header.Del("Accept-Encoding") }

// write hands on what is written, and remembers what has become of an object that the caller has read: it would be remembered as it was.
func (h *Handler) write(rw http.ResponseWriter, r *http.Request, who string) {
	q, ok := target.Parse(r.URL)
	if !ok || q.Subresource != "" && q.Subresource != "status" || isLease(&q) {
		h.next.ServeHTTP(rw, r)
		return
	}
	legible, rather := readsJSON(r)
	legibly(r)
	w, done := h.record(rw, who, maxObject)
	defer done()
	h.next.ServeHTTP(w, r)
	if w.answer.Code < 200 || w.answer.Code >= 300 {
		return
	}
	var is metav1.PartialObjectMetadata
	if json.Unmarshal(w.answer.Body, &is) != nil || is.Name == "" {
		is.Name = q.Name
	}
	name := objectName(who, &q, is.Name)
	if _, known := h.objects.Get(name); !known {
		return
	}
	if r.Method == http.MethodDelete || !legible || rather || !w.whole() || is.Kind == "Status" {
		h.objects.Delete(name)
		return
	}
	w.answer.Code = http.StatusOK
	h.objects.Put(name, w.answer)
}

// isDocument reports whether a path is one of a document that is the same for everybody. It is written in one way, so that there are no more of them than there are documents.
func isDocument(u *url.URL) bool {
	if path.Clean(u.Path) != u.Path {
		return false
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch parts[0] {
	case "version":
		return len(parts) == 1
	case "api":
		return len(parts) <= 2
	case "apis":
		return len(parts) <= 3
	case "openapi":
		return true
	case ".well-known":
		return slices.Equal(parts[1:], []string{"openid-configuration"})
	}
	return false
}

func (a *Answer) same(b *Answer) bool {
	return a.Code == b.Code && a.Type == b.Type && a.ETag == b.ETag && bytes.Equal(a.Body, b.Body)
}

// record returns a recorder; of an answer for which there is no room it keeps nothing. done is to be called when it is over.
func (h *Handler) record(rw http.ResponseWriter, who string, limit int) (w *recorder, done func()) {
	w = &recorder{ResponseWriter: rw, limit: limit}
	if who == Node {
		return w, func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.recording >= maxRecording || h.recordingOf[who] >= maxRecordingOf {
		w.limit = 0
		return w, func() {}
	}
	h.recording++
	h.recordingOf[who]++
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.recording--
		if h.recordingOf[who]--; h.recordingOf[who] == 0 {
			delete(h.recordingOf, who)
		}
	}
}

// recorder keeps what is answered, and answers what is known in place of that nobody answers.
type recorder struct {
	http.ResponseWriter
	limit  int
	before Answer
	known  bool

	answer   Answer
	replaced bool
	failed   bool
	large    bool
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(code int) {
	if code < http.StatusOK {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	if status.IsAway(w, code) && w.known {
		w.replaced = true
		w.before.write(w.ResponseWriter)
		return
	}
	header := w.Header()
	w.answer.Code, w.answer.Type, w.answer.ETag = code, header.Get("Content-Type"), header.Get("Etag")
	w.large = header.Get("Content-Encoding") != "" // though nobody has asked for that
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.replaced {
		return len(p), nil
	}
	if w.answer.Code == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.large = w.large || len(w.answer.Body)+len(p) > w.limit; w.large {
		w.answer.Body = nil
	} else {
		w.answer.Body = append(w.answer.Body, p...)
	}
	n, err := w.ResponseWriter.Write(p)
	w.failed = w.failed || err != nil
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// whole reports whether there is an answer that is worth remembering: what there is, or that there is nothing.
func (w *recorder) whole() bool {
	if w.replaced || w.failed || w.large {
		return false
	}
	if w.answer.Code == http.StatusOK || w.answer.Code == http.StatusCreated {
		return len(w.answer.Body) > 0 && (!w.isJSON() || json.Valid(w.answer.Body)) // a link that is cut in the middle leaves a part
	}
	var said metav1.Status
	return w.answer.Code == http.StatusNotFound && json.Unmarshal(w.answer.Body, &said) == nil && said.Reason == metav1.StatusReasonNotFound && said.Details != nil && said.Details.Name != ""
}

func (w *recorder) isJSON() bool {
	kind, _, _ := mime.ParseMediaType(w.answer.Type)
	return kind == "application/json"
}

// isOf reports whether what is answered is the object of a name, or that there is none, and not what somebody before the API server says for it.
func (w *recorder) isOf(name string) bool {
	if w.answer.Code == http.StatusNotFound {
		return true // as whole sees
	}
	var is metav1.PartialObjectMetadata
	return w.isJSON() && json.Unmarshal(w.answer.Body, &is) == nil && is.Name == name
}

// write answers with it.
func (a *Answer) write(rw http.ResponseWriter) {
	clear(rw.Header())
	rw.Header().Set("Content-Type", a.Type)
	rw.WriteHeader(a.Code)
	_, _ = rw.Write(a.Body)
}
