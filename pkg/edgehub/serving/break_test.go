package serving

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const patience = 60 * time.Second

// known are views that nobody fills but a test. wanted are those that were asked for.
type known struct {
	*view.Cache

	mu     sync.Mutex
	wanted []string // guarded by mu
	// why is what hinders that views are filled; guarded by mu.
	why error
}

func (k *known) Want(key view.Key, path string, _ *http.Request) (func() (bool, error), func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = append(k.wanted, path+" "+key.Fields)
	why := k.why
	return func() (bool, error) { return true, why }, func() {}
}

// hub serves pods, of which there are two at resourceVersion 10; upstream is away, and answers what is not served with 418.
type hub struct {
	*httptest.Server
	views *known
	pods  *view.View
	ended chan string
	// says is what upstream answers.
	says atomic.Int32
}

func newHub(t *testing.T, changes ...func(*Config)) *hub {
	t.Helper()
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := view.NewKey("", "v1", "pods", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{views: &known{Cache: cache}, pods: cache.View(key), ended: make(chan string, 10_000)}
	h.says.Store(http.StatusTeapot)
	h.pods.SetObjectKind("Pod")
	h.pods.Replace([]*view.Object{h.pod(t, "a", 3, ""), h.pod(t, "b", 7, "")}, 10)
	config := Config{Views: h.views, Upstream: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(int(h.says.Load())) })}
	for _, change := range changes {
		change(&config)
	}
	handler, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(rw, r)
		h.ended <- r.URL.RawQuery
	}))
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	return h
}

func (h *hub) pod(t *testing.T, name string, version uint64, more string) *view.Object {
	t.Helper()
	o, err := h.pods.Parse([]byte(fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":"ns","resourceVersion":"%d"},"more":%q}`, name, version, more)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// get asks for a path as it is written.
func (h *hub) get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// A path that is not as Kubernetes writes it is upstream's matter, and no view: else one is asked for at a path that means something else there.
func TestPathsThatAreNotPlainAreUpstreams(t *testing.T) {
	h := newHub(t)
	for path, want := range map[string]string{
		"/api/v1/namespaces/ns/pods/a":                           "/api/v1/namespaces/ns/pods metadata.name=a",
		"/api/v1/namespaces/n%73/pods/a":                         "/api/v1/namespaces/ns/pods metadata.name=a",
		"/api/v1/namespaces/ns/pods/":                            "/api/v1/namespaces/ns/pods ",
		"/api/v1/namespaces/ns/pods/a%2Cspec.nodeName%3Dn":       `/api/v1/namespaces/ns/pods metadata.name=a\,spec.nodeName\=n`,
		"/api/v1/namespaces/ns/pods/system:node":                 "/api/v1/namespaces/ns/pods metadata.name=system:node",
		"/api/v1//pods":                                          "",
		"//api/v1/pods":                                          "",
		"/api//v1/pods":                                          "",
		"/api/v1/pods//":                                         "",
		"/api/v1/namespaces//pods":                               "",
		"/api/v1/namespaces//pods/a":                             "",
		"/api/../v1/pods":                                        "",
		"/api/v1/namespaces/../pods":                             "",
		"/api/v1/namespaces/%2e%2e/pods":                         "",
		"/api/v1/namespaces/ns/pods/..":                          "",
		"/api/v1/namespaces/ns/%2E%2E":                           "",
		"/api/v1/./pods":                                         "",
		"/api/v1/namespaces/ns/pods/a%2Fb":                       "",
		"/api/v1/namespaces/ns%2fpods/a":                         "",
		"/api/v1/pods%2Fa":                                       "",
		"/api/v1/namespaces/ns%3Fwatch=true%26/pods":             "",
		"/api/v1/namespaces/kube-system/secrets%3Fx=/pods":       "",
		"/api/v1/secrets%3Fx":                                    "",
		"/api/v1/namespaces/ns/pods/a%00":                        "",
		"/api/v1/namespaces/ns/pods/a%0Ab":                       "",
		"/api/v1/namespaces/ns/pods/a%25b":                       "",
		"/api/v1/namespaces/ns/pods/%FF":                         "",
		"/api/v1/Pods":                                           "",
		"/apis/%22%7D/v1/pods":                                   "",
		"/apis/apps/v1/namespaces/%E2%80%AE/deployments?watch=1": "",
	} {
		h.views.mu.Lock()
		h.views.wanted = nil
		h.views.mu.Unlock()
		code, body := h.get(t, path)
		got := strings.Join(h.views.wanted, "; ")
		if got != want || (want == "") != (code == http.StatusTeapot) {
			t.Errorf("%s: it wants %q, and answers %d %s", path, got, code, body)
		}
	}
}

func forged(version uint64, after string) string {
	text, _ := json.Marshal(token{version, after, 1})
	return base64.RawURLEncoding.EncodeToString(text)
}

// As API servers answer, so that clients do what they do there; also while upstream, which is asked first, is away.
func TestOptionsAreReadAsAPIServersReadThem(t *testing.T) {
	h := newHub(t)
	h.says.Store(http.StatusBadGateway)
	for query, want := range map[string]int{
		"":                                     200,
		"limit=1":                              200,
		"limit=-1":                             200,
		"limit=abc":                            400,
		"limit=1e3":                            400,
		"limit=99999999999999999999999":        400,
		"limit=9223372036854775807":            200,
		"continue=abc":                         410,
		"continue=" + forged(1<<63, "ns/a"):    410,
		"continue=" + forged(0, ""):            410,
		"continue=" + forged(5, "ns/a"):        410,
		"continue=" + forged(10, "ns/a"):       200,
		"resourceVersion=-1":                   400,
		"resourceVersion=abc":                  400,
		"resourceVersion=18446744073709551616": 400,
		"resourceVersion=0":                    200,
		"resourceVersion=5":                    200,
		"resourceVersionMatch=Exact":           422,
		"resourceVersionMatch=Other&resourceVersion=1":                                       422,
		"resourceVersionMatch=Exact&resourceVersion=0":                                       422,
		"resourceVersionMatch=Exact&resourceVersion=10":                                      200,
		"resourceVersionMatch=Exact&resourceVersion=9":                                       410,
		"resourceVersionMatch=NotOlderThan&resourceVersion=9&continue=" + forged(10, "ns/a"): 422,
		"sendInitialEvents=true":                                                             422,
		"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=1":         422,
		"watch=true&sendInitialEvents=true":                                                  422,
		"watch=true&sendInitialEvents=false":                                                 422,
		"watch&sendInitialEvents":                                                            422,
		"watch=true&sendInitialEvents=true&resourceVersionMatch=Exact":                       422,
		"watch=true&resourceVersionMatch=NotOlderThan":                                       422,
		"watch=true&resourceVersion=-1":                                                      400,
		"watch=true&resourceVersion=abc":                                                     400,
		"watch=true&timeoutSeconds=abc":                                                      400,
		"labelSelector=" + url.QueryEscape("a in (b"):                                        400,
		"fieldSelector=" + url.QueryEscape("metadata.name"):                                  400,
		"fieldSelector=" + url.QueryEscape(`metadata.name=a\`):                               400,
		"fieldSelector=" + url.QueryEscape(`metadata.name=a\x`):                              400,
		"fieldSelector=" + url.QueryEscape(`metadata.name=a\,b\=c\\`):                        200,
	} {
		code, body := h.get(t, "/api/v1/pods?"+query)
		var status struct{ Kind string }
		if err := json.Unmarshal([]byte(body), &status); err != nil || code != want || (status.Kind == "Status") != (want != 200) {
			t.Errorf("%s: it answers %d %.200s", query, code, body)
		}
	}
}

// watching opens a watch, and returns its lines.
func (h *hub) watching(t *testing.T, query string) *bufio.Scanner {
	t.Helper()
	response := h.ask(t, "?"+query, "")
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", query, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// ask asks for pods.
func (h *hub) ask(t *testing.T, query, accept string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+"/api/v1/pods"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	response, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// A watch is one however it is asked for, and does not end at once however long it is to last.
func TestWatchesAreToldByAnyValueButFalse(t *testing.T) {
	h := newHub(t)
	for _, query := range []string{"watch", "watch=1", "watch=True", "watch=yes", "watch=true&timeoutSeconds=-5", "watch=true&timeoutSeconds=0", "watch=true&timeoutSeconds=9223372036854775807"} {
		lines := h.watching(t, query+"&resourceVersion=0")
		for range 2 {
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"type":"ADDED"`) {
				t.Errorf("%s: got %q, %v", query, lines.Text(), lines.Err())
			}
		}
	}
	for _, path := range []string{"/api/v1/pods?watch=false", "/api/v1/pods?watch=0", "/api/v1/namespaces/ns/pods/a?watch=true"} {
		if _, body := h.get(t, path); strings.Contains(body, `"type":`) || !strings.HasPrefix(body, `{"kind":"Pod`) {
			t.Errorf("%s: got %s", path, body)
		}
	}
}

// Who does not read costs what is in the buffers of his connection, hinders nobody, and is told to list when he reads.
func TestWhoDoesNotReadIsToldToList(t *testing.T) {
	h := newHub(t)
	conn, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/pods?watch=true&resourceVersion=10 HTTP/1.1\r\nHost: hub\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	slow := bufio.NewReader(answer.Body)
	quick := h.watching(t, "watch=true&resourceVersion=10")
	const events = 30_000
	more := strings.Repeat("x", 200)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range uint64(events) {
		h.pods.Apply(h.pod(t, "a", 11+i, more), false)
		if (i+1)%500 == 0 { // the other reads as they come
			for {
				if !quick.Scan() {
					t.Fatal("who reads is not served")
				}
				if strings.Contains(quick.Text(), fmt.Sprintf(`"resourceVersion":"%d"`, 11+i)) {
					break
				}
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("%d bytes are kept", grown)
	} else {
		t.Logf("%d KiB are kept", grown>>10)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		line, err := slow.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, `{"type":"ERROR"`) {
			if !strings.Contains(line, `"code":410`) {
				t.Errorf("got %s", line)
			}
			return
		}
	}
}

// stuck is who reads nothing, until he goes.
type stuck struct {
	http.ResponseWriter
	begun chan<- struct{}
	gone  <-chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	case <-s.gone:
	}
	<-s.gone
	return 0, errors.New("he has gone")
}

// Of a list that somebody reads slowly no more is held than is on the way, in whatever form; and that he goes is nobody's error.
func TestWhoReadsAListSlowlyHoldsNoneOfIt(t *testing.T) {
	const readers, objects, size = 10, 100, 4 << 10
	h := newHub(t)
	var all []*view.Object
	for i := range objects {
		all = append(all, h.pod(t, fmt.Sprintf("p%04d", i), 3, strings.Repeat("x", size)))
	}
	h.pods.Replace(all, 10)
	var log bytes.Buffer
	handler, err := New(Config{Views: h.views, Upstream: http.NotFoundHandler(), Away: func() bool { return true }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"application/json", "application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		t.Run(accept, func(t *testing.T) {
			begun, gone := make(chan struct{}), make(chan struct{})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var reading sync.WaitGroup
			for range readers {
				r := httptest.NewRequest(http.MethodGet, "/api/v1/pods?includeObject=Object", nil)
				r.Header.Set("Accept", accept)
				reading.Go(func() { handler.ServeHTTP(&stuck{httptest.NewRecorder(), begun, gone}, r) })
			}
			for range readers {
				<-begun
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			close(gone)
			reading.Wait()
			if held := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / readers; held > objects*size/4 {
				t.Errorf("%d KiB are held for each, of %d", held>>10, objects*size>>10)
			}
		})
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", log.String())
	}
}

// An object that cannot be written as somebody wants it is what his watch ends with, and said to those who can mend it.
func TestAWatchOfWhatCannotBeWrittenSaysSo(t *testing.T) {
	var log bytes.Buffer
	h := newHub(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	odd, err := h.pods.Parse([]byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"odd","namespace":"ns","resourceVersion":"11"},"spec":{"containers":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	h.pods.Apply(odd, false)
	body, err := io.ReadAll(h.ask(t, "?watch=true&resourceVersion=10&timeoutSeconds=60", "application/vnd.kubernetes.protobuf").Body)
	if err != nil || !bytes.Contains(body, []byte("ERROR")) {
		t.Errorf("it ends with %v and %q", err, body)
	}
	h.Close() // when nobody writes to the log
	if !strings.Contains(log.String(), "odd") {
		t.Errorf("the log says %q", log.String())
	}
}

// A watch is over when it was to be, also for who does not read what it has sent.
func TestWhoNeverReadsIsLeftWhenHisWatchIsOver(t *testing.T) {
	h := newHub(t)
	conn, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/pods?watch=true&resourceVersion=10&timeoutSeconds=1 HTTP/1.1\r\nHost: hub\r\n\r\n")
	if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(20) { // more than a connection's buffers have
		h.pods.Apply(h.pod(t, "a", 11+i, strings.Repeat("x", 1<<20)), false)
	}
	select {
	case <-h.ended:
	case <-time.After(patience):
		t.Error("it is served still")
	}
}

// Who selects what does not change, of a view that changes all the time, is told how far it has come: else it has to list after a cut.
func TestWhoSelectsLittleOfWhatChangesALotIsToldHowFarItHasCome(t *testing.T) {
	h := newHub(t, func(c *Config) { c.BookmarkEvery = 50 * time.Millisecond })
	quiet := h.watching(t, "watch=true&resourceVersion=10&allowWatchBookmarks=true&fieldSelector=metadata.name%3Db")
	told := make(chan string)
	go func() { // ends with the watch
		quiet.Scan()
		told <- quiet.Text()
	}()
	changes := time.NewTicker(5 * time.Millisecond)
	defer changes.Stop()
	giveUp := time.After(patience)
	for at := uint64(11); ; at++ {
		select {
		case <-changes.C:
			h.pods.Apply(h.pod(t, "a", at, ""), false)
		case line := <-told:
			if !strings.Contains(line, "BOOKMARK") {
				t.Errorf("got %s", line)
			}
			return
		case <-giveUp:
			t.Fatal("nothing was told")
		}
	}
}

// While upstream is away people see what is known in columns. Who wants the objects, or nothing of them, besides gets that.
func TestTablesAreWrittenWhileUpstreamIsAway(t *testing.T) {
	const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	away := false
	h := newHub(t, func(c *Config) { c.Away = func() bool { return away } })
	get := func(query string) (code int, body string) {
		t.Helper()
		answer := h.ask(t, query, accept)
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	if code, _ := get(""); code != http.StatusTeapot {
		t.Errorf("while upstream is there it has to answer: %d", code)
	}
	away = true
	for query, want := range map[string]struct{ has, hasNot string }{
		"":                      {`"kind":"PartialObjectMetadata"`, `"more"`},
		"?includeObject=Object": {`"more"`, `"kind":"PartialObjectMetadata"`},
		"?includeObject=None":   {`"object":null`, `"more"`},
		"?watch=true&resourceVersion=10&timeoutSeconds=1&allowWatchBookmarks=true": {"", `"ERROR"`},
	} {
		code, body := get(query)
		if code != http.StatusOK || !strings.Contains(body, want.has) || strings.Contains(body, want.hasNot) {
			t.Errorf("%s: %d %s", query, code, body)
		}
		if want.has != "" && (!strings.Contains(body, `"kind":"Table"`) || !strings.Contains(body, `"name":"Restarts"`) || strings.Count(body, `"cells":`) != 2) {
			t.Errorf("%s: no Table of two pods: %s", query, body)
		}
	}
	if code, body := get("?includeObject=x"); code != http.StatusTeapot {
		t.Errorf("what no API server takes: %d %s", code, body)
	}
	events := bufio.NewScanner(h.ask(t, "?watch=true&resourceVersion=10", accept).Body)
	h.pods.Apply(h.pod(t, "a", 11, ""), false)
	h.pods.Apply(h.pod(t, "a", 12, ""), false)
	for _, columns := range []bool{true, false} { // kubectl has them from the first
		if !events.Scan() || !strings.Contains(events.Text(), `"kind":"Table"`) || strings.Contains(events.Text(), `"Restarts"`) != columns {
			t.Errorf("columns %v: got %s", columns, events.Text())
		}
	}
}

// Many have one view, and when they have gone nothing is left of them.
func TestManyWatchOneView(t *testing.T) {
	h := newHub(t)
	const watchers, events = 500, 300
	began := runtime.NumGoroutine()
	conns := make([]net.Conn, watchers)
	var reading sync.WaitGroup
	ready := make(chan struct{}, watchers)
	for i := range conns {
		conn, err := net.Dial("tcp", h.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
		fmt.Fprintf(conn, "GET /api/v1/pods?watch=true&resourceVersion=10 HTTP/1.1\r\nHost: hub\r\n\r\n")
		reading.Go(func() { // a Body is not closed: that would wait for the end of the watch
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			ready <- struct{}{}
			if err != nil {
				t.Error(err)
				return
			}
			lines := bufio.NewScanner(response.Body)
			for got := 1; got <= events; got++ {
				if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"resourceVersion":"%d"`, 10+got)) {
					t.Errorf("one of them has got %q as the %dth, %v", lines.Text(), got, lines.Err())
					return
				}
			}
		})
	}
	for range watchers {
		<-ready
	}
	start := time.Now()
	for i := range uint64(events) {
		h.pods.Apply(h.pod(t, "a", 11+i, ""), false)
	}
	reading.Wait()
	t.Logf("%d events to each of %d in %s", events, watchers, time.Since(start))
	for _, conn := range conns {
		_ = conn.Close()
	}
	for range watchers {
		select {
		case <-h.ended:
		case <-time.After(patience):
			t.Fatal("some are served still")
		}
	}
	for until := time.Now().Add(patience); runtime.NumGoroutine() > began+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("there are %d goroutines, and were %d", runtime.NumGoroutine(), began)
		}
	}
}

// full is why there is no room for another view.
type full struct{ error }

func (full) Full() bool { return true }

// As a hub starts, feeds have failed and upstream is there: whoever was handed on then would read past the hub for as long as his watch lasts, and have nothing when it is away.
func TestWhoWatchesWhatIsNotFilledYetIsNotHandedOn(t *testing.T) {
	h := newHub(t)
	away := errors.New("no API server has answered")
	for name, test := range map[string]struct {
		why  error
		path string
		want int
	}{
		"a watch that is not filled yet":              {away, "/api/v1/configmaps?watch=1", http.StatusServiceUnavailable},
		"a streaming list that is not filled yet":     {away, "/api/v1/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", http.StatusServiceUnavailable},
		"a list, which ends, is upstream's":           {away, "/api/v1/configmaps", http.StatusTeapot},
		"an object is upstream's":                     {away, "/api/v1/namespaces/ns/configmaps/c", http.StatusTeapot},
		"a watch that will not be filled is upstream": {full{away}, "/api/v1/configmaps?watch=1", http.StatusTeapot},
	} {
		t.Run(name, func(t *testing.T) {
			h.views.mu.Lock()
			h.views.why = test.why
			h.views.mu.Unlock()
			if code, body := h.get(t, test.path); code != test.want {
				t.Errorf("got %d %s, want %d", code, body, test.want)
			}
		})
	}
}

// The beginning of a list would be taken for all of it.
func TestAListThatCannotBeWrittenToItsEndIsNoList(t *testing.T) {
	h := newHub(t)
	handler, err := New(Config{
		Views: h.views, Upstream: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler),
		Rewrite: func(*http.Request, Read) func([]byte) ([]byte, error) {
			return func(body []byte) ([]byte, error) {
				if strings.Contains(string(body), `"name":"b"`) {
					return nil, errors.New("it is damaged")
				}
				return body, nil
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	response, err := http.Get(server.URL + "/api/v1/pods")
	if err != nil {
		return // that is no list, either
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("%s: %s", response.Status, body)
	}
}

func TestAViewIsNotRememberedByASelectorOfAnyLength(t *testing.T) {
	h := newHub(t)
	for length, want := range map[int]int{10_000: http.StatusOK, 20_000: http.StatusTeapot} {
		response, err := http.Get(h.URL + "/api/v1/pods?fieldSelector=metadata.name%3D" + strings.Repeat("x", length))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("a selector of %d bytes: %s", length, response.Status)
		}
	}
}

// refusal is what upstream said instead of a list.
type refusal int

func (r refusal) Error() string          { return fmt.Sprint("it answers ", int(r)) }
func (r refusal) Refusal() (int, []byte) { return int(r), []byte("{}") }

func TestWhatIsNoRefusalIsNotHandedOn(t *testing.T) {
	h := newHub(t)
	for code, want := range map[int]int{403: 403, 429: 429, 0: 503, 200: 503, 204: 503, 302: 503, 1000: 503} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			h.views.mu.Lock()
			h.views.why = refusal(code)
			h.views.mu.Unlock()
			response, err := http.Get(h.URL + "/api/v1/secrets?watch=true")
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("a watch is answered %s", response.Status)
			}
		})
	}
}
