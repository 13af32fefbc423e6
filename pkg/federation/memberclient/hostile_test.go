package memberclient

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/simulation"
)

func failure(code int32, reason metav1.StatusReason, header map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for key, value := range header {
			w.Header().Set(key, value)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(code))
		say(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: reason, Code: code})(w, r)
	}
}

// trickle sends a text and then a byte every ten seconds, until the client goes.
func trickle(head, drop string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, head)
		for err == nil {
			w.(http.Flusher).Flush()
			timer := time.NewTimer(10 * time.Second)
			select {
			case <-r.Context().Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			_, err = io.WriteString(w, drop)
		}
	}
}

// pages answers lists with pages without an end.
func pages(items string, next func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		say(fmt.Sprintf(`{"metadata":{"resourceVersion":"10","continue":%q,"remainingItemCount":-1},"items":[%s]}`, next(), items))(w, r)
	}
}

// TestWhateverAMemberAnswersItIsAskedSeldom: a member that answers nonsense for a while is
// asked no more often than one that is away, and holds neither memory nor goroutines: a bubble
// does not end before its goroutines.
func TestWhateverAMemberAnswersItIsAskedSeldom(t *testing.T) {
	var n atomic.Int64
	const (
		minutes = 15
		// perMinute is what retryDelay and watchEvery come to, with a list and a watch for each try.
		perMinute = 16
	)
	event := func(kind, object string) string { return fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, object) }
	ended := func(text string) http.HandlerFunc { return say(text) }
	for name, test := range map[string]struct {
		member *fakeMember
		// lists may be made without an end.
		lists int64
	}{
		"lists that answer 410":              {member: &fakeMember{list: failure(410, metav1.StatusReasonExpired, nil)}},
		"watches that answer 410":            {member: &fakeMember{watch: failure(410, metav1.StatusReasonExpired, nil)}},
		"watches that say 410":               {member: &fakeMember{watch: ended(event("ERROR", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`))}},
		"watches that say an error of HTML":  {member: &fakeMember{watch: ended(event("ERROR", `"<html>"`))}},
		"lists of HTML":                      {member: &fakeMember{list: say("<html><body>Log in</body></html>")}},
		"watches of HTML":                    {member: &fakeMember{watch: say("<html><body>Log in</body></html>")}},
		"lists that wait for a year":         {member: &fakeMember{list: failure(429, metav1.StatusReasonTooManyRequests, map[string]string{"Retry-After": "31536000"})}},
		"watches that wait for a year":       {member: &fakeMember{watch: failure(429, metav1.StatusReasonTooManyRequests, map[string]string{"Retry-After": "31536000"})}},
		"lists that wait for no time":        {member: &fakeMember{list: failure(503, metav1.StatusReasonServiceUnavailable, map[string]string{"Retry-After": "-9223372036854775807"})}},
		"watches that wait for ages":         {member: &fakeMember{watch: failure(429, metav1.StatusReasonTooManyRequests, map[string]string{"Retry-After": "9223372036854775807"})}},
		"watches that wait for a second":     {member: &fakeMember{watch: failure(429, metav1.StatusReasonTooManyRequests, map[string]string{"Retry-After": "1"})}},
		"lists that trickle":                 {member: &fakeMember{list: trickle(`{"items":[`, " ")}},
		"watches that trickle":               {member: &fakeMember{watch: trickle(`{"type":"ADDED","object":{"kind":"`, "x")}},
		"pages without an end":               {member: &fakeMember{list: pages("", func() string { return fmt.Sprint(n.Add(1)) })}, lists: 4},
		"the same page without an end":       {member: &fakeMember{list: pages(`{"metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"5"}}`, func() string { return "again" })}, lists: 4},
		"an empty page without an end":       {member: &fakeMember{list: pages("", func() string { return "again" })}, lists: 4},
		"lists nested without an end":        {member: &fakeMember{list: say(`{"items":[{"metadata":` + strings.Repeat(`{"a":[`, 100_000))}},
		"watches nested without an end":      {member: &fakeMember{watch: say(`{"type":"ADDED","object":` + strings.Repeat(`[`, 1_000_000))}},
		"watches that end after a bookmark":  {member: &fakeMember{watch: ended(event("BOOKMARK", `{"metadata":{"resourceVersion":"11"}}`))}},
		"watches that end after an object":   {member: &fakeMember{watch: ended(metadataEvent("ADDED", 1))}},
		"watches of other things":            {member: &fakeMember{watch: ended("null\n" + "5\n" + `"text"` + "\n")}},
		"discovery of HTML":                  {member: &fakeMember{discovery: say("<html>")}},
		"discovery of nothing":               {member: &fakeMember{discovery: say("{}")}},
		"discovery that is refused":          {member: &fakeMember{discovery: failure(403, metav1.StatusReasonForbidden, nil)}},
		"a type that is cluster-scoped here": {member: &fakeMember{discovery: say(metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "configmaps"}}})}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				conn, _ := observe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					test.member.ServeHTTP(w, r)
				}), Keep{})
				time.Sleep(minutes * time.Minute) // of the bubble
				if n := asked.Load() - test.lists*maxPages; n > minutes*perMinute {
					t.Errorf("it was asked %d times in %d minutes", n, minutes)
				}
				if taken := conn.budget.takenBytes.Load(); taken > 10<<10 {
					t.Errorf("%d bytes are held", taken)
				}
			})
		})
	}
}

// TestAMemberThatIsWellAgainIsFollowedAgain: what it has said before keeps nobody waiting.
func TestAMemberThatIsWellAgainIsFollowedAgain(t *testing.T) {
	for name, ill := range map[string]http.HandlerFunc{
		"watches that wait for a year": failure(429, metav1.StatusReasonTooManyRequests, map[string]string{"Retry-After": "31536000"}),
		"watches that are unavailable": failure(503, metav1.StatusReasonServiceUnavailable, map[string]string{"Retry-After": "31536000"}),
		"watches that answer 410":      failure(410, metav1.StatusReasonExpired, nil),
		"watches of HTML":              say("<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				member := newLossyMember()
				var well atomic.Bool
				member.watch = func(w http.ResponseWriter, r *http.Request) {
					if !well.Load() {
						ill(w, r)
						return
					}
					member.serveWatch(w, r)
				}
				conn, _ := observe(t, member, Keep{})
				time.Sleep(time.Minute) // of the bubble
				well.Store(true)
				time.Sleep(time.Minute) // of the bubble
				made := member.change("a", "u", false)
				synctest.Wait()
				if got := sees(conn, "a"); got != made.ResourceVersion {
					t.Errorf("a minute after it is well the cache has %s, want %s", got, made.ResourceVersion)
				}
			})
		})
	}
}

// TestAVersionThatIsFarAheadBlindsNobody: a member that was restored from a backup, or two that
// answer in turn, go back in their versions; one that lies says any. What we write there is seen
// all the same, within a minute or so.
func TestAVersionThatIsFarAheadBlindsNobody(t *testing.T) {
	for name, version := range map[string]string{
		"a little":     "1000",
		"by 2^64":      "18446744073709551615",
		"beyond int64": strings.Repeat("9", 128),
		"no number":    "abc",
		"a zero ahead": "099",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				member := newLossyMember()
				conn, heard := observe(t, member, Keep{})
				member.say("BOOKMARK", fmt.Sprintf(`{"metadata":{"resourceVersion":%q}}`, version))
				synctest.Wait()
				created := member.change("a", "u", true)
				cacheOf(conn).wrote("ns", "a", write{live: created})
				time.Sleep(2 * time.Minute) // of the bubble
				if got := sees(conn, "a"); got != created.ResourceVersion {
					t.Errorf("the cache has %s of what was written, want %s", got, created.ResourceVersion)
				}
				if events := heard.take(); strings.Count(events, "a ") > 5 {
					t.Errorf("got events %q", events)
				}
				if n := member.lists.Load(); n > 3 {
					t.Errorf("everything was listed %d times", n)
				}
			})
		})
	}
}

// TestDeletionsOfWhatNeverWasAreForgotten: there may be a million of them.
func TestDeletionsOfWhatNeverWasAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		member := &fakeMember{watch: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			long := strings.Repeat("n", 200)
			for err := error(nil); err == nil; {
				i := sent.Add(1)
				_, err = fmt.Fprintf(w, `{"type":"DELETED","object":{"metadata":{"name":"%s%d","namespace":"ns","uid":"u%d","resourceVersion":"%d"}}}`+"\n", long, i, i, i)
			}
		}}
		conn, _ := observe(t, member, Keep{})
		time.Sleep(5 * time.Second) // of the bubble
		c := cacheOf(conn)
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := sent.Load(); n < eventBurst || n > eventBurst+7*eventsPerSecond {
			t.Errorf("%d events were taken in 5 s", n)
		}
		if kept := max(len(c.deletions.byKey), len(c.deletions.order)); kept > maxDeletions {
			t.Errorf("%d deletions are remembered", kept)
		}
	})
}

// TestAnswersAreReadAtAPace: there is none that a member may send as fast as it can. Documents of
// discovery are as large as it likes, and there are as many as it says.
func TestAnswersAreReadAtAPace(t *testing.T) {
	const bytesPerSecond, burstBytes, length = 1000, 4000, 10_000
	for name, test := range map[string]struct {
		path   string
		stream bool
		code   int
	}{
		"a list":              {"/api/v1/configmaps", true, 200},
		"a list that fails":   {"/api/v1/configmaps", true, 500},
		"a watch":             {"/api/v1/configmaps?watch=true", true, 200},
		"discovery":           {"/apis/example.com/v1", false, 200},
		"a schema":            {"/openapi/v3/apis/apps/v1", false, 200},
		"a call that fails":   {"/api/v1/namespaces/ns/configmaps/a", false, 404},
		"an answer to a call": {"/api/v1/namespaces/ns/configmaps/a", false, 201},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &guard{
					streams: rate.NewLimiter(bytesPerSecond, burstBytes), calls: rate.NewLimiter(bytesPerSecond, burstBytes),
					next: simulation.InProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.WriteHeader(test.code)
						_, _ = io.WriteString(w, strings.Repeat("{}", length/2))
					})),
				}
				ctx := t.Context()
				if test.stream {
					ctx = asStream(ctx)
				}
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://member"+test.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				response, err := g.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				n, err := io.Copy(io.Discard, response.Body)
				if took, want := time.Since(begun), time.Duration(length-burstBytes)*time.Second/bytesPerSecond; n != length || err != nil || took < want-time.Second {
					t.Errorf("%d bytes were read in %s of the bubble, error %v; want %d in %s", n, took, err, length, want)
				}
			})
		})
	}
}

// TestObjectsThatNoAPIServerHasDoNoHarm: they are kept, or not, and nothing else is lost by it.
func TestObjectsThatNoAPIServerHasDoNoHarm(t *testing.T) {
	for name, event := range map[string]string{
		"no name":                   `{"type":"ADDED","object":{"metadata":{"namespace":"ns","uid":"v","resourceVersion":"12"}}}`,
		"no metadata":               `{"type":"MODIFIED","object":{}}`,
		"no object":                 `{"type":"DELETED","object":null}`,
		"a path for a name":         `{"type":"ADDED","object":{"metadata":{"name":"../../../x","namespace":"ns/../y","uid":"v","resourceVersion":"12"}}}`,
		"another namespace":         `{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"other","uid":"v","resourceVersion":"12"}}}`,
		"another kind":              `{"type":"ADDED","object":{"kind":"Secret","apiVersion":"v1","metadata":{"name":"z","namespace":"ns","uid":"v","resourceVersion":"12"}}}`,
		"the end of another's":      `{"type":"DELETED","object":{"metadata":{"name":"z","namespace":"ns","uid":"v","resourceVersion":"12"}}}`,
		"labels that are no texts":  `{"type":"ADDED","object":{"metadata":{"name":"a","labels":{"x":5}}}}`,
		"a time that is none":       `{"type":"ADDED","object":{"metadata":{"name":"z","deletionTimestamp":"yesterday"}}}`,
		"a generation without end":  `{"type":"ADDED","object":{"metadata":{"name":"z","generation":1e400}}}`,
		"keys twice":                `{"type":"ADDED","object":{"metadata":{"name":"z"},"metadata":{"name":"y","namespace":"ns"}},"type":"BOOKMARK"}`,
		"half a character":          `{"type":"ADDED","object":{"metadata":{"name":"\ud800","namespace":"ns","resourceVersion":"12"}}}`,
		"bytes that are no text":    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"\xff\xfe\",\"namespace\":\"ns\"}}}",
		"a bookmark of no version":  `{"type":"BOOKMARK","object":{"metadata":{}}}`,
		"a bookmark of an old time": `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1"}}}`,
	} {
		for _, keep := range []Keep{{}, {Status: true}, {Ended: func(map[string]any) bool { return true }, Rule: "x"}} {
			t.Run(fmt.Sprintf("%s, status kept %v, ends %v", name, keep.Status, keep.Ended != nil), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					member := newLossyMember()
					member.change("a", "u", false)
					conn, _ := observe(t, member, keep)
					member.write(event + "\n")
					synctest.Wait()
					made := member.change("b", types.UID("w"), false)
					time.Sleep(2 * time.Minute) // of the bubble
					if a, b := sees(conn, "a"), sees(conn, "b"); a != "11" || b != made.ResourceVersion {
						t.Errorf("the cache has %s and %s, want 11 and %s", a, b, made.ResourceVersion)
					}
				})
			})
		}
	}
}

// say sends an event to whoever watches; write sends anything.
func (m *lossyMember) say(event, object string) {
	m.write(fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", event, object))
}

func (m *lossyMember) write(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for watcher := range m.watchers {
		watcher <- text
	}
}

// TestWhatIsDecodedTakesLittleMoreThanItsLength: of four megabytes of brackets a decoder makes
// hundreds.
func TestWhatIsDecodedTakesLittleMoreThanItsLength(t *testing.T) {
	full := func(head, repeated, tail string) http.HandlerFunc {
		return say(head + strings.Repeat(repeated, (maxAnswerBytes-1<<10)/len(repeated)) + tail)
	}
	object := func(repeated, last string) http.HandlerFunc {
		return full(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"5"},"data":[`, repeated, last+`]}`)
	}
	for name, test := range map[string]struct {
		member *fakeMember
		call   string
		keep   Keep
	}{
		"resources that are nothing":    {member: &fakeMember{discovery: full(`{"resources":[`, "{},", `{}]}`)}, call: "discovery"},
		"objects that are nothing":      {member: &fakeMember{object: object("{},", "{}")}, call: "a get"},
		"lists that are nothing":        {member: &fakeMember{object: object("[],", "[]")}, call: "a creation"},
		"numbers":                       {member: &fakeMember{object: object("0,", "0")}, call: "a get"},
		"lists around one another":      {member: &fakeMember{object: full(`{"data":`, "[", "")}, call: "a get"},
		"a failure of a million causes": {member: &fakeMember{object: full(`{"kind":"Status","apiVersion":"v1","details":{"causes":[`, "{},", "{}]}}")}, call: "a look at a namespace"},
		"a status in a list":            {member: &fakeMember{list: full(`{"items":[{"metadata":{"name":"a"},"status":[`, "{},", `{}]}]}`)}, call: "a list", keep: Keep{Status: true}},
		"an object in a list that may end": {member: &fakeMember{list: full(`{"items":[{"metadata":{"name":"a"},"spec":[`, "{},", `{}]}]}`)}, call: "a list",
			keep: Keep{Ended: func(map[string]any) bool { return false }}},
		"an object in a list": {member: &fakeMember{list: full(`{"items":[{"metadata":{"name":"a"},"spec":[`, "{},", `{}]}]}`)}, call: "a list"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := inMemory(t, test.member)
			call := calls(conn)[test.call]
			if test.call == "a list" {
				call = func(ctx context.Context) error {
					_, err := conn.list(ctx, query{resource: configMaps.Resource, keep: test.keep}, func(*Live) error { return nil })
					return err
				}
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_ = call(t.Context())
			runtime.ReadMemStats(&after)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 16*maxAnswerBytes>>20 {
				t.Errorf("%d MiB were allocated for an answer of %d MiB", allocated, maxAnswerBytes>>20)
			}
		})
	}
}

// TestOfWarningsFewAreLookedAt: there may be a million in ten megabytes of a header, and to make
// a sentence of each takes longer than to decode them.
func TestOfWarningsFewAreLookedAt(t *testing.T) {
	ctx, collected := collectWarnings(t.Context())
	for i := range 100_000 {
		warningCollector{}.HandleWarningHeaderWithContext(ctx, warningCode, "-", fmt.Sprintf("warning %06d", i))
	}
	if collected.read != maxWarningsRead {
		t.Errorf("%d warnings were looked at", collected.read)
	}
	if list := collected.list(); len(list) != maxWarnings+1 || list[0] != "warning 000000" || list[maxWarnings] != moreWarnings {
		t.Errorf("got %q", list)
	}
}

// TestHeadersAreReadAtAPace as bodies are.
func TestHeadersAreReadAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guard{
			streams: rate.NewLimiter(1000, 1000), calls: rate.NewLimiter(1000, 1000),
			next: simulation.InProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1000)) })),
		}
		begun := time.Now()
		for range 11 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://member/healthz", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := g.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		if took := time.Since(begun); took < 9*time.Second {
			t.Errorf("11 kB of headers were read in %s of the bubble at 1 kB a second", took)
		}
	})
}

// TestConnectionsThatBreakLeaveNothing: whatever breaks, and how often, once a Conn is closed there
// is no goroutine of it, and what broke was not begun again at once.
func TestConnectionsThatBreakLeaveNothing(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	goAway := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }
	half := func(w http.ResponseWriter, r *http.Request) {
		say(`{"type":"ADDED","object":{"metadata":`)(w, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	for name, member := range map[string]*fakeMember{
		"lists that are reset":         {list: abort},
		"watches that are reset":       {watch: abort},
		"watches that break":           {watch: half},
		"lists that break":             {list: half},
		"discovery that is reset":      {discovery: abort},
		"watches that end all":         {watch: goAway},
		"lists that end all":           {list: goAway},
		"watches that say nothing":     {},
		"a switch to another protocol": {watch: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }},
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			server := httptest.NewUnstartedServer(member)
			server.EnableHTTP2 = true
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handlers that abort
			server.StartTLS()
			defer server.Close()
			config := &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
			conn, err := NewConn(t.Context(), guarded(config), func(schema.GroupVersionResource, Event) {})
			if err != nil {
				t.Fatal(err)
			}
			if name != "watches that say nothing" {
				p := watchSlowly(conn)
				for range 4 {
					<-p.begun
					p.end <- struct{}{}
				}
			} else {
				conn.Watch(configMaps, Keep{})
			}
			conn.Close()
			if n := member.lists.Load() + member.watches.Load(); n > 4*2+watchBurst {
				t.Errorf("it was asked %d times for four tries", n)
			}
			server.CloseClientConnections()
			server.Close()
			http.DefaultClient.CloseIdleConnections()
			if err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
				return runtime.NumGoroutine() <= before, nil
			}); err != nil {
				buffer := make([]byte, 1<<20)
				t.Errorf("%d goroutines are left, %d were there before:\n%s", runtime.NumGoroutine(), before, buffer[:runtime.Stack(buffer, true)])
			}
		})
	}
}

// inMemory connects to a member without a network.
func inMemory(t *testing.T, member http.Handler) *Conn {
	t.Helper()
	conn, err := NewConn(t.Context(), guarded(&rest.Config{Host: "http://member", Transport: simulation.InProcess(member)}), func(schema.GroupVersionResource, Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}
