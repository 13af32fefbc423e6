package serving

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// answer answers one request from a view.
type answer struct {
	handler *Handler
	view    *view.View
	filter  *view.Filter
	request target.Target
	options *options
	codec   codec
	rewrite func([]byte) ([]byte, error) // nil for as it is
	still   func() error                 // why a watch may not go on
}

// seen is an object as the client has to see it.
func (a *answer) seen(body []byte) ([]byte, error) {
	if a.rewrite == nil {
		return body, nil
	}
	return a.rewrite(body)
}

// write is an object as the client has to see it, and in the form that it wants.
func (a *answer) write(body []byte) ([]byte, error) {
	body, err := a.seen(body)
	if err != nil {
		return nil, err
	}
	return a.codec.object(body)
}

// get answers a GET: an object, or that there is none.
func (a *answer) get(rw http.ResponseWriter, r *http.Request) {
	if !a.reaches(rw, r) {
		return
	}
	name := a.request.Name
	if a.request.Namespace != "" {
		name = a.request.Namespace + "/" + name
	}
	o, _, err := a.view.Get(name)
	switch {
	case err != nil:
		a.handler.unknown(rw, r, &a.request, err)
	case o == nil || !a.filter.Match(o):
		status.Write(rw, apierrors.NewNotFound(schema.GroupResource{Group: a.request.Group, Resource: a.request.Resource}, a.request.Name))
	default:
		body, err := a.write(o.Body)
		if err != nil {
			status.Write(rw, err)
			return
		}
		_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(reading))
		rw.Header().Set("Content-Type", a.codec.mediaType(false))
		_, _ = rw.Write(body)
		_, _ = io.WriteString(rw, a.codec.end())
	}
}

// reaches waits until the view has come to what is asked for; if it does not, that is answered.
func (a *answer) reaches(rw http.ResponseWriter, r *http.Request) bool {
	if a.options.wanted == 0 || await(r.Context(), a.view, a.options.wanted) {
		return true
	}
	a.handler.otherwise(rw, r, a.tooLarge())
	return false
}

// tooLarge is that the view has not come to what is asked for.
func (a *answer) tooLarge() error {
	at, _ := a.view.Version()
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", a.options.wanted, at), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

// token is where the next chunk of a list begins.
type token struct {
	Version uint64 `json:"v"`
	After   string `json:"after"`
	// Left is how many there are from there on.
	Left int `json:"left"`
}

// rest is what comes behind a chunk; false if it is not what there was at its moment. That other things have changed since, or that another view answers, is no matter.
func (t *token) rest(objects []*view.Object, at uint64) ([]*view.Object, bool) {
	objects = objects[sort.Search(len(objects), func(i int) bool { return objects[i].Name > t.After }):]
	later := slices.ContainsFunc(objects, func(o *view.Object) bool { return o.Version > t.Version })
	return objects, at >= t.Version && len(objects) == t.Left && !later
}

// list answers a LIST.
func (a *answer) list(rw http.ResponseWriter, r *http.Request) {
	var from token
	if text := a.options.Continue; text != "" {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			err = json.Unmarshal(raw, &from)
		}
		if err != nil || from.Version == 0 { // an API server's: it was begun there
			a.handler.otherwise(rw, r, apierrors.NewResourceExpired("the continue token is not of this server"))
			return
		}
	} else if !a.reaches(rw, r) {
		return
	}
	all, version, err := a.view.List()
	switch {
	case err != nil:
		a.handler.unknown(rw, r, &a.request, err)
		return
	case a.options.isExact() && a.options.wanted != version:
		a.handler.otherwise(rw, r, errGone)
		return
	}
	objects := a.filter.List(all)
	if from.After != "" {
		var same bool
		if objects, same = from.rest(objects, version); !same {
			status.Write(rw, errGone)
			return
		}
		version = from.Version
	}
	left, next := 0, ""
	if limit := a.options.Limit; limit > 0 && limit < int64(len(objects)) && a.options.ResourceVersion != "0" {
		left = len(objects) - int(limit)
		objects = objects[:limit]
		text, _ := json.Marshal(token{version, objects[limit-1].Name, left}) // of numbers and a string: never fails
		next = base64.RawURLEncoding.EncodeToString(text)
	}
	a.writeList(rw, objects, version, next, left)
}

// errGone is what a list is answered with whose moment has passed.
var errGone = apierrors.NewResourceExpired("what there was at this resourceVersion is not known any more")

// reading is how long a client may take to read what there is: it is kept for him meanwhile.
const reading = time.Minute

// piece is how much of a list is written at a time.
const piece = 32 << 10

// writeList writes objects as a list.
func (a *answer) writeList(rw http.ResponseWriter, objects []*view.Object, version uint64, next string, left int) {
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatUint(version, 10), Continue: next}
	if left > 0 && !a.options.selects() { // else API servers do not count
		remaining := int64(left)
		meta.RemainingItemCount = &remaining
	}
	_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(reading))
	rw.Header().Set("Content-Type", a.codec.mediaType(false))
	b := bufio.NewWriterSize(rw, piece) // and not all of it: many may read slowly what is large
	var at *view.Object
	err := a.codec.list(b, meta, func(yield func([]byte, error) bool) {
		for _, at = range objects {
			if !yield(a.seen(at.Body)) {
				return
			}
		}
	})
	if err != nil { // it was read once: this does not happen
		a.handler.config.Logger.Error("Failed to write an object of a list", "path", a.request.Collection(), "object", at.Name, "err", err)
		panic(http.ErrAbortHandler) // nobody takes the beginning of a list for all of it
	}
	_ = b.Flush()
}

// longest is how long a watch lasts that does not say so, at least, and twice that at most.
const longest = 30 * time.Minute

// longestAsked is how long one lasts that wants to for longer.
const longestAsked = 24 * time.Hour

// lasts is how long a watch lasts.
func (a *answer) lasts() time.Duration {
	if seconds := a.options.TimeoutSeconds; seconds != nil && *seconds > 0 {
		return time.Duration(min(*seconds, int64(longestAsked/time.Second))) * time.Second
	}
	return longest + rand.N(longest)
}

// watch answers a WATCH. What hinders it is an event, as API servers have it: some clients try again forever after anything else.
func (a *answer) watch(rw http.ResponseWriter, r *http.Request) {
	s := &stream{answer: a, rw: rw, control: http.NewResponseController(rw), version: a.options.wanted}
	lasts := a.lasts()
	if a.options.isInitial() && a.options.wanted > 0 && !await(r.Context(), a.view, a.options.wanted) {
		s.begin(lasts)
		s.end(a.tooLarge())
		return
	}
	var objects []*view.Object
	if a.options.isInitial() || a.options.wanted == 0 {
		all, version, err := a.view.List()
		if err != nil {
			a.handler.unknown(rw, r, &a.request, err)
			return
		}
		if a.options.isInitial() {
			objects = a.filter.List(all)
		}
		s.version = version
	}
	watcher, err := a.view.Watch(s.version)
	if err != nil && !errors.Is(err, view.ErrExpired) {
		a.handler.unknown(rw, r, &a.request, err)
		return
	}
	s.begin(lasts)
	if err != nil {
		s.end(s.tooOld())
		return
	}
	s.initial(objects)
	s.follow(r.Context(), watcher, lasts)
}
