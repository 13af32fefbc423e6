package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
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
	// kind is what bookmarks are: as the client's objects.
	kind metav1.TypeMeta
	err  error
}

// begin answers that there will be events. Whoever does not read them is waited for as long as the watch lasts, and a little longer for the last ones.
func (s *stream) begin(lasts time.Duration) {
	_ = s.control.SetWriteDeadline(time.Now().Add(lasts + last))
	s.kind = metav1.TypeMeta{Kind: s.view.ObjectKind(), APIVersion: strings.TrimPrefix(s.request.Group+"/"+s.request.Version, "/")}
	if s.as == asMetadata {
		s.kind = metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}
	}
	s.rw.Header().Set("Content-Type", "application/json")
	s.rw.WriteHeader(http.StatusOK)
	_ = s.control.Flush()
}

// send sends an event; after an error nothing.
func (s *stream) send(kind view.Type, body []byte) {
	if s.err != nil {
		return
	}
	if kind != view.Bookmark && kind != "ERROR" {
		if body, s.err = s.answer.write(body); s.err != nil {
			return
		}
	}
	_, s.err = fmt.Fprintf(s.rw, `{"type":%q,"object":%s}`+"\n", kind, body)
}

// initial sends what there is. The end of it is marked for those who have asked for it.
func (s *stream) initial(objects []*view.Object) {
	for _, o := range objects {
		s.send(view.Added, o.Body)
	}
	if s.options.isInitial() && s.options.AllowWatchBookmarks {
		s.bookmark(s.version, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	_ = s.control.Flush()
}

func (s *stream) bookmark(version uint64, annotations map[string]string) {
	body, err := json.Marshal(map[string]any{
		"kind": s.kind.Kind, "apiVersion": s.kind.APIVersion,
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(version), "creationTimestamp": nil, "annotations": annotations},
	})
	if err != nil {
		s.err = err
		return
	}
	s.send(view.Bookmark, body)
	s.version = version
}

// follow sends events until the time is over, or the client has gone, or may not have them any more, or cannot be gone on for.
func (s *stream) follow(ctx context.Context, watcher *view.Watcher, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	check := s.nextCheck()
	for s.err == nil {
		if time.Now().After(check) {
			if err := s.still(); err != nil { // who watches again is told so
				s.handler.config.Logger.Debug("Ended a watch", "path", s.request.Collection(), "err", err)
				return
			}
			check = s.nextCheck()
		}
		until, stop := context.WithTimeout(ctx, s.handler.config.BookmarkEvery)
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
		default:
			s.remind(watcher.Version())
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
	body, _ := json.Marshal(status.Of(why)) // of strings and numbers: never fails
	s.send("ERROR", body)
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
		s.send(e.Type, e.Object.Body)
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
