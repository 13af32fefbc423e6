package writes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
)

const (
	// maxQueued are kept: of more, the oldest go.
	maxQueued = 2000
	// maxQueuedOf are kept of one who is not of the node.
	maxQueuedOf = 400
	// writeEvery is how often one who is not of the node may write, who has written as much as is kept of him, and maxShares of how many that is known.
	writeEvery, maxShares = 5 * time.Second, 1024
	// maxKept is how large one may be, in bytes.
	maxKept = 64 << 10
	// triedFor is how long what its writer may not write is tried again: a pod has another token soon after the return.
	triedFor = 10 * time.Minute
	// maxFailed are how many of one user's the API server may fail to take before the rest of his waits for the next time.
	maxFailed = 3
	// sendEvery is how often it is tried.
	sendEvery = 5 * time.Second
	// maxSaid is how much of an answer is read.
	maxSaid = 64 << 10
)

// write is one that is kept.
type write struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Type   string `json:"type"`
	Body   []byte `json:"body"`
	// User is who wrote it, empty for the node itself.
	User string `json:"user,omitempty"`
}

// queue are the writes that are kept. What is said again of the same object is one write.
type queue struct {
	config *Config
	kept   *notes.Shelf[write]

	mu sync.Mutex
	// What follows is guarded by mu.

	refused map[string]time.Time // since when one is not taken, or its writer may not write it
	// shares are how often users may write, who are not of the node: each write is a write to the disk.
	shares map[string]*rate.Limiter
}

func newQueue(config *Config) (*queue, error) {
	kept, err := notes.NewShelf[write](config.Book, "writes", maxQueued)
	kept.Bound(func(_ string, w write) string { return w.User }, maxQueuedOf)
	return &queue{config: config, kept: kept, refused: map[string]time.Time{}, shares: map[string]*rate.Limiter{}}, err
}

// admits reports whether a user may write once more.
func (q *queue) admits(user string, now time.Time) bool {
	if user == "" {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	share := q.shares[user]
	if share == nil {
		if len(q.shares) >= maxShares {
			clear(q.shares)
		}
		share = rate.NewLimiter(rate.Every(writeEvery), maxQueuedOf)
		q.shares[user] = share
	}
	return share.AllowN(now, 1)
}

// put keeps a write, and returns once it is on the disk.
func (q *queue) put(name string, w write) error {
	q.mu.Lock()
	q.kept.Put(name, w)
	q.mu.Unlock()
	return q.config.Book.Flush()
}

// Queued is how many writes are kept.
func (h *Handler) Queued() int { return h.queue.kept.Len() }

// Run writes what was kept when the API server is there, until ctx ends.
func (h *Handler) Run(ctx context.Context) {
	ticker := time.NewTicker(sendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if h.config.Away() {
				h.queue.away()
			} else {
				h.queue.send(ctx)
			}
		}
	}
}

// send writes what is kept, in its order, until the API server is away. One that it fails to take hinders nobody else's, and of the same user only so many, and is tried after
// the others the next time: it may be what is written, or what is asked about it, that it cannot do, and it may be busy. It is given up, after a while, if others are taken.
func (q *queue) send(ctx context.Context) {
	failed, taken := map[string]int{}, false
	var tired []notes.Entry[write]
	for _, e := range q.inTurn() {
		if failed[e.Value.User] >= maxFailed {
			continue
		}
		done, err := q.sendOne(ctx, e.Name, &e.Value)
		var busy *busyError
		switch {
		case errors.As(err, &busy):
			failed[e.Value.User]++
			if q.longSince(e.Name) {
				tired = append(tired, e)
			}
		case err != nil:
			q.config.Logger.Debug("Failed to write what was kept", "path", e.Value.Path, "err", err)
			q.away()
			return
		case done:
			taken = true
			q.drop(e.Name, &e.Value)
		}
	}
	if !taken {
		return
	}
	for _, e := range tired {
		q.log(&e.Value, "the API server fails to take it", nil)
		q.drop(e.Name, &e.Value)
	}
}

// inTurn are those that are kept, what was not taken before behind the others.
func (q *queue) inTurn() []notes.Entry[write] {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first, later []notes.Entry[write]
	refused := map[string]time.Time{} // without those that are not kept any more
	for _, e := range q.kept.All() {
		if since, ok := q.refused[e.Name]; ok {
			refused[e.Name] = since
			later = append(later, e)
		} else {
			first = append(first, e)
		}
	}
	q.refused = refused
	return append(first, later...)
}

// away has the time that each has begin anew: nobody could take it, and its writer may have had no token yet.
func (q *queue) away() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.refused)
}

// busyError is that an API server has not taken a write, and may take it later.
type busyError struct{ status string }

func (e *busyError) Error() string { return "the API server answers " + e.status }

// drop removes a write that is done. What was said again of the same event meanwhile is merged into what made it, and is a patch of it from now on.
func (q *queue) drop(name string, w *write) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.refused, name)
	now, ok := q.kept.Get(name)
	switch {
	case !ok:
	case bytes.Equal(now.Body, w.Body) && now.Method == w.Method:
		q.kept.Delete(name)
	case now.Method == http.MethodPost:
		if since, err := since(w, &now); err == nil {
			q.kept.Put(name, since)
		}
	}
}

// since is what has come to an event after it was made.
func since(made, now *write) (write, error) {
	var is metav1.PartialObjectMetadata
	if err := json.Unmarshal(now.Body, &is); err != nil {
		return write{}, err
	}
	body, err := jsonpatch.CreateMergePatch(made.Body, now.Body)
	return write{Method: http.MethodPatch, Path: now.Path + "/" + is.Name, Type: string(types.MergePatchType), Body: body, User: now.User}, err
}

// sendOne writes one. done is that it need not be tried again: it is written, or refused. The error is a *busyError, or that the API server is away.
func (q *queue) sendOne(ctx context.Context, name string, w *write) (done bool, err error) {
	request, err := http.NewRequestWithContext(ctx, w.Method, w.Path, bytes.NewReader(w.Body))
	if err != nil {
		return true, nil // it was a request before: never
	}
	request.Header.Set("Content-Type", w.Type)
	request.Header.Set("Accept", "application/json")
	response, err := q.config.Send(request, w.User)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxSaid))
	switch code := response.StatusCode; {
	case code < 300:
		return true, nil
	case code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout:
		return false, errors.New(response.Status)
	case code == http.StatusTooManyRequests || code >= 500:
		return false, &busyError{response.Status}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return q.givenUp(name, w, said), nil
	}
	q.log(w, response.Status, said)
	return true, nil
}

// longSince reports whether one was not taken for a long time.
func (q *queue) longSince(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	since, ok := q.refused[name]
	if !ok {
		since = time.Now()
		q.refused[name] = since
	}
	return time.Since(since) >= triedFor
}

// givenUp reports whether the writer of one had time enough.
func (q *queue) givenUp(name string, w *write, said []byte) bool {
	if !q.longSince(name) {
		return false
	}
	q.log(w, "not allowed", said)
	return true
}

// log notes what is not written any more. That something is there already, or gone, is as it should be.
func (q *queue) log(w *write, why string, said []byte) {
	var s metav1.Status
	_ = json.Unmarshal(said, &s) // what is no Status has no message
	level := slog.LevelWarn
	if s.Reason == metav1.StatusReasonAlreadyExists || s.Reason == metav1.StatusReasonNotFound || s.Reason == metav1.StatusReasonConflict {
		level = slog.LevelInfo
	}
	q.config.Logger.Log(context.Background(), level, "Dropped a write that was kept while the API server was away", "method", w.Method, "path", w.Path, "why", why, "message", s.Message)
}

// userOf is who a write is kept for.
func (x *exchange) userOf() string {
	if x.caller.Local {
		return ""
	}
	return x.caller.User.Username
}

// keep keeps a write for later; false if it could not be put on disk, or may not be written.
func (x *exchange) keep(name string, w write) bool {
	if len(w.Body) > maxKept {
		return false
	}
	if w.User = x.userOf(); !x.queue.admits(w.User, x.now()) {
		return false
	}
	if err := x.queue.put(name, w); err != nil {
		x.config.Logger.Warn("Failed to keep a write", "path", w.Path, "err", err)
		return false
	}
	return true
}

// annotationOf is what flannel's annotations begin with.
const annotationOf = "flannel.alpha.coreos.com/"

// isNodePatch reports whether somebody changes the node, by its own name.
func isNodePatch(x *exchange, r *http.Request) bool {
	return r.Method == http.MethodPatch && (x.isNode(x.config.Node, "") || x.isNode(x.config.Node, "status"))
}

// nodePatch keeps flannel's annotations of the node, and answers with the node as it will be.
func (x *exchange) nodePatch(rw http.ResponseWriter, r *http.Request) bool {
	node := x.config.NodeObject()
	if node == nil || !isFlannels(x.body) || !x.may(r) {
		return false
	}
	var is metav1.PartialObjectMetadata
	if json.Unmarshal(node, &is) != nil || is.UID == "" {
		return false
	}
	contentType := r.Header.Get("Content-Type")
	if contentType != string(types.MergePatchType) && contentType != string(types.StrategicMergePatchType) {
		return false
	}
	body, err := jsonpatch.MergeMergePatches(x.body, fmt.Appendf(nil, `{"metadata":{"uid":%q}}`, is.UID))
	if err != nil {
		return false
	}
	patched, err := patch(node, body, contentType)
	if err != nil {
		return false
	}
	name := "node " + r.URL.Path + " " + x.userOf()
	if before, ok := x.queue.kept.Get(name); ok && before.Type == contentType {
		if body, err = jsonpatch.MergeMergePatches(before.Body, body); err != nil {
			return false
		}
	}
	if !x.keep(name, write{Method: http.MethodPatch, Path: r.URL.Path, Type: contentType, Body: body}) {
		return false
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(patched)
	return true
}

// isFlannels reports whether a patch is of flannel's annotations of a node, and of nothing else.
func isFlannels(body []byte) bool {
	var p map[string]map[string]map[string]json.RawMessage
	if json.Unmarshal(body, &p) != nil || len(p) != 1 || len(p["metadata"]) != 1 || len(p["metadata"]["annotations"]) == 0 {
		return false
	}
	for key := range p["metadata"]["annotations"] {
		if !strings.HasPrefix(key, annotationOf) {
			return false
		}
	}
	return true
}

// isEvent reports whether somebody says what has happened.
func isEvent(x *exchange, r *http.Request) bool {
	t := &x.target
	if t.Resource != "events" || t.Group != "" && t.Group != "events.k8s.io" || t.Subresource != "" || t.Namespace == "" {
		return false
	}
	return r.Method == http.MethodPost && t.Name == "" || r.Method == http.MethodPatch && t.Name != ""
}

// event keeps it, and answers as it will be.
func (x *exchange) event(rw http.ResponseWriter, r *http.Request) bool {
	if !x.may(r) {
		return false
	}
	if r.Method == http.MethodPatch {
		return x.eventAgain(rw, r)
	}
	object, err := x.eventObject()
	if err != nil {
		return false
	}
	body, err := json.Marshal(object)
	if err != nil {
		return false
	}
	meta := object.(metav1.Object)
	if meta.GetName() == "" || meta.GetNamespace() != "" && meta.GetNamespace() != x.target.Namespace {
		return false
	}
	if !x.keep(x.eventName(meta.GetName()), write{Method: http.MethodPost, Path: r.URL.Path, Type: "application/json", Body: body}) {
		return false
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusCreated)
	_, _ = rw.Write(body)
	return true
}

// eventObject reads an event of either group.
func (x *exchange) eventObject() (runtime.Object, error) {
	if x.target.Group == "" {
		var e corev1.Event
		err := decode(x.body, &e)
		e.APIVersion, e.Kind = "v1", "Event"
		return &e, err
	}
	var e eventsv1.Event
	err := decode(x.body, &e)
	e.APIVersion, e.Kind = "events.k8s.io/v1", "Event"
	return &e, err
}

// eventName is what an event is kept as, apart from those of others: what one has written nobody changes, and nobody else writes.
func (x *exchange) eventName(name string) string {
	return fmt.Sprintf("event %q ", x.userOf()) + x.target.Group + " " + x.target.Namespace + "/" + name
}

// eventAgain notes that an event has happened again: in the one that is kept, or as a patch of the one that the API server has.
func (x *exchange) eventAgain(rw http.ResponseWriter, r *http.Request) bool {
	contentType := types.PatchType(r.Header.Get("Content-Type"))
	if contentType != types.StrategicMergePatchType && contentType != types.MergePatchType {
		return false
	}
	name := x.eventName(x.target.Name)
	before, ok := x.queue.kept.Get(name)
	w := write{Method: http.MethodPatch, Path: r.URL.Path, Type: string(contentType), Body: x.body}
	if ok && before.Method == http.MethodPost {
		merged, err := strategicpatch.StrategicMergePatch(before.Body, x.body, &corev1.Event{})
		if err != nil {
			return false
		}
		w = write{Method: http.MethodPost, Path: before.Path, Type: before.Type, Body: merged}
	}
	if !x.keep(name, w) {
		return false
	}
	shown := w.Body
	if w.Method == http.MethodPatch { // all that is known of it
		var err error
		if shown, err = jsonpatch.MergeMergePatches(w.Body, fmt.Appendf(nil, `{"kind":"Event","apiVersion":%q,"metadata":{"name":%q,"namespace":%q}}`,
			strings.TrimPrefix(x.target.Group+"/"+x.target.Version, "/"), x.target.Name, x.target.Namespace)); err != nil {
			return false
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(shown)
	return true
}
