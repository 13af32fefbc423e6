package memberclient

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"
)

const (
	// A watch is asked for so long, and up to twice as long. One that ends sooner than
	// shortWatch without any event has everything listed anew.
	watchLasts, shortWatch = 5 * time.Minute, time.Second
	// A type's watch is begun so often: the next one is begun at once if the last has shown
	// anything, and a member may end each.
	watchEvery, watchBurst = 5 * time.Second, 10
	// watchGrace is how long after the time that was asked for a watch is ended by us.
	watchGrace = 30 * time.Second
	// Events of one member that are looked at, all types together. Beyond them the member
	// waits, or ends the watch and is asked again for what came later. We write no more than
	// memberQPS objects a second.
	eventsPerSecond, eventBurst = 1000, 20000
)

// watch follows one watch of the managed objects, from the version that was shown last. It
// returns how many events it had, and why it could not be begun.
func (s *store) watch(ctx context.Context) (events int, err error) {
	c := s.cache
	c.conn.sleep(ctx, c.starts.Reserve().Delay())
	stream, err := c.beginWatch(ctx)
	if err != nil {
		if utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) {
			return 0, nil // nothing was lost: from the same version on
		}
		return 0, err
	}
	defer stream.end()
	decoder := json.NewDecoder(stream.body)
	for {
		var read watchedEvent
		err := decoder.Decode(&read)
		if err == nil && c.conn.events.Wait(stream.ctx) != nil {
			return events, nil
		}
		live, err := c.event(read, err)
		if err != nil {
			klog.FromContext(ctx).V(2).Info("Watch of a member failed", "type", c.target.Resource.GroupResource(), "problem", Problem(err))
			return 0, errListAnew
		}
		if live == nil {
			return events, nil
		}
		events++
		s.take(read.Type, live)
	}
}

// errListAnew says that a watch does not show everything: its version is too old, or nobody
// knows what it says.
var errListAnew = apierrors.NewResourceExpired("events were lost")

// stream is a watch that was begun.
type stream struct {
	body io.ReadCloser
	ctx  context.Context // ends with the watch
	cut  context.CancelFunc
}

func (s *stream) end() {
	s.cut()
	_ = s.body.Close()
}

// beginWatch asks for events for some minutes, at most until ctx ends. It returns errListAnew
// if upkeep wants everything listed first.
func (c *Cache) beginWatch(ctx context.Context) (*stream, error) {
	lasts := time.Duration((1 + rand.Float64()) * float64(watchLasts))
	ctx, cut := context.WithTimeout(asStream(ctx), lasts+watchGrace)
	c.mu.Lock()
	version, anew := c.shown, c.anew
	c.cut = cut
	c.mu.Unlock()
	if anew {
		cut()
		return nil, errListAnew
	}
	q := query{resource: c.servedVersion(), namespace: c.target.Namespace, keep: c.keep}
	body, err := c.conn.client.Get().AbsPath(q.path()).MaxRetries(0).SetHeader("Accept", q.accept("PartialObjectMetadata")).
		Param("watch", "true").
		Param("labelSelector", managedSelector).
		Param("resourceVersion", version).
		Param("allowWatchBookmarks", "true").
		Param("timeoutSeconds", strconv.Itoa(int(lasts.Seconds()))).
		Stream(ctx)
	if err != nil {
		cut()
		return nil, err
	}
	return &stream{body: body, ctx: ctx, cut: cut}, nil
}

// watchedEvent is an event as it is sent.
type watchedEvent struct {
	Type   watch.EventType `json:"type"`
	Object json.RawMessage `json:"object"`
}

// event makes a Live of an event's object, which was read with an error or none. It is nil
// if the watch ended as watches do; an error says that it does not show everything.
func (c *Cache) event(read watchedEvent, err error) (*Live, error) {
	c.mu.Lock()
	anew := c.anew
	c.mu.Unlock()
	switch {
	case anew:
		return nil, errListAnew
	case err == io.EOF, err != nil && (errors.Is(err, context.Canceled) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err)):
		return nil, nil
	case err != nil:
		return nil, err
	case read.Type == watch.Error:
		var status metav1.Status
		if err := json.Unmarshal(read.Object, &status); err != nil {
			return nil, err
		}
		return nil, apierrors.FromObject(&status)
	case read.Type != watch.Added && read.Type != watch.Modified && read.Type != watch.Deleted && read.Type != watch.Bookmark:
		return nil, errors.New("the member sends an event of no known type")
	}
	return readLive(read.Object, c.keep)
}
