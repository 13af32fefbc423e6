package targets

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"time"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conditions"
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
	if f.query.object.Spec.TopologyType != q.object.Spec.TopologyType || !reflect.DeepEqual(f.record, *record) {
		f.dirty[record.Name] = true // it is told at once
	}
	f.query, f.record = q, *record
}

// stop ends the follower.
func (f *follower) stop() { f.cancel() }

// forget gives back the room of what it has seen.
func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen != nil && !f.gone {
		f.budget.give(f.seen)
	}
	f.gone = true
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

// run follows the target until ctx ends: it asks, then keeps up from there, and asks anew when that
// fails. Each answer passes the guard.
func (f *follower) run(ctx context.Context) {
	pause := f.reader.retry
	for ctx.Err() == nil {
		q, record := f.now()
		s, version := f.reader.look(ctx, f.reader.followers, q, &record, true)
		if ctx.Err() != nil {
			return
		}
		f.publish(s)
		begun := time.Now()
		if version != "" {
			f.keepUp(ctx, version)
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

// keepUp watches the object from a version, and reads it again when it changes, until it has to be
// asked for anew. The watch is read all the time, however long an answer takes: what nobody reads
// gathers in memory.
func (f *follower) keepUp(ctx context.Context, version string) {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	changed := make(chan struct{}, 1)
	reading.Go(func() { // ends with ctx
		defer cancel()
		f.reread(ctx, changed)
	})
	for version != "" && ctx.Err() == nil {
		version = f.stream(ctx, version, changed)
	}
}

// reread publishes the object as it is after each change, until the member does not show it.
func (f *follower) reread(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		q, record := f.now()
		s, _ := f.reader.look(ctx, f.reader.followers, q, &record, false)
		if ctx.Err() != nil {
			return // it is asked for anew
		}
		f.publish(s)
		if s.answer == conditions.Unknown || s.answer == conditions.Refused || !wait(ctx, f.reader.rereadPause) {
			return
		}
	}
}

// metadataOnly has events say that the object changed, and not to what. A change of the status shows
// in the version. Servers that do not know the form send whole objects.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// stream watches the object from a version, puts a token into changed when there is something new,
// and returns the version to go on from once the watch ended as watches do; empty if the object has
// to be asked for anew.
func (f *follower) stream(ctx context.Context, version string, changed chan<- struct{}) string {
	q, record := f.now()
	at, ok := placeOf(q.kind, q.object, &record)
	if !ok {
		return ""
	}
	if s, refused := f.reader.guard(ctx, q, record.Name, at); refused {
		f.publish(s)
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
	}), metadataOnly)
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
		events.left = eventBytes
		var event memberEvent
		if err := decoder.Decode(&event); err != nil {
			if err == io.EOF && time.Since(begun) > f.reader.retry { //nolint:errorlint // as decoders have it
				return version
			}
			return ""
		}
		silence.Reset(quiet)
		if !event.says() {
			return ""
		}
		version = event.Object.Metadata.ResourceVersion
		if event.Type != "BOOKMARK" {
			select {
			case changed <- struct{}{}:
			default: // there is one that was not taken
			}
		}
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
	Type   string `json:"type"`
	Object struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	} `json:"object"`
}

// says reports whether a watch can go on after the event.
func (e *memberEvent) says() bool {
	switch e.Type {
	case "ADDED", "MODIFIED", "DELETED", "BOOKMARK":
		return e.Object.Metadata.ResourceVersion != ""
	}
	return false
}

// bounded reads events of bounded length.
type bounded struct {
	from io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an event is longer than %d KiB", eventBytes>>10)
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
