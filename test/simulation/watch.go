package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultWatch is how long a watch lasts if its client does not say.
const defaultWatch = 30 * time.Minute

// watcher is one watch. It keeps nothing of what it is to send but where it is in the log.
type watcher struct {
	member   *Member
	of       *registry
	selected selection
	form     form
	events   eventWriter
	flush    func()
	epoch    int
	seen     uint64 // the version up to which it has sent
	q        *request
	// bookmarks: the client wants them.
	bookmarks bool
}

func (m *Member) serveWatch(w http.ResponseWriter, r *http.Request, of *registry, q *request) error {
	f, err := negotiate(r, true)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	selected, err := selectionOf(query, q.namespace, of)
	if err != nil {
		return err
	}
	begin, err := beginningOf(query)
	if err != nil {
		return err
	}
	seconds, _ := strconv.Atoi(query.Get("timeoutSeconds"))
	lasts := time.Duration(seconds) * time.Second
	if lasts <= 0 {
		lasts = defaultWatch
	}
	ctx, cancel := context.WithTimeout(r.Context(), lasts)
	defer cancel()
	watcher := &watcher{
		member: m, of: of, selected: selected, form: f, events: f.events(w), q: q,
		flush: func() { _ = http.NewResponseController(w).Flush() },
	}
	watcher.bookmarks, _ = strconv.ParseBool(query.Get("allowWatchBookmarks"))
	w.WriteHeader(http.StatusOK)
	watcher.flush()
	watcher.run(ctx, begin)
	return nil
}

// beginning says what a watch sends first.
type beginning struct {
	from    uint64
	objects bool // those that are there now
	marked  bool // and a bookmark after them
}

func beginningOf(query url.Values) (beginning, error) {
	text := query.Get("resourceVersion")
	initial, _ := strconv.ParseBool(query.Get("sendInitialEvents"))
	if initial && query.Get("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan) {
		return beginning{}, apierrors.NewBadRequest("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
	}
	if initial || text == "" || text == "0" {
		return beginning{objects: true, marked: initial}, nil
	}
	from, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return beginning{}, apierrors.NewBadRequest("resourceVersion: Invalid value: " + strconv.Quote(text))
	}
	return beginning{from: from}, nil
}

func (w *watcher) run(ctx context.Context, begin beginning) {
	if w.begin(begin) != nil {
		return
	}
	bookmark := time.NewTicker(w.member.options.Bookmarks)
	defer bookmark.Stop()
	for {
		changes, changed, err := w.next()
		if errors.Is(err, errExpired) {
			w.expired()
		}
		if err != nil || w.send(changes) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-bookmark.C:
			if w.bookmarks && w.bookmark(nil) != nil {
				return
			}
		}
	}
}

func (w *watcher) begin(begin beginning) error {
	w.member.mu.Lock()
	w.epoch, w.seen = w.of.epoch, begin.from
	var items []*stored
	if begin.objects {
		w.seen, items = w.member.revision, w.of.list(w.selected)
	}
	w.member.mu.Unlock()
	w.member.counts.showed(w.of.GroupVersionResource, len(items))
	for _, item := range items {
		if err := w.events.write("ADDED", w.form.of(item)); err != nil {
			return err
		}
	}
	if begin.marked {
		return w.bookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	w.flush()
	return nil
}

var (
	// errEnded: the member ends the watch.
	errEnded = errors.New("watch ended")
	// errExpired: changes that the watch has not sent are forgotten.
	errExpired = errors.New("watch expired")
)

// next returns the changes that the watch has not sent, and what is closed at the next one.
func (w *watcher) next() ([]change, <-chan struct{}, error) {
	w.member.mu.Lock()
	defer w.member.mu.Unlock()
	switch {
	case w.epoch != w.of.epoch:
		return nil, nil, errEnded
	case w.seen < w.of.compacted:
		return nil, nil, errExpired
	}
	changes := w.of.since(w.seen)
	w.seen = max(w.seen, w.member.revision) // bookmarks move on with other types
	return changes, w.of.wait(), nil
}

// expired sends the error that ends a watch from too far back.
func (w *watcher) expired() {
	status := statusOf(apierrors.NewResourceExpired("too old resource version: " + strconv.FormatUint(w.seen, 10)))
	data, err := json.Marshal(status)
	if err == nil && w.events.write("ERROR", data) == nil {
		w.flush()
	}
}

func (w *watcher) send(changes []change) error {
	drop, duplicate := w.member.traps.spoil(w.q)
	for _, c := range changes {
		before, after := w.selected.has(c.before), w.selected.has(c.after)
		if !before && !after {
			continue
		}
		object, kind := c.after, "MODIFIED"
		switch {
		case !before:
			kind = "ADDED"
		case !after:
			kind, object = "DELETED", c.before.at(c.revision)
		}
		happens := func(what string, rate float64) bool {
			return rate > 0 && fraction(w.member.traps.seed, what, string(object.uid), strconv.FormatUint(c.revision, 10)) < rate
		}
		times := 1
		switch {
		case happens("drop", drop):
			w.member.counts.dropped.Add(1)
			continue
		case happens("duplicate", duplicate):
			times = 2
		}
		events := w.member.traps.onTheWay(WatchEvent{Kind: kind, Resource: w.of.GroupVersionResource, Namespace: object.namespace, Name: object.name, Revision: c.revision, object: object})
		w.member.counts.showed(w.of.GroupVersionResource, len(events)*times)
		for _, e := range slices.Repeat(events, times) {
			if err := w.events.write(e.Kind, w.form.of(e.object)); err != nil {
				return err
			}
		}
	}
	if len(changes) > 0 {
		w.flush()
	}
	return nil
}

func (w *watcher) bookmark(annotations map[string]string) error {
	meta := map[string]any{"resourceVersion": strconv.FormatUint(w.seen, 10), "creationTimestamp": nil}
	if annotations != nil {
		meta["annotations"] = annotations
	}
	object := map[string]any{"kind": w.of.Kind, "apiVersion": w.of.GroupVersion().String(), "metadata": meta}
	if w.form.metadataOnly {
		object["kind"], object["apiVersion"] = "PartialObjectMetadata", "meta.k8s.io/v1"
	}
	err := w.events.write("BOOKMARK", encode(object))
	w.flush()
	return err
}
