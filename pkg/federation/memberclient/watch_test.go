package memberclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// pauses lets a test see the pauses of a Conn's caches, and end them.
type pauses struct {
	begun chan time.Duration
	end   chan struct{}
}

func (p *pauses) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 || ctx.Err() != nil {
		return
	}
	select {
	case p.begun <- d:
	case <-ctx.Done():
		return
	}
	select {
	case <-p.end:
	case <-ctx.Done():
	}
}

func watchSlowly(conn *Conn) *pauses {
	p := &pauses{begun: make(chan time.Duration), end: make(chan struct{})}
	conn.sleep = p.sleep
	conn.Watch(configMaps, Keep{})
	return p
}

func TestWhatFailsAtOnceIsNotRepeatedAtOnce(t *testing.T) {
	expired := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGone)
		say(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Message: "too old", Reason: "Expired", Code: 410})(w, r)
	}
	notFound := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		say(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: "NotFound", Code: 404})(w, r)
	}
	for name, test := range map[string]struct {
		member *fakeMember
		// perTry are the most lists and watches between two pauses.
		perTry int64
	}{
		"a watch that answers 410":              {&fakeMember{watch: expired}, 2},
		"a watch that says 410":                 {&fakeMember{watch: say(`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}}` + "\n")}, 2},
		"a watch that ends":                     {&fakeMember{watch: say("")}, 2},
		"a watch that is garbage":               {&fakeMember{watch: say("{\x00")}, 2},
		"a watch whose objects have no version": {&fakeMember{watch: say(`{"type":"ADDED","object":5}` + "\n")}, 2},
		"a list that answers 410":               {&fakeMember{list: expired}, 2},
		"a list of a type that is said to be":   {&fakeMember{list: notFound}, 1},
		"a list of a page that is not there":    {&fakeMember{list: say(`{}`)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := watchSlowly(serve(t, test.member))
			for try := int64(1); try <= 3; try++ {
				if pause := <-p.begun; pause < 800*time.Millisecond {
					t.Errorf("got a pause of %s", pause)
				}
				if n := test.member.lists.Load() + test.member.watches.Load(); n > try*test.perTry {
					t.Fatalf("got %d requests in %d tries", n, try)
				}
				p.end <- struct{}{}
			}
		})
	}
}

func metadataEvent(kind string, i int) string {
	return fmt.Sprintf(`{"type":%q,"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"o%d","namespace":"ns","uid":"u","resourceVersion":"%d"}}}`+"\n", kind, i, i+11)
}

func TestAWatchThatEndsAfterEachEventIsBegunSlowly(t *testing.T) {
	member := &fakeMember{watch: say(metadataEvent("ADDED", 1))}
	p := watchSlowly(serve(t, member))
	if pause := <-p.begun; pause > watchEvery {
		t.Errorf("got a pause of %s before a watch, want at most %s", pause, watchEvery)
	}
	if n := member.watches.Load(); n < watchBurst {
		t.Errorf("got %d watches without a pause, want at least %d", n, watchBurst)
	}
}

// TestWhatCachesOfAMemberHoldIsBounded: a member that sends more fails for that type, and
// nothing of it is taken for the whole.
func TestWhatCachesOfAMemberHoldIsBounded(t *testing.T) {
	var n atomic.Int64
	for name, member := range map[string]*fakeMember{
		"a list without an end": {list: func(w http.ResponseWriter, r *http.Request) {
			say(fmt.Sprintf(`{"metadata":{"resourceVersion":"10","continue":"more"},"items":[{"metadata":{"name":"o%d","namespace":"ns"}}]}`, n.Add(1)))(w, r)
		}},
		"a page without an end": {list: func(w http.ResponseWriter, r *http.Request) {
			_, err := io.WriteString(w, `{"items":[{}`)
			for err == nil {
				_, err = io.WriteString(w, strings.Repeat(`,{}`, 1000))
			}
		}},
		"a watch without an end": {watch: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for i, err := 0, error(nil); err == nil; i++ {
				_, err = io.WriteString(w, metadataEvent("ADDED", i))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, member)
			conn.budget.limitBytes = 100 << 10
			p := watchSlowly(conn)
			if pause := <-p.begun; pause != surfeitPause {
				t.Errorf("got a pause of %s", pause)
			}
			_, state, err := conn.Cached(configMaps.Resource, "ns", "o1")
			if state != Filling || !errors.Is(err, errTooMuch) {
				t.Errorf("got state %v, error %v", state, err)
			}
			if taken := conn.budget.takenBytes.Load(); taken != 0 {
				t.Errorf("%d bytes were not given back", taken)
			}
		})
	}
}

func TestAnEventThatIsTooLongEndsTheWatch(t *testing.T) {
	for name, event := range map[string]struct{ head, repeated string }{
		"a long text":        {`{"type":"ADDED","object":{"kind":"`, "x"},
		"many lines":         {`{"type":"ADDED","object":{"a":[{}`, ",{}\n"},
		"braces in a text":   {`{"type":"ADDED","object":{"kind":"`, `}\"}`},
		"nothing but spaces": {``, "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			p := watchSlowly(serve(t, &fakeMember{watch: flood(&sent, event.head, event.repeated)}))
			<-p.begun
			if n := sent.Load(); n > 32<<20 {
				t.Errorf("%d bytes were read", n)
			}
		})
	}
}

// TestACacheFollowsItsWatch: lists and watches together give what the member has.
func TestACacheFollowsItsWatch(t *testing.T) {
	events := make(chan string)
	member := &fakeMember{
		list: say(`{"metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"o1","namespace":"ns","uid":"u","resourceVersion":"9"}}]}`),
		watch: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Query().Get("resourceVersion") != "10" || r.URL.Query().Has("sendInitialEvents") {
				t.Errorf("got query %s", r.URL.RawQuery)
			}
			for {
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case event := <-events:
					_, _ = io.WriteString(w, event)
				}
			}
		},
	}
	seen := make(chan string, 8)
	conn := serve(t, member)
	conn.onEvent = func(_ schema.GroupVersionResource, event Event) {
		switch {
		case event.Live == nil:
			seen <- "state"
		case event.Deleted:
			seen <- event.Live.Name + " deleted"
		default:
			seen <- event.Live.Name + " " + event.Live.ResourceVersion
		}
	}
	conn.Watch(configMaps, Keep{})
	expect := func(want string, version string) {
		t.Helper()
		if got := <-seen; got != want {
			t.Fatalf("got event %q, want %q", got, want)
		}
		got, state, err := conn.Cached(configMaps.Resource, "ns", "o1")
		if state != Synced || err != nil || (got == nil) != (version == "") || (got != nil && got.ResourceVersion != version) {
			t.Fatalf("got %+v, state %v, error %v, want version %q", got, state, err, version)
		}
	}
	expect("state", "9")
	expect("o1 9", "9")
	events <- metadataEvent("MODIFIED", 1)
	expect("o1 12", "12")
	events <- metadataEvent("DELETED", 1)
	expect("o1 deleted", "")
	if taken := conn.budget.takenBytes.Load(); taken != 0 {
		t.Errorf("%d bytes are taken for nothing", taken)
	}
}
