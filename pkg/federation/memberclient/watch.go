package memberclient

import (
	"context"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	options.LabelSelector = managedSelector
	ctx, cancel := context.WithTimeout(asStream(ctx), time.Duration(*options.TimeoutSeconds)*time.Second+watchGrace)
	served := c.servedVersion()
	begin := c.conn.metadata.Resource(served).Watch
	if c.keep.whole() {
		begin = c.conn.dynamic.Resource(served).Watch
	}
	events, err := begin(ctx, options)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &liveWatch{results: make(chan watch.Event), events: events, cancel: cancel}
	// Ends with ctx, at the latest with its deadline, or with the member's events.
	go w.run(ctx, c)
	return w, nil
}

// liveWatch turns events of objects into events of Lives.
type liveWatch struct {
	results chan watch.Event
	events  watch.Interface
	cancel  context.CancelFunc
}

// ResultChan implements watch.Interface.
func (w *liveWatch) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface.
func (w *liveWatch) Stop() { w.cancel() }

func (w *liveWatch) run(ctx context.Context, c *Cache) {
	defer close(w.results)
	defer w.cancel()
	defer w.events.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.anew:
			expired := apierrors.NewResourceExpired("events were lost").ErrStatus
			select {
			case <-ctx.Done():
			case w.results <- watch.Event{Type: watch.Error, Object: &expired}:
			}
			return
		case event, ok := <-w.events.ResultChan():
			if !ok || c.conn.events.Wait(ctx) != nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case w.results <- c.trim(event):
			}
		}
	}
}

// trim makes a Live of an event's object, or an event of the error, which ends the watch.
// The reflector logs that one.
func (c *Cache) trim(event watch.Event) watch.Event {
	if event.Type == watch.Error {
		status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError}
		err := apierrors.FromObject(event.Object)
		if answered, ok := err.(apierrors.APIStatus); ok {
			status.Code, status.Reason = answered.Status().Code, answered.Status().Reason
		}
		status.Message = Problem(err)
		return watch.Event{Type: watch.Error, Object: &status}
	}
	object, ok := event.Object.(metav1.Object)
	if !ok {
		return c.trim(watch.Event{Type: watch.Error, Object: event.Object})
	}
	live, err := NewLive(object, c.keep)
	if err != nil {
		failed := apierrors.NewInternalError(err).ErrStatus
		return watch.Event{Type: watch.Error, Object: &failed}
	}
	return watch.Event{Type: event.Type, Object: live}
}
