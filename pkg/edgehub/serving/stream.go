package serving

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// last is how long a client may take to read what it was sent at the end of a watch.
const last = 5 * time.Second

// stream is a watch that is under way.
type stream struct {
	*answer
	rw      http.ResponseWriter
	control *http.ResponseController
	// version is what the client has come to, as far as it was told.
	version uint64
	err     error
}

// begin answers that there will be events. Whoever does not read them is waited for as long as the watch lasts, and a little longer for the last ones.
func (s *stream) begin(lasts time.Duration) {
	_ = s.control.SetWriteDeadline(time.Now().Add(lasts + last))
	s.rw.Header().Set("Content-Type", s.codec.mediaType(true))
	s.rw.WriteHeader(http.StatusOK)
	_ = s.control.Flush()
}

// send sends an event of an object in the client's form, which could be written so if err is nil; after an error nothing.
func (s *stream) send(what view.Type, object []byte, err error) {
	var event []byte
	if err == nil {
		event, err = s.codec.event(what, object)
	}
	if s.err == nil {
		s.err = err
	}
	if s.err == nil {
		_, s.err = s.rw.Write(event)
	}
}

// tell sends an event of an object as the view has it. One that cannot be written ends the watch.
func (s *stream) tell(what view.Type, o *view.Object) {
	if s.err != nil {
		return
	}
	object, err := s.write(o.Body)
	if err != nil {
		s.handler.config.Logger.Error("Failed to write an object of a watch", "path", s.request.Collection(), "object", o.Name, "err", err)
		s.end(err)
		s.err = err
		return
	}
	s.send(what, object, nil)
}

// initial sends what there is. The end of it is marked for those who have asked for it.
func (s *stream) initial(objects []*view.Object) {
	for _, o := range objects {
		s.tell(view.Added, o)
	}
	if s.options.isInitial() && s.options.AllowWatchBookmarks {
		s.bookmark(s.version, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	_ = s.control.Flush()
}

func (s *stream) bookmark(version uint64, annotations map[string]string) {
	body, err := s.codec.bookmark(metav1.ObjectMeta{ResourceVersion: strconv.FormatUint(version, 10), Annotations: annotations})
	s.send(view.Bookmark, body, err)
	s.version = version
}

// follow sends events until the time is over, or the client has gone, or may not have them any more, or cannot be gone on for.
func (s *stream) follow(ctx context.Context, watcher *view.Watcher, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	every := s.handler.config.BookmarkEvery
	reminded := time.Now()
	check := s.nextCheck()
	for s.err == nil {
		if time.Now().After(check) {
			if err := s.still(); err != nil { // who watches again is told so
				s.handler.config.Logger.Debug("Ended a watch", "path", s.request.Collection(), "err", err)
				return
			}
			check = s.nextCheck()
		}
		until, stop := context.WithDeadline(ctx, reminded.Add(every))
		events, err := watcher.Next(until)
		stop()
		switch {
		case err == nil:
			s.take(events)
		case errors.Is(err, view.ErrExpired):
			s.end(s.tooOld())
			return
		case ctx.Err() != nil:
			return
		}
		if time.Since(reminded) >= every { // who selects little of what changes much is reminded, too
			s.remind(watcher.Version())
			reminded = time.Now()
		}
	}
}

// nextCheck is when it is asked next whether the watch may go on: those that began together do not ask together.
func (s *stream) nextCheck() time.Time {
	every := s.handler.config.StillEvery
	return time.Now().Add(every*3/4 + rand.N(every/4))
}

// tooOld is that the view does not know what came behind what the client has come to.
func (s *stream) tooOld() error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d", s.version))
}

// end tells why there is nothing more.
func (s *stream) end(why error) {
	body, err := s.codec.status(status.Of(why))
	s.send("ERROR", body, err)
	_ = s.control.Flush()
}

// take sends events that have come.
func (s *stream) take(events []view.Event) {
	for _, e := range events {
		e, ok, err := s.filter.Event(e)
		if err != nil {
			s.err = err
			return
		}
		if !ok || e.Type == view.Bookmark {
			continue
		}
		s.tell(e.Type, e.Object)
		s.version = e.Version
	}
	_ = s.control.Flush()
}

// remind tells a client how far it has come, if it wants to know and does not.
func (s *stream) remind(version uint64) {
	if s.options.AllowWatchBookmarks && version > s.version {
		s.bookmark(version, nil)
		_ = s.control.Flush()
	}
}
