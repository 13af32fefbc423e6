package memberclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// A type's watch is begun so often: a reflector begins the next one at once if the last
	// has shown anything, and a member may end each. They are meant to last 5 to 10 minutes.
	watchEvery, watchBurst = 5 * time.Second, 10
	// watchGrace is how long after the time that was asked for a watch is ended by us.
	watchGrace = 30 * time.Second
	// Events of one member that are looked at, all types together. Beyond them the member
	// waits, or ends the watch and is asked again for what came later. We write no more than
	// memberQPS objects a second.
	eventsPerSecond, eventBurst = 1000, 20000
)

// watch watches the managed objects of the type from a version on.
func (c *Cache) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	c.conn.sleep(ctx, c.starts.Reserve().Delay())
	limit := time.Duration(*options.TimeoutSeconds)*time.Second + watchGrace
	request, cancel := context.WithTimeout(asStream(ctx), limit)
	if !c.cutWith(cancel) {
		cancel()
		return nil, apierrors.NewResourceExpired(eventsLost)
	}
	body, err := c.stream(request, options)
	if err != nil {
		cancel()
		if utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) {
			return watch.NewEmptyWatch(), nil // nothing was lost: from the same version on
		}
		return nil, err
	}
	w := &liveWatch{results: make(chan watch.Event), body: body, cancel: cancel}
	// Ends with ctx, at the latest with the deadline, or with the member's events.
	go w.run(ctx, request, c)
	return w, nil
}

// eventsLost is why a watch is ended of which upkeep has found that it shows not everything.
const eventsLost = "events were lost"

// cutWith says how the watch that begins is ended, unless everything is to be listed first.
func (c *Cache) cutWith(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cancel
	return !c.anew
}

func (c *Cache) stream(ctx context.Context, options metav1.ListOptions) (io.ReadCloser, error) {
	q := query{resource: c.servedVersion(), keep: c.keep}
	return c.conn.client.Get().AbsPath(q.path()).SetHeader("Accept", q.accept("PartialObjectMetadata")).
		Param("watch", "true").
		Param("labelSelector", managedSelector).
		Param("resourceVersion", options.ResourceVersion).
		Param("allowWatchBookmarks", "true").
		Param("timeoutSeconds", strconv.FormatInt(*options.TimeoutSeconds, 10)).
		Stream(ctx)
}

// liveWatch reads events of objects, one at a time, and gives events of Lives.
type liveWatch struct {
	results chan watch.Event
	body    io.ReadCloser
	cancel  context.CancelFunc
}

// ResultChan implements watch.Interface.
func (w *liveWatch) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface.
func (w *liveWatch) Stop() { w.cancel() }

// run gives events until request ends, which is part of ctx.
func (w *liveWatch) run(ctx, request context.Context, c *Cache) {
	defer close(w.results)
	defer func() { _ = w.body.Close() }()
	defer w.cancel()
	for decoder := json.NewDecoder(w.body); ; {
		var read watchedEvent
		err := decoder.Decode(&read)
		if err == nil && c.conn.events.Wait(request) != nil {
			return
		}
		event := c.event(read, err)
		if event == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case w.results <- *event:
		}
		if event.Type == watch.Error {
			return
		}
	}
}

// watchedEvent is an event as it is sent.
type watchedEvent struct {
	Type   watch.EventType `json:"type"`
	Object json.RawMessage `json:"object"`
}

// event makes a Live of an event's object, or an event of the error, which ends the watch.
// It is nil if the watch ended as watches do. The reflector logs errors.
func (c *Cache) event(read watchedEvent, err error) *watch.Event {
	c.mu.Lock()
	anew := c.anew
	c.mu.Unlock()
	switch {
	case anew:
		return failed(apierrors.NewResourceExpired(eventsLost))
	case err == io.EOF, err != nil && (errors.Is(err, context.Canceled) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err)):
		return nil
	case err != nil:
		return failed(fmt.Errorf("read an event of the watch: %w", err))
	case read.Type == watch.Error:
		var status metav1.Status
		if err := json.Unmarshal(read.Object, &status); err != nil {
			return failed(err)
		}
		return failed(apierrors.FromObject(&status))
	case read.Type != watch.Added && read.Type != watch.Modified && read.Type != watch.Deleted && read.Type != watch.Bookmark:
		return failed(errors.New("the member sends an event of no known type"))
	}
	live, err := readLive(read.Object, c.keep)
	if err != nil {
		return failed(err)
	}
	return &watch.Event{Type: read.Type, Object: live}
}

// failed is the event of an error, in bounds.
func failed(err error) *watch.Event {
	status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError}
	var answered apierrors.APIStatus
	if errors.As(err, &answered) {
		status.Code, status.Reason = answered.Status().Code, answered.Status().Reason
	}
	status.Message = Problem(err)
	return &watch.Event{Type: watch.Error, Object: &status}
}
