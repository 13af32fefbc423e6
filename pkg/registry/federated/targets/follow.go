package targets

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// follower knows what one target has, in however many watches of its member.
type follower struct {
	*watching
	cancel context.CancelFunc

	// Of the goroutine of the watch alone: whether the client knows the target, and the sum of what
	// it was told.
	told bool
	sum  [sha256.Size]byte

	// Guarded by watching.mu:
	query  query
	record typesv1beta2.TargetStatus
	seen   *seen // nil before there is an answer
	gone   bool
}

// sameAs reports whether a newer record names the same place, in an object of the same marks.
func (f *follower) sameAs(q query, record *typesv1beta2.TargetStatus) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, wasSome := placeOf(f.query.kind, f.query.object, &f.record)
	is, isSome := placeOf(q.kind, q.object, record)
	return was == is && wasSome == isSome
}

func (f *follower) update(q query, record *typesv1beta2.TargetStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.query, f.record = q, *record
	f.dirty[record.Name] = true // it is told at once
}

// stop ends the follower.
func (f *follower) stop() { f.cancel() }

// forget gives back the room of what it has seen.
func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	if f.seen != nil {
		f.budget.give(f.seen)
	}
}

// item is what is known of the target; known is false before there is an answer.
func (f *follower) item(ctx context.Context, o *typesv1beta2.FederatedObject) (item federationv1alpha1.TargetObject, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		return itemOf(ctx, o, &f.record, seen{}), false
	}
	return itemOf(ctx, o, &f.record, *f.seen), true
}

// now is what is asked for, as the federated object is now.
func (f *follower) now() (query, typesv1beta2.TargetStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.query, f.record
}

// publish has the client told of an answer.
func (f *follower) publish(s seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return
	}
	if f.seen != nil {
		f.budget.give(f.seen)
	}
	f.budget.take(&s)
	f.seen = &s
	f.dirty[f.record.Name] = true
	f.stir()
}

// run follows the target until ctx ends: it asks, then watches from there, and asks anew when the
// watch fails. Each answer passes the guard.
func (f *follower) run(ctx context.Context) {
	pause := f.reader.retry
	for ctx.Err() == nil {
		q, record := f.now()
		s, version := f.reader.look(ctx, q, &record, true)
		if ctx.Err() != nil {
			return
		}
		f.publish(s)
		begun := time.Now()
		for version != "" && ctx.Err() == nil {
			version = f.stream(ctx, version)
		}
		if time.Since(begun) > retryAtMost {
			pause = f.reader.retry
		}
		if !wait(ctx, pause) {
			return
		}
		pause = min(2*pause, retryAtMost)
	}
}

// stream watches the object from a version, and returns the version to go on from once that ended as
// watches do; empty if it has to be asked for anew.
func (f *follower) stream(ctx context.Context, version string) string {
	q, record := f.now()
	at, ok := placeOf(q.kind, q.object, &record)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithCancel(ctx)
	var guarding sync.WaitGroup
	defer guarding.Wait()
	defer cancel()
	silence := time.AfterFunc(quiet, cancel)
	defer silence.Stop()
	member, err := f.reader.Members.To(ctx, at.member)
	if err != nil {
		return ""
	}
	defer context.AfterFunc(member.Replaced, cancel)()
	guarding.Go(func() { f.whileAllowed(ctx, cancel, at) }) // ends with ctx
	answer, err := f.reader.send(ctx, at, collectionURL(at.collection(q.kind), url.Values{
		"fieldSelector": {"metadata.name=" + at.name}, "resourceVersion": {version}, "watch": {"true"}, "allowWatchBookmarks": {"true"},
	}))
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return ""
	}
	events := &bounded{from: answer.Body}
	decoder := json.NewDecoder(events)
	begun := time.Now()
	for {
		events.left = 2 * objectBytes
		var event memberEvent
		if err := decoder.Decode(&event); err != nil {
			if err == io.EOF && time.Since(begun) > f.reader.retry { //nolint:errorlint // as decoders have it
				return version
			}
			return ""
		}
		silence.Reset(quiet)
		next, ok := f.event(ctx, at, event)
		if !ok {
			return ""
		}
		version = next
	}
}

// whileAllowed ends a stream when the guard refuses it.
func (f *follower) whileAllowed(ctx context.Context, end context.CancelFunc, at place) {
	for wait(ctx, f.reader.guardAge) {
		q, record := f.now()
		if _, refused := f.reader.guard(ctx, q, record.Name, at); refused {
			end()
			return
		}
	}
}

// memberEvent is one event of a member.
type memberEvent struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// event publishes what a member says, and returns its version; ok is false if the watch cannot go on.
func (f *follower) event(ctx context.Context, at place, event memberEvent) (version string, ok bool) {
	var said struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
			Name            string `json:"name"`
		} `json:"metadata"`
	}
	if json.Unmarshal(event.Object, &said) != nil || said.Metadata.ResourceVersion == "" {
		return "", false
	}
	if event.Type == "BOOKMARK" {
		return said.Metadata.ResourceVersion, true
	}
	q, record := f.now()
	if s, refused := f.reader.guard(ctx, q, record.Name, at); refused {
		f.publish(s)
		return "", false
	}
	switch event.Type {
	case "ADDED", "MODIFIED":
		if len(event.Object) > objectBytes {
			f.publish(unknown(http.StatusServiceUnavailable, "cluster %q: its object is longer than %d MiB", at.member, objectBytes>>20))
			break
		}
		f.publish(q.fromObject(at, event.Object))
	case "DELETED":
		if said.Metadata.Name == at.name {
			f.publish(notThere(at))
		}
	default:
		return "", false
	}
	return said.Metadata.ResourceVersion, true
}

// bounded reads events of bounded length.
type bounded struct {
	from io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an event is longer than %d MiB", 2*objectBytes>>20)
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
