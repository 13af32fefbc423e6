package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const (
	// fresh is how long a request waits for a view to come as far as it wants, and first how long for one that is being filled for the
	// first time.
	fresh, first = 3 * time.Second, 10 * time.Second
	// maxSelector is how long selectors of a view may be, in bytes: views are remembered by them.
	maxSelector = 16 << 10
	// look is how often it looks.
	look = 20 * time.Millisecond
)

// Views are where answers come from.
type Views interface {
	// Find returns a complete view that has what a key selects, and what of it that is.
	Find(key view.Key) (*view.View, *view.Filter, bool)
	// Want has a view filled until done is called, at least. path is that of its list upstream, and r is who wants it. It does not wait. state returns whether
	// what the view has is as new as can be had now, and what hinders it, nil if nothing is known to.
	Want(key view.Key, path string, r *http.Request) (state func() (settled bool, err error), done func())
}

// Read is what a request reads.
type Read struct {
	// Verb is get, list or watch.
	Verb                         string
	Group, Version, Resource     string
	Namespace, Name              string // Name also of a list of just the one
	LabelSelector, FieldSelector string
}

// Config says how a Handler works. Views and Upstream are required.
type Config struct {
	Views Views
	// Upstream serves what no view can answer; it answers 502, 503 or 504 when it is away.
	Upstream http.Handler
	// Allows returns whether who makes a request may read something: nil, or an error to be a Status. Nil allows everything.
	Allows func(r *http.Request, read Read) error
	// Owner returns who alone reads what a request wants, as upstream answers each differently; empty if all do who may. Nil is nobody.
	Owner func(r *http.Request, read Read) string
	// Still returns why who makes a request may not go on with a watch that he was allowed; nil as long as he may. It is asked each StillEvery, five minutes by default, and a watch that may not
	// go on ends as one whose time is over. Nil lets everything go on.
	Still      func(r *http.Request, read Read) error
	StillEvery time.Duration
	// Rewrite returns how who makes a request has to see objects of a resource, nil for as they are.
	Rewrite func(r *http.Request, read Read) func(body []byte) ([]byte, error)
	// Local reports whether who makes a request is of the node itself. Nil is nobody.
	Local func(r *http.Request) bool
	// Away reports whether upstream is known to be away. Nil never does.
	Away func() bool
	// Unreached reports whether no API server is known to be there: the node itself does not wait for what there is now. Nil never does.
	Unreached func() bool
	// BookmarkEvery is how often a watch gets one; a minute by default.
	BookmarkEvery time.Duration
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Handler is an http.Handler for reads.
type Handler struct{ config Config }

// New returns a handler.
func New(config Config) (*Handler, error) {
	if config.Views == nil || config.Upstream == nil {
		return nil, errors.New("views, and what is upstream of them, are required")
	}
	if config.Allows == nil {
		config.Allows = func(*http.Request, Read) error { return nil }
	}
	if config.Owner == nil {
		config.Owner = func(*http.Request, Read) string { return "" }
	}
	if config.Still == nil {
		config.Still = func(*http.Request, Read) error { return nil }
	}
	if config.StillEvery == 0 {
		config.StillEvery = 5 * time.Minute
	}
	if config.Rewrite == nil {
		config.Rewrite = func(*http.Request, Read) func([]byte) ([]byte, error) { return nil }
	}
	if config.Local == nil {
		config.Local = func(*http.Request) bool { return false }
	}
	if config.Away == nil {
		config.Away = func() bool { return false }
	}
	if config.Unreached == nil {
		config.Unreached = func() bool { return false }
	}
	if config.BookmarkEvery == 0 {
		config.BookmarkEvery = time.Minute
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Handler{config}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	q, ok := reads(r)
	if !ok {
		h.config.Upstream.ServeHTTP(rw, r)
		return
	}
	query := r.URL.Query()
	options, err := optionsOf(&q, query)
	if err != nil {
		h.otherwise(rw, r, err)
		return
	}
	as := formOf(r.Header.Get("Accept"), q.Group, q.Version, q.Name == "" && !options.Watch, h.config.Away())
	if as == asOther || query.Get("pretty") != "" || query.Has("export") || query.Has("shardSelector") {
		h.config.Upstream.ServeHTTP(rw, r)
		return
	}
	key, err := keyOf(&q, query)
	if err != nil {
		h.otherwise(rw, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	if len(key.Labels)+len(key.Fields) > maxSelector {
		h.config.Upstream.ServeHTTP(rw, r)
		return
	}
	read := readOf(&q, key, options.Watch)
	if err := h.config.Allows(r, read); err != nil {
		h.otherwise(rw, r, err)
		return
	}
	key.Owner = h.config.Owner(r, read)
	v, filter, done, err := h.find(r, key, &q, options)
	defer done()
	if err != nil {
		h.unfilled(rw, r, &q, options.Watch, err)
		return
	}
	codec, err := newCodec(as, &q, v.ObjectKind(), query)
	if err != nil {
		h.otherwise(rw, r, err)
		return
	}
	a := &answer{handler: h, view: v, filter: filter, request: q, options: options, codec: codec, rewrite: h.config.Rewrite(r, read), still: func() error { return h.config.Still(r, read) }}
	switch {
	case q.Name != "":
		a.get(rw, r)
	case options.Watch:
		a.watch(rw, r)
	default:
		a.list(rw, r)
	}
}

// reads returns what a request reads; false if it is no read of objects: of anything else upstream knows.
func reads(r *http.Request) (target.Target, bool) {
	q, ok := target.Parse(r.URL)
	return q, ok && r.Method == http.MethodGet && q.Subresource == ""
}

// keyOf is the view that a request is about. That of one object is the list of those with its name.
func keyOf(q *target.Target, query url.Values) (view.Key, error) {
	if q.Name != "" {
		return view.NewKey(q.Group, q.Version, q.Resource, q.Namespace, "", fields.OneTermEqualSelector(metav1.ObjectNameField, q.Name).String())
	}
	return view.NewKey(q.Group, q.Version, q.Resource, q.Namespace, query.Get("labelSelector"), query.Get("fieldSelector"))
}

// errAway is why a view is not filled, as far as is known.
var errAway = errors.New("the API server has not answered yet")

// readOf is what a request reads. Whoever may read the one of a name may list it, and it alone.
func readOf(q *target.Target, key view.Key, watch bool) Read {
	read := Read{"list", q.Group, q.Version, q.Resource, q.Namespace, q.Name, key.Labels, key.Fields}
	switch {
	case q.Name != "":
		read.Verb, read.FieldSelector = "get", ""
		return read
	case watch:
		read.Verb = "watch"
	}
	if selector, err := fields.ParseSelector(key.Fields); err == nil {
		read.Name, _ = selector.RequiresExactMatch(metav1.ObjectNameField)
	}
	return read
}

// find returns a view, and waits for it if nobody has asked for it before, or if the client wants what there is now and it is not known whether the view has that. done is to be called
// when it is not read any more.
func (h *Handler) find(r *http.Request, key view.Key, q *target.Target, options *options) (v *view.View, filter *view.Filter, done func(), err error) {
	state, done := h.config.Views.Want(key, q.Collection(), r)
	began := time.Now()
	for {
		settled, why := state()
		old := !settled && !options.Watch && options.ResourceVersion == "" && time.Since(began) < fresh && !(h.config.Local(r) && h.config.Unreached())
		if v, filter, ok := h.config.Views.Find(key); ok && !old {
			return v, filter, done, nil
		} else if !ok && why != nil {
			return nil, nil, done, why
		}
		if time.Since(began) >= first {
			return nil, nil, done, errAway
		}
		again := time.NewTimer(look)
		select {
		case <-r.Context().Done():
			again.Stop()
			return nil, nil, done, r.Context().Err()
		case <-again.C:
		}
	}
}

// unfilled answers what nothing is filled for. Who watches has to be told why, and not be handed on: he would read past the hub for as long as his watch lasts, and have nothing when
// the API server is away. So has kubelet with its lists: it asks for what is of a pod before the API server has seen that the pod is the node's. Who else may list may not always watch, which a
// view has to, and is handed on, as is whoever watches what there is no room for.
func (h *Handler) unfilled(rw http.ResponseWriter, r *http.Request, q *target.Target, watch bool, why error) {
	var refused interface {
		error
		Refusal() (code int, body []byte)
	}
	if errors.As(why, &refused) && (watch || q.Name == "" && h.config.Local(r)) {
		if code, body := refused.Refusal(); code >= 400 && code < 600 { // what else is said instead of a list, or in an event, is no answer
			mediaType := "application/json"
			if !json.Valid(body) { // as API servers answer who asks for what they do not know
				mediaType = "text/plain; charset=utf-8"
			}
			rw.Header().Set("Content-Type", mediaType)
			rw.WriteHeader(code)
			_, _ = rw.Write(body)
			return
		}
	}
	var full interface {
		error
		Full() bool
	}
	if watch && !(errors.As(why, &full) && full.Full()) { // it is not filled yet: as a hub starts, nothing is
		status.Write(rw, apierrors.NewServiceUnavailable(fmt.Sprintf("%s is not known here yet: %s", q.Collection(), why)))
		return
	}
	h.unknown(rw, r, q, why)
}

// unknown answers what no view can. Upstream may: it says what it thinks of a resource that there is not, and of who may not read it.
func (h *Handler) unknown(rw http.ResponseWriter, r *http.Request, q *target.Target, why error) {
	h.otherwise(rw, r, apierrors.NewServiceUnavailable(fmt.Sprintf("%s is not known here, and the API server is away: %s", q.Collection(), why)))
}

// otherwise has upstream answer what no view can, and answers with a *StatusError when it is away.
func (h *Handler) otherwise(rw http.ResponseWriter, r *http.Request, status error) {
	if r.Context().Err() != nil {
		return
	}
	h.config.Logger.Debug("No view answers", "path", r.URL.Path, "err", status)
	h.config.Upstream.ServeHTTP(&honest{ResponseWriter: rw, status: status}, r)
}

// honest has what upstream cannot answer be a Status that clients understand.
type honest struct {
	http.ResponseWriter
	status error
	said   bool
}

// WriteHeader implements http.ResponseWriter.
func (h *honest) WriteHeader(code int) {
	if !status.IsAway(h, code) {
		h.ResponseWriter.WriteHeader(code)
		return
	}
	h.said = true
	clear(h.Header())
	status.Write(h.ResponseWriter, h.status)
}

// Write implements http.ResponseWriter.
func (h *honest) Write(p []byte) (int, error) {
	if h.said {
		return len(p), nil
	}
	return h.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (h *honest) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// await waits until a view has come to a version, for a while. It reports whether it has.
func await(ctx context.Context, v *view.View, version uint64) bool {
	until := time.Now().Add(fresh)
	for {
		if at, complete := v.Version(); complete && at >= version {
			return true
		}
		if time.Now().After(until) {
			return false
		}
		timer := time.NewTimer(look)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}
