package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// partly stands for the version of a member of which a client has seen only some objects: it cannot
// go on from there, since what it has seen may be gone when the rest is shown.
const partly = math.MaxUint64

const (
	// clientPatience is how long a client may take to read one write. It is the only queue: while
	// a client does not read, members are not read either.
	clientPatience = time.Minute
	// beforeBookmark is how long a bookmark waits for more events, so that there is one behind
	// each burst: only its version says something about all members.
	beforeBookmark = time.Second
)

// watching is a watch that is being answered.
type watching struct {
	*call
	cancel context.CancelFunc
	// begun is closed when the answer has begun. Nothing is written before.
	begun chan struct{}
	// stirred has a token when there is something new to look at.
	stirred chan struct{}

	mu        sync.Mutex // guards all below, and what followers share
	w         http.ResponseWriter
	followers map[string]*follower
	// seen is up to where the client has seen everything of each member, also of one that has
	// left: who goes on from there is told to list anew.
	seen versions
	// dirty: seen is another than that of the last bookmark, since a time.
	dirty      bool
	dirtySince time.Time
	// marked: the bookmark behind the objects of the beginning was sent, or nobody wants one.
	marked  bool
	columns []column // those that the client knows
	kinds   []string // what members say, one entry for each
	expired *failure
	// lastBookmark is when the last one was sent.
	lastBookmark time.Time
	writeErr     error
}

// watch answers a watch. It goes on while members come, go and fail.
func (c *call) watch(ctx context.Context, w http.ResponseWriter, scope Members) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.timeout, c.config.Watch))
	defer cancel()
	changed := scope.Watch(ctx)
	var err error
	if c.members, c.alike, err = sorted(ctx, scope); err != nil { // what changes from now on is said
		return err
	}
	from, err := c.watchFrom()
	if err != nil {
		return err
	}
	t := &watching{
		call: c, cancel: cancel, w: w, begun: make(chan struct{}), stirred: make(chan struct{}, 1),
		followers: map[string]*follower{}, seen: from, marked: !c.initial,
	}
	var all sync.WaitGroup
	defer all.Wait() // followers end with ctx
	defer cancel()
	t.follow(ctx, &all, c.members)
	if err := t.await(ctx); err != nil {
		return err
	}
	t.begin()
	for {
		next := t.bookmarkIn()
		select {
		case <-ctx.Done():
			t.end()
			return nil
		case _, open := <-changed:
			if !open {
				changed = nil
			} else if members, _, err := sorted(ctx, scope); err == nil {
				t.follow(ctx, &all, members)
			}
		case <-t.stirred:
		case <-next:
			t.bookmark()
		}
		if t.look() {
			return nil
		}
	}
}

// watchFrom is where a watch begins: of members that are not in it, with all that they have now.
func (c *call) watchFrom() (versions, error) {
	if c.initial || c.resourceVersion == "" || c.resourceVersion == "0" {
		return versions{}, nil
	}
	from, own, err := parseVersions(c.resourceVersion)
	switch {
	case err != nil:
		return nil, err
	case own:
		return nil, status(http.StatusGone, "the version is that of one cluster's object, and says nothing about other clusters: list anew, or go on from a bookmark")
	}
	known := map[uint64]bool{}
	for _, m := range c.members {
		known[hash(m.Name)] = true
	}
	for h, version := range from {
		if !known[h] {
			return nil, status(http.StatusGone, "a cluster has left the fleet since then: list anew, so that its objects are forgotten")
		}
		if version == partly {
			return nil, status(http.StatusGone, "a cluster had shown only some of its objects then: list anew")
		}
	}
	return from, nil
}

// follow begins to follow who is new, and stops to follow who has left.
func (t *watching) follow(ctx context.Context, all *sync.WaitGroup, members []Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there := map[string]bool{}
	for _, m := range members {
		there[m.Name] = true
		if f := t.followers[m.Name]; f != nil {
			f.member = m // its credentials may be others
			continue
		}
		f := newFollower(t, m, t.seen[hash(m.Name)])
		t.followers[m.Name] = f
		ctx, cancel := context.WithCancel(ctx)
		f.cancel = cancel
		all.Go(func() { f.run(ctx) }) // ends with ctx
	}
	for name, f := range t.followers {
		if there[name] {
			continue
		}
		f.cancel()
		if f.shownSome && !f.listed {
			t.seen[hash(name)] = partly
			t.soil()
		}
		delete(t.followers, name)
	}
}

// await waits until all members have begun, or failed. Once one has begun, it waits for others
// only a little: they come when they come.
func (t *watching) await(ctx context.Context) error {
	deadline := time.NewTimer(t.config.FirstAnswer + t.config.Slow)
	defer deadline.Stop()
	var enough <-chan time.Time
	for {
		asked, begun, failed := t.progress()
		if begun == 0 && len(failed) == asked && asked > 0 {
			return failed.all(t.what())
		}
		if begun+len(failed) == asked {
			return nil
		}
		if begun > 0 && enough == nil {
			timer := time.NewTimer(t.config.Slow)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough:
			return nil
		case <-deadline.C:
			if begun > 0 {
				return nil
			}
			return append(failed, t.silent()...).all(t.what())
		case <-t.stirred:
		}
	}
}

// progress says how many members are asked, how many have begun, and who has failed.
func (t *watching) progress() (asked, begun int, failed failures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.followers)) {
		switch f := t.followers[name]; {
		case f.hasBegun:
			begun++
		case f.problem != nil:
			failed = append(failed, f.problem)
		}
	}
	return len(t.followers), begun, failed
}

// silent are the members that have neither begun nor failed.
func (t *watching) silent() (out failures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.followers)) {
		if f := t.followers[name]; !f.hasBegun && f.problem == nil {
			out = append(out, failed(name, http.StatusGatewayTimeout, "it has not answered yet; its objects come once it does"))
		}
	}
	return out
}

// begin begins the answer, with warnings about who is not there yet.
func (t *watching) begin() {
	_, _, missing := t.progress()
	missing = slices.Concat(missing, t.silent(), t.alike)
	slices.SortFunc(missing, func(a, b *failure) int { return cmp.Compare(a.member, b.member) })
	missing.warn(t.w.Header())
	t.w.Header().Set("Content-Type", "application/json")
	t.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(t.w).Flush()
	close(t.begun)
}

// stir has the loop of watch look again.
func (t *watching) stir() {
	select {
	case t.stirred <- struct{}{}:
	default:
	}
}

// look ends the watch if it cannot go on, and marks the end of the beginning.
func (t *watching) look() (ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.writeErr != nil:
		return true
	case t.expired != nil:
		gone := status(http.StatusGone, fmt.Sprintf("cluster %s cannot go on with the watch: %s: list anew", t.expired.member, t.expired.reason))
		t.write(event("ERROR", mustJSON(gone.ErrStatus)))
		return true
	case !t.marked && t.complete():
		t.marked = true
		t.mark(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return false
}

// complete reports whether all members have shown what they had, or failed. t.mu is held.
func (t *watching) complete() bool {
	for _, f := range t.followers {
		if !f.listed && f.problem == nil {
			return false
		}
	}
	return t.form != formWhole || t.kind() != ""
}

// kind of objects is what most members say; "" while none has said one. t.mu is held.
func (t *watching) kind() string {
	return majority(t.kinds, func(kind string) string { return kind })
}

// bookmarkIn returns what is ready when a bookmark is due; nil while there is nothing to say.
func (t *watching) bookmarkIn() <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.bookmarks || !t.dirty || !t.marked {
		return nil
	}
	return time.After(max(time.Until(t.dirtySince.Add(beforeBookmark)), time.Until(t.lastBookmark.Add(t.config.Bookmarks))))
}

// soil notes that seen has changed. t.mu is held.
func (t *watching) soil() {
	if !t.dirty {
		t.dirty, t.dirtySince = true, time.Now()
		t.stir()
	}
}

func (t *watching) bookmark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark(nil)
}

// end sends a last bookmark, so that the client can go on from it.
func (t *watching) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bookmarks && t.dirty && t.marked {
		t.mark(nil)
	}
}

// mark sends a bookmark. t.mu is held.
func (t *watching) mark(annotations map[string]string) {
	kind, apiVersion := split(t.kind())
	switch t.form {
	case formTable:
		kind, apiVersion = tableKind, metaVersion
	case formPartial:
		kind, apiVersion = partialKind, metaVersion
	case formWhole:
	}
	if kind == "" {
		return
	}
	now := maps.Clone(t.seen)
	for _, f := range t.followers {
		if f.shownSome && !f.listed {
			now[hash(f.name)] = partly
		}
	}
	object := map[string]any{"kind": kind, "apiVersion": apiVersion, "metadata": map[string]any{"resourceVersion": now.String(), "creationTimestamp": nil, "annotations": annotations}}
	if t.form == formTable {
		object["columnDefinitions"], object["rows"] = nil, []any{}
	}
	if annotations == nil {
		delete(object["metadata"].(map[string]any), "annotations") //nolint:forcetypeassert // see above
	}
	t.dirty, t.lastBookmark = false, time.Now()
	t.write(event("BOOKMARK", mustJSON(object)))
}

func event(kind string, object []byte) []byte {
	return slices.Concat([]byte(`{"type":"`+kind+`","object":`), object, []byte("}\n"))
}

// write writes and flushes. t.mu is held.
func (t *watching) write(data []byte) {
	if t.writeErr != nil {
		return
	}
	control := http.NewResponseController(t.w)
	_ = control.SetWriteDeadline(time.Now().Add(clientPatience)) // who cannot has no deadline
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // of HTTP/2, one that is over ends a stream that is idle
	if _, t.writeErr = t.w.Write(data); t.writeErr == nil {
		_ = control.Flush()
		return
	}
	t.cancel()
}
