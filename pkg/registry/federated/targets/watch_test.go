package targets

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conditions"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// following is a member that shows one object, and sends the events that a test puts in.
type following struct {
	mu     sync.Mutex
	object map[string]any // nil: there is none
	events chan string
	cut    chan struct{} // closed to end a watch
}

func newFollowing(object map[string]any) *following {
	return &following{object: object, events: make(chan string, 10), cut: make(chan struct{})}
}

func (f *following) set(object map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.object = object
}

// change has the member show another object, and tell of it as API servers do: of its metadata alone.
func (f *following) change(what string, object map[string]any) {
	f.set(object)
	if object == nil {
		object = deployment(0)
	}
	f.events <- eventOf(what, map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

func (f *following) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/web") {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.object == nil {
			answers(http.StatusNotFound, notFound("web"))(w, r)
			return
		}
		answers(http.StatusOK, f.object)(w, r)
		return
	}
	if r.URL.Query().Get("fieldSelector") != "metadata.name=web" {
		http.Error(w, "not the one object", http.StatusTeapot)
		return
	}
	if r.URL.Query().Get("watch") == "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		items := []any{}
		if f.object != nil {
			items = append(items, f.object)
		}
		answers(http.StatusOK, map[string]any{"kind": "DeploymentList", "metadata": map[string]any{"resourceVersion": "20"}, "items": items})(w, r)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Accept"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,") {
		http.Error(w, "not the metadata alone", http.StatusTeapot)
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-f.cut:
			return
		case event := <-f.events:
			_, _ = w.Write([]byte(event + "\n"))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func eventOf(what string, object map[string]any) string {
	data, err := json.Marshal(map[string]any{"type": what, "object": object})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// client reads the events of one watch.
type client struct {
	t      *testing.T
	events chan string
	err    error // why events is closed
}

// watch begins a watch of all targets, or of one.
func (w *world) watch(path, query string) *client {
	w.t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := w.rest.ServeWatch(rw, r, "web", path); err != nil {
			http.Error(rw, err.Error(), http.StatusTeapot)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	ctx, cancel := context.WithCancel(w.t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/?watch=true&"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := server.Client().Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &client{t: w.t, events: make(chan string)}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(c.events)
		lines := bufio.NewReader(answer.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				c.err = err
				return
			}
			select {
			case c.events <- line:
			case <-ctx.Done():
				return
			}
		}
	})
	w.t.Cleanup(func() {
		cancel()
		reading.Wait()
		_ = answer.Body.Close()
		server.Close()
	})
	return c
}

// next returns an event as a line: its type, the target, its status, and what conditions hold.
func (c *client) next() string {
	c.t.Helper()
	select {
	case line, open := <-c.events:
		if !open {
			return "END"
		}
		var event struct {
			Type   string
			Object federationv1alpha1.TargetObject
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			c.t.Fatalf("%v: %s", err, line)
		}
		return strings.TrimSpace(strings.Join([]string{event.Type, event.Object.Name, readyOf(event.Object.Status), holding(&event.Object)}, " "))
	case <-time.After(within):
		c.t.Fatal("there was no event")
		return ""
	}
}

func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.next(); strings.Join(strings.Fields(got), " ") != w {
			c.t.Fatalf("got the event %q, want %q", got, w)
		}
	}
}

func TestAWatchShowsWhatChanges(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.rereadPause = time.Millisecond
	member := newFollowing(deployment(1))
	w.member("m1", member.ServeHTTP)
	c := w.watch("", "")
	c.expect("ADDED m1 1/3")
	member.events <- eventOf("BOOKMARK", deployment(9))
	member.change("MODIFIED", deployment(2))
	c.expect("MODIFIED m1 2/3")
	member.change("MODIFIED", deployment(2)) // nothing new
	member.change("DELETED", nil)
	c.expect("MODIFIED m1")
	member.change("ADDED", deployment(3, annotated("federation.koinon.io/federated-object", "shop/other")))
	c.expect("MODIFIED m1 Conflict True NotOurs")
	member.change("MODIFIED", deployment(3))
	c.expect("MODIFIED m1 3/3")
}

// A member may say anything in an event: it only has the object asked for again.
func TestWhatAnEventSaysIsNotShown(t *testing.T) {
	w := newWorld(t, in("m1"))
	member := newFollowing(deployment(1))
	w.member("m1", member.ServeHTTP)
	c := w.watch("", "")
	c.expect("ADDED m1 1/3")
	member.set(deployment(2))
	member.events <- eventOf("DELETED", deployment(9))
	c.expect("MODIFIED m1 2/3")
}

func TestAnEventThatIsTooLongHasTheObjectAskedForAnew(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.retry = 10 * time.Millisecond
	member := newFollowing(deployment(1))
	w.member("m1", member.ServeHTTP)
	c := w.watch("", "")
	c.expect("ADDED m1 1/3")
	member.set(deployment(2))
	member.events <- `{"type":"MODIFIED","object":{"metadata":{"finalizers":[` + strings.Repeat(`"x",`, eventBytes/4) // it does not end
	c.expect("MODIFIED m1 2/3")
	member.change("MODIFIED", deployment(3))
	c.expect("MODIFIED m1 3/3")
}

func TestATargetIsAskedForOnceASecondHoweverOftenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, in("m1"))
		asked := 0
		w.reader.Members = ways(func(*http.Request) (*http.Response, error) {
			asked++
			answer := httptest.NewRecorder()
			answers(http.StatusOK, deployment(asked))(answer, nil)
			return answer.Result(), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		changed := make(chan struct{}, 1)
		go w.follower(in("m1")).reread(ctx, changed)
		for range 100 {
			select {
			case changed <- struct{}{}:
			default:
			}
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		synctest.Wait()
		if asked < 9 || asked > 11 {
			t.Errorf("it was asked for %d times in ten seconds", asked)
		}
	})
}

// ways are the same way to all members.
type ways func(*http.Request) (*http.Response, error)

func (f ways) To(context.Context, string) (Member, error) {
	return Member{Transport: roundTrips(f), Replaced: context.Background()}, nil
}

// follower is that of a target in a watch that nobody reads.
func (w *world) follower(record typesv1beta2.TargetStatus) *follower {
	return &follower{
		watching: &watching{REST: w.rest, stirred: make(chan struct{}, 1), dirty: map[string]bool{}, budget: &budget{left: allBytes}},
		query:    query{deployments, w.object.object, "f1"}, record: record,
	}
}

// The federated object changes whenever one of a thousand targets does.
func TestATargetThatIsAsItWasIsNotToldAgain(t *testing.T) {
	w := newWorld(t, in("m1"))
	masked := in("m1")
	masked.State = typesv1beta2.TargetMasked
	for name, test := range map[string]struct {
		next typesv1beta2.TargetStatus
		want map[string]bool
	}{
		"another target changed": {in("m1"), map[string]bool{}},
		"its record changed":     {masked, map[string]bool{"m1": true}},
	} {
		t.Run(name, func(t *testing.T) {
			f := w.follower(in("m1"))
			o := w.object.object.DeepCopy()
			o.ResourceVersion = "8"
			f.update(query{deployments, o, "f1"}, &test.next)
			if diff := cmp.Diff(test.want, f.dirty); diff != "" {
				t.Errorf("targets to be told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWatchGoesOnAfterItsMemberWasAway(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.retry = 10 * time.Millisecond
	member := newFollowing(deployment(1))
	w.member("m1", member.ServeHTTP)
	c := w.watch("/m1", "")
	c.expect("ADDED m1 1/3")
	w.member("m1", answers(http.StatusServiceUnavailable, nil))
	member.events <- eventOf("ERROR", map[string]any{"kind": "Status", "code": 410})
	c.expect("MODIFIED m1 Unreachable True NoAnswer")
	member.set(deployment(3))
	w.member("m1", member.ServeHTTP)
	c.expect("MODIFIED m1 3/3")
}

// A deadline for a write that is over ends a stream of HTTP/2 even if nobody writes.
func TestAWatchInWhichNothingHappensGoesOn(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.clientPatience = 200 * time.Millisecond
	member := newFollowing(deployment(1))
	w.member("m1", member.ServeHTTP)
	c := w.watch("", "timeoutSeconds=2")
	c.expect("ADDED m1 1/3")
	for line := range c.events {
		t.Fatalf("got the event %s", line)
	}
	if c.err != io.EOF {
		t.Errorf("the watch ended with %v", c.err)
	}
}

func TestAWatchFollowsTheTargets(t *testing.T) {
	w := newWorld(t, in("m1"), in("m2"))
	w.member("m1", newFollowing(deployment(1)).ServeHTTP)
	w.member("m2", newFollowing(nil).ServeHTTP)
	w.object.change(in("m1"))
	c := w.watch("", "")
	c.expect("ADDED m1 1/3")
	w.object.change(in("m1"), in("m2"))
	c.expect("ADDED m2")
	masked := in("m1")
	masked.State = typesv1beta2.TargetMasked
	w.object.change(masked, in("m2"))
	c.expect("MODIFIED m1 1/3 Applied False Masked, Masked True Masked")
	w.object.change(in("m2"))
	c.expect("DELETED m1 1/3 Applied False Masked, Masked True Masked")
	w.object.change()
	c.expect("DELETED m2", "END")
}

func TestAWatchIsClosedWhenAnotherMayBeThere(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.guardAge, w.reader.retry = 10*time.Millisecond, 10*time.Millisecond
	w.member("m1", newFollowing(deployment(1)).ServeHTTP)
	guarded := &guarded{world: w}
	w.reader.Lookups = guarded
	c := w.watch("", "")
	c.expect("ADDED m1 1/3")
	guarded.take()
	c.expect("MODIFIED m1 Forbidden True NotAsked")
}

// A member that ends its watches has them made anew from a version, without the object being asked for.
func TestAWatchIsNotMadeAnewWhereAnotherMayBe(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.reader.guardAge, w.reader.retry = time.Hour, 0
	member := newFollowing(deployment(1))
	w.member("m1", member.ServeHTTP)
	guarded := &guarded{world: w}
	w.reader.Lookups = guarded
	c := w.watch("", "")
	c.expect("ADDED m1 1/3")
	guarded.take()
	close(member.cut)
	c.expect("MODIFIED m1 Forbidden True NotAsked")
}

func TestAWatchEndsWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.member("m1", newFollowing(deployment(1)).ServeHTTP)
	c := w.watch("", "timeoutSeconds=1")
	c.expect("ADDED m1 1/3", "END")
	w.reader.watched.mu.Lock()
	defer w.reader.watched.mu.Unlock()
	if w.reader.watched.all != (share{}) || len(w.reader.watched.users) > 0 {
		t.Errorf("%+v are left, and %v", w.reader.watched.all, w.reader.watched.users)
	}
	w.reader.watchedBytes.mu.Lock()
	defer w.reader.watchedBytes.mu.Unlock()
	if w.reader.watchedBytes.left != watchedBytes {
		t.Errorf("%d of %d bytes are left", w.reader.watchedBytes.left, watchedBytes)
	}
}

func TestAWatchIsRefusedBeforeItBegins(t *testing.T) {
	w := newWorld(t, in("m1"))
	for name, test := range map[string]struct {
		path, query string
		is          func(error) bool
	}{
		"no such target": {"m2", "", apierrors.IsNotFound},
		"no time":        {"", "timeoutSeconds=0", apierrors.IsBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			asked := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?watch=true&"+test.query, nil)
			if err := w.rest.ServeWatch(httptest.NewRecorder(), asked, "web", test.path); !test.is(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := w.reader.watched.add("ann", watchesOfUser, 0); err != nil {
		t.Fatal(err)
	}
	ctx := request.WithUser(t.Context(), &user.DefaultInfo{Name: "ann"})
	err := w.rest.ServeWatch(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/?watch=true", nil), "web", "")
	if !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), `user "ann" has 20 watches`) {
		t.Errorf("got %v", err)
	}
}

func TestWatchesShareTheRoomForWhatTheyShow(t *testing.T) {
	w := newWorld(t, in("m1"))
	all := &budget{left: 15}
	first, second := w.follower(in("m1")), w.follower(in("m1"))
	first.budget.of, second.budget.of = all, all
	shows := func(f *follower) bool {
		f.publish(seen{answer: conditions.Found, object: rawjson.Value(`{"a": "b"}`)})
		return f.seen.answer == conditions.Found
	}
	if !shows(first) || shows(second) || !shows(first) {
		t.Error("got room for both or none of two")
	}
	first.forget()
	first.forget() // as watches do that end after a target
	if !shows(second) {
		t.Error("got no room after another gave it back")
	}
	second.forget()
	if all.left != 15 {
		t.Errorf("%d of 15 bytes are left", all.left)
	}
}

func TestOneUserDoesNotHaveAllWatches(t *testing.T) {
	c := &counter{users: map[string]*share{}}
	for _, step := range []struct {
		name          string
		user          string
		more, targets int
		refused       bool
	}{
		{"all that one may have", "ann", watchesOfUser, 10, false},
		{"one more", "ann", 1, 1, true},
		{"somebody else's", "bob", 1, followedOfUser, false},
		{"more targets in it", "bob", 0, 1, true},
		{"fewer targets in it", "bob", 0, -1, false},
		{"one is over", "ann", -1, -1, false},
		{"so there is another", "ann", 1, 1, false},
		{"more targets than are left for all", "eve", 1, followed - followedOfUser, true},
	} {
		if err := c.add(step.user, step.more, step.targets); (err != nil) != step.refused {
			t.Errorf("%s: got %v", step.name, err)
		}
	}
}
