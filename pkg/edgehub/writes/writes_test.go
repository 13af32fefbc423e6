package writes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

const node = `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n","uid":"u1","resourceVersion":"7"},"status":{"unknown":{"kept":true}}}`

// cloud is an API server that is there or not, a disk that is full or not, and what is known of others.
type cloud struct {
	away, full bool
	code       int // of what is written after the return
	answer     string
	wrote      []string
	may        map[string]bool
	fails      string // in what it fails to take
	cut        bool   // away, after what was asked was sent
	got        []byte // with a request
	meanwhile  func() // while something is written
}

func (c *cloud) Apply(...store.Change) error {
	if c.full {
		return errors.New("no space left on device")
	}
	return nil
}

func (c *cloud) Token(token string) (authenticationv1.UserInfo, bool) {
	return authenticationv1.UserInfo{Username: "anna"}, token == "known"
}

func (c *cloud) May(spec *authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, known bool) {
	allowed, known = c.may[spec.User+" "+spec.ResourceAttributes.Verb+" "+spec.ResourceAttributes.Resource]
	return allowed, "", known
}
func (c *cloud) Allowed(spec *authorizationv1.SubjectAccessReviewSpec) {
	c.may[spec.User+" "+spec.ResourceAttributes.Verb+" "+spec.ResourceAttributes.Resource] = true
}
func (c *cloud) Issued(string, string, string) {}
func (c *cloud) Kept(string, string, string)   {}

func (c *cloud) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch {
	case c.away && c.cut:
		status.WriteUnanswered(rw, errors.New("the link is cut"))
		return
	case c.away:
		status.WriteAway(rw, errors.New("the link is cut"))
		return
	}
	c.got, _ = io.ReadAll(r.Body)
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(rw, c.answer)
}

func (c *cloud) send(r *http.Request, user string) (*http.Response, error) {
	if c.away {
		return nil, errors.New("the link is cut")
	}
	body, _ := io.ReadAll(r.Body)
	c.wrote = append(c.wrote, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", user, r.Method, r.URL.Path, body)))
	if c.meanwhile != nil {
		c.meanwhile()
	}
	if c.fails != "" && bytes.Contains(body, []byte(c.fails)) {
		return &http.Response{StatusCode: http.StatusInternalServerError, Status: "500 Internal Server Error", Body: http.NoBody}, nil
	}
	return &http.Response{StatusCode: c.code, Status: fmt.Sprint(c.code), Body: io.NopCloser(strings.NewReader(`{"kind":"Status","reason":"AlreadyExists"}`))}, nil
}

func newHandler(t *testing.T) (*Handler, *cloud) {
	t.Helper()
	c := &cloud{code: http.StatusCreated, may: map[string]bool{}}
	h, err := New(Config{
		Node: "n", Next: c, Knows: c, Book: notes.NewBook(c, nil), Send: c.send, Logger: slog.New(slog.DiscardHandler),
		Away: func() bool { return c.away }, NodeObject: func() []byte { return []byte(node) },
		Who: func(r *http.Request) (Caller, bool) {
			user := r.Header.Get("X-User")
			return Caller{Local: user == "", User: authenticationv1.UserInfo{Username: user}}, user != "nobody"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, c
}

func do(h http.Handler, user, method, path, contentType string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-User", user)
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

// longAgo has all that was not taken be so for as long as it is tried.
func (q *queue) longAgo() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for name := range q.refused {
		q.refused[name] = time.Now().Add(-triedFor)
	}
}

func event(name string) []byte {
	text, _ := json.Marshal(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}})
	return text
}

const events = "/api/v1/namespaces/ns/events"

func TestWhatCannotBeKeptIsNotPromised(t *testing.T) {
	h, c := newHandler(t)
	c.away, c.full = true, true
	if rw := do(h, "", http.MethodPost, events, "application/json", event("a")); rw.Code != http.StatusServiceUnavailable || rw.Header().Get("Retry-After") == "" {
		t.Errorf("an event on a full disk: %d: %s", rw.Code, rw.Body)
	}
	c.full = false
	if rw := do(h, "", http.MethodPost, events, "application/json", event("a")); rw.Code != http.StatusCreated {
		t.Errorf("and when there is room: %d: %s", rw.Code, rw.Body)
	}
}

func TestWhoMayNotWriteIsNotPromisedThatItIsWritten(t *testing.T) {
	h, c := newHandler(t)
	post := func(user string) int {
		return do(h, user, http.MethodPost, events, "application/json", event("a")).Code
	}
	c.away = true
	if got := post("anna"); got != http.StatusServiceUnavailable {
		t.Errorf("whose right is not known: %d", got)
	}
	c.away = false
	if got := post("anna"); got != http.StatusCreated {
		t.Fatalf("with the cloud: %d", got)
	}
	c.away = true
	if got := post("anna"); got != http.StatusCreated {
		t.Errorf("who has done it before: %d", got)
	}
	c.may["bert create events"] = false
	if got := post("bert"); got != http.StatusServiceUnavailable {
		t.Errorf("who may not: %d", got)
	}
	if got := post("nobody"); got != http.StatusServiceUnavailable {
		t.Errorf("nobody: %d", got)
	}
	if got := do(h, "anna", http.MethodPut, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n", "application/json", nil).Code; got != http.StatusServiceUnavailable {
		t.Errorf("the node's Lease, by a pod: %d", got)
	}
	if got := do(h, "anna", http.MethodPatch, "/api/v1/nodes/n/status", "application/merge-patch+json", []byte(`{"metadata":{"annotations":{"flannel.alpha.coreos.com/x":"y"}}}`)).Code; got != http.StatusServiceUnavailable {
		t.Errorf("flannel's annotation, by another: %d", got)
	}
}

func TestWhatIsKeptIsWrittenOnceInItsOrder(t *testing.T) {
	h, c := newHandler(t)
	c.away = true
	for _, name := range []string{"a", "b", "c"} {
		do(h, "", http.MethodPost, events, "application/json", event(name))
	}
	do(h, "", http.MethodPatch, events+"/a", "application/strategic-merge-patch+json", []byte(`{"count":9}`))
	if h.Queued() != 3 {
		t.Errorf("%d are kept", h.Queued())
	}
	h.queue.send(t.Context())
	if h.Queued() != 3 {
		t.Error("the link is cut, and they are gone")
	}
	c.away, c.code = false, http.StatusServiceUnavailable
	h.queue.send(t.Context())
	if h.Queued() != 3 || len(c.wrote) != 1 {
		t.Errorf("an API server that is ill was asked %d times, and %d are kept", len(c.wrote), h.Queued())
	}
	c.code, c.wrote = http.StatusConflict, nil // the first one was written, and its answer lost
	h.queue.send(t.Context())
	h.queue.send(t.Context())
	var names []string
	for _, wrote := range c.wrote {
		var e corev1.Event
		if err := json.Unmarshal([]byte(wrote[strings.Index(wrote, "{"):]), &e); err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(e.Name, e.Count))
	}
	if got := strings.Join(names, " "); got != "b0 c0 a9" || h.Queued() != 0 { // what was said last of a is last
		t.Errorf("written: %q; %d are kept", got, h.Queued())
	}
}

func TestWhatItsWriterMayNotWriteIsTriedForAWhile(t *testing.T) {
	h, c := newHandler(t)
	c.may["anna create events"] = true
	c.away = true
	do(h, "anna", http.MethodPost, events, "application/json", event("a"))
	c.away, c.code = false, http.StatusUnauthorized
	h.queue.send(t.Context())
	if h.Queued() != 1 {
		t.Fatal("it is gone, and its writer may have another token in a minute")
	}
	h.queue.longAgo()
	h.queue.send(t.Context())
	if h.Queued() != 0 || !strings.HasPrefix(c.wrote[0], "anna POST") {
		t.Errorf("%d are kept, %v", h.Queued(), c.wrote)
	}
}

// What the API server fails on, each time, hinders nobody else's writes, nor its writer's others; and it is given up while those are taken.
func TestAWriteThatTheAPIServerFailsOnHindersNoOther(t *testing.T) {
	h, c := newHandler(t)
	c.may["anna create events"], c.may["berta create events"] = true, true
	c.away = true
	for _, name := range []string{"poison", "a"} {
		do(h, "anna", http.MethodPost, events, "application/json", event(name))
	}
	do(h, "berta", http.MethodPost, events, "application/json", event("b"))
	c.away, c.fails = false, "poison"
	h.queue.send(t.Context())
	if h.Queued() != 1 {
		t.Fatalf("%d are kept, %v", h.Queued(), c.wrote)
	}
	h.queue.longAgo()
	h.queue.send(t.Context())
	if h.Queued() != 1 {
		t.Fatal("it was given up, although the API server took nothing at all: it may not be well")
	}
	c.away = true
	do(h, "anna", http.MethodPost, events, "application/json", event("c"))
	c.away = false
	h.queue.send(t.Context())
	if h.Queued() != 0 {
		t.Errorf("it is tried forever: %v", c.wrote)
	}
}

// Three that fail each time are not tried before the others each time.
func TestManyWritesThatFailHinderNoOtherOfTheSameWriter(t *testing.T) {
	h, c := newHandler(t)
	c.away = true
	for i := range maxFailed {
		do(h, "", http.MethodPost, events, "application/json", event(fmt.Sprint("poison", i)))
	}
	do(h, "", http.MethodPost, events, "application/json", event("good"))
	c.away, c.fails = false, "poison"
	h.queue.send(t.Context())
	h.queue.send(t.Context())
	if h.Queued() != maxFailed {
		t.Errorf("%d are kept, %d were tried", h.Queued(), len(c.wrote))
	}
}

// The link is back for a moment, too short for a pod to get another token. When it is back again the pod has as long as at first.
func TestHowLongAWriteIsTriedCountsFromTheReturn(t *testing.T) {
	h, c := newHandler(t)
	c.may["anna create events"] = true
	c.away = true
	do(h, "anna", http.MethodPost, events, "application/json", event("a"))
	c.away, c.code = false, http.StatusUnauthorized
	h.queue.send(t.Context())
	h.queue.longAgo()
	c.away = true
	h.queue.send(t.Context())
	c.away = false
	h.queue.send(t.Context())
	if h.Queued() != 1 {
		t.Error("it was given up at once")
	}
}

// An event happens again while it is being written: it was made once by then, and how often it happened is not lost.
func TestAnEventThatHappensAgainWhileItIsWrittenIsCounted(t *testing.T) {
	h, c := newHandler(t)
	c.away = true
	do(h, "", http.MethodPost, events, "application/json", event("a"))
	c.meanwhile = func() {
		c.away, c.meanwhile = true, nil
		do(h, "", http.MethodPatch, events+"/a", "application/strategic-merge-patch+json", []byte(`{"count":9}`))
		c.away = false
	}
	c.away = false
	h.queue.send(t.Context())
	h.queue.send(t.Context())
	if len(c.wrote) != 2 || c.wrote[1] != `PATCH `+events+`/a {"count":9}` || h.Queued() != 0 {
		t.Errorf("written: %q; %d are kept", c.wrote, h.Queued())
	}
}

// While the API server fails on everything, nothing is lost, and a few of each user are tried.
func TestWhatABusyAPIServerDoesNotTakeIsKept(t *testing.T) {
	h, c := newHandler(t)
	c.may["anna create events"] = true
	c.away = true
	for i := range 20 {
		do(h, "anna", http.MethodPost, events, "application/json", event(fmt.Sprint("poison", i)))
	}
	c.away, c.fails = false, "poison"
	h.queue.send(t.Context())
	if h.Queued() != 20 || len(c.wrote) != maxFailed {
		t.Errorf("%d are kept, %d were tried", h.Queued(), len(c.wrote))
	}
}

// Who does not know whether a request was done is not told to try it again: clients would.
func TestWhatWasSentAndNotAnsweredIsNotToBeSentAgain(t *testing.T) {
	h, c := newHandler(t)
	const pods = "/api/v1/namespaces/ns/pods"
	for sent, want := range map[bool]int{false: http.StatusServiceUnavailable, true: http.StatusGatewayTimeout} {
		c.away, c.cut = true, sent
		rw := do(h, "anna", http.MethodPost, pods, "application/json", []byte(`{}`))
		if again := rw.Header().Get("Retry-After"); rw.Code != want || (again == "") != sent {
			t.Errorf("sent %v: %d, again after %q: %s", sent, rw.Code, again, rw.Body)
		}
	}
	c.away, c.cut = true, true
	if rw := do(h, "", http.MethodPatch, "/api/v1/nodes/n/status", "application/merge-patch+json", []byte(`{"status":{}}`)); rw.Code != http.StatusOK {
		t.Errorf("what is answered without the API server is, whether it was sent or not: %d", rw.Code)
	}
}

// A pod that sends many bodies, slowly, is told to come back; others are served.
func TestWhoSendsManyBodiesAtOnceHasAPartOfTheMemory(t *testing.T) {
	h, c := newHandler(t)
	c.may["berta create events"], c.away = true, true
	begun := make(chan struct{})
	var slow []*io.PipeWriter
	var running sync.WaitGroup
	for range maxReadOf {
		from, to := io.Pipe()
		slow = append(slow, to)
		r := httptest.NewRequest(http.MethodPost, events, from)
		r.Header.Set("X-User", "anna")
		running.Go(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
		go func() { _, _ = to.Write([]byte("{")); begun <- struct{}{} }() // ends when it is read
	}
	for range slow {
		<-begun
	}
	if rw := do(h, "anna", http.MethodPost, events, "application/json", event("a")); rw.Code != http.StatusTooManyRequests || rw.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", rw.Code)
	}
	if rw := do(h, "berta", http.MethodPost, events, "application/json", event("a")); rw.Code != http.StatusCreated {
		t.Errorf("somebody else: %d", rw.Code)
	}
	for _, to := range slow {
		_ = to.Close()
	}
	running.Wait()
	if rw := do(h, "anna", http.MethodPost, events, "application/json", event("a")); rw.Code != http.StatusServiceUnavailable {
		t.Errorf("later: %d", rw.Code)
	}
}

// Who does not send his body in time is answered so, and let go of.
func TestWhoDoesNotSendHisBodyIsAnswered(t *testing.T) {
	h, _ := newHandler(t)
	h.sending = 100 * time.Millisecond
	s := httptest.NewServer(h)
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: hub\r\nX-User: anna\r\nContent-Length: 100\r\n\r\n{", events)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // or the test does not end
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
		t.Errorf("it ends with %v, after %q", err, answer)
	}
}

// What is larger than what is kept of a pod is handed on to its last byte.
func TestALargeBodyOfAPodIsHandedOnWhole(t *testing.T) {
	h, c := newHandler(t)
	body := bytes.Repeat([]byte("x"), 5*maxKept)
	if rw := do(h, "anna", http.MethodPost, events, "application/json", body); rw.Code != http.StatusCreated || !bytes.Equal(c.got, body) {
		t.Errorf("%d, %d bytes of %d", rw.Code, len(c.got), len(body))
	}
}

// kubelet writes protobuf.
func TestWhatKubeletWritesIsUnderstood(t *testing.T) {
	h, c := newHandler(t)
	c.away = true
	var body bytes.Buffer
	serializer := protobuf.NewSerializer(codecsScheme, codecsScheme)
	e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "ns"}}
	e.APIVersion, e.Kind = "v1", "Event"
	if err := serializer.Encode(e, &body); err != nil {
		t.Fatal(err)
	}
	if rw := do(h, "", http.MethodPost, events, "application/vnd.kubernetes.protobuf", body.Bytes()); rw.Code != http.StatusCreated || !strings.Contains(rw.Body.String(), `"name":"a"`) {
		t.Errorf("got %d: %s", rw.Code, rw.Body)
	}
	rw := do(h, "", http.MethodPatch, "/api/v1/nodes/n/status", "application/strategic-merge-patch+json", []byte(`{"status":{"nodeInfo":{"kubeletVersion":"v1"}}}`))
	if rw.Code != http.StatusOK || !strings.Contains(rw.Body.String(), `"unknown":{"kept":true}`) || !strings.Contains(rw.Body.String(), `"kubeletVersion":"v1"`) {
		t.Errorf("the node's status: %d: %s", rw.Code, rw.Body)
	}
	for what, try := range map[string]struct{ method, path, contentType, body string }{
		"an event that is none":            {http.MethodPost, events, "application/json", "{"},
		"an event that is very large":      {http.MethodPost, events, "application/json", `{"kind":"Event","apiVersion":"v1","metadata":{"name":"a"},"message":"` + strings.Repeat("x", maxKept) + `"}`},
		"an event without a name":          {http.MethodPost, events, "application/json", `{"kind":"Event","apiVersion":"v1"}`},
		"an event of another namespace":    {http.MethodPost, events, "application/json", `{"kind":"Event","apiVersion":"v1","metadata":{"name":"a","namespace":"other"}}`},
		"a pod as an event":                {http.MethodPost, events, "application/json", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}`},
		"a JSON patch of an event":         {http.MethodPatch, events + "/a", "application/json-patch+json", `[]`},
		"a patch of an event that is none": {http.MethodPatch, events + "/a", "application/strategic-merge-patch+json", `[`},
		"a Lease of another":               {http.MethodPost, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "application/json", `{}`},
		"a token for nothing":              {http.MethodPost, "/api/v1/namespaces/ns/serviceaccounts/a/token", "application/json", `{`},
		"another node":                     {http.MethodPost, "/api/v1/nodes", "application/json", `{"kind":"Node","apiVersion":"v1","metadata":{"name":"m"}}`},
		"labels of the node":               {http.MethodPatch, "/api/v1/nodes/n", "application/merge-patch+json", `{"metadata":{"labels":{"a":"b"}}}`},
	} {
		if rw := do(h, "", try.method, try.path, try.contentType, []byte(try.body)); rw.Code < 400 {
			t.Errorf("%s: %d: %s", what, rw.Code, rw.Body)
		}
	}
	if rw := do(h, "", http.MethodPost, events, "application/json", bytes.Repeat([]byte("x"), maxBody+1)); rw.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a very large one: %d", rw.Code)
	}
}

// Names of kubelet's events can be known, or guessed.
func TestWhatOneHasWrittenNobodyElseWrites(t *testing.T) {
	h, c := newHandler(t)
	c.away = true
	c.may["anna create events"], c.may["anna patch events"] = true, true
	const mergePatch = "application/merge-patch+json"
	for _, step := range []struct{ user, method, path, contentType, body string }{
		{"anna", http.MethodPost, events, "application/json", string(event("a"))},
		{"", http.MethodPatch, events + "/a", mergePatch, `{"count":2}`},
		{"", http.MethodPost, events, "application/json", string(event("b"))},
		{"anna", http.MethodPatch, events + "/b", mergePatch, `{"message":"forged"}`},
	} {
		if rw := do(h, step.user, step.method, step.path, step.contentType, []byte(step.body)); rw.Code >= 300 {
			t.Fatalf("%+v: %d: %s", step, rw.Code, rw.Body)
		}
	}
	c.away = false
	h.queue.send(t.Context())
	var got []string
	for _, text := range c.wrote {
		user, _, _ := strings.Cut(text, " {")
		got = append(got, user)
	}
	want := []string{"anna POST " + events, "PATCH " + events + "/a", "POST " + events, "anna PATCH " + events + "/b"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if strings.Contains(c.wrote[2], "forged") {
		t.Errorf("the node writes %s", c.wrote[2])
	}
}

func TestWhatIsOnlyTriedIsNotKept(t *testing.T) {
	h, c := newHandler(t)
	c.away = true
	if rw := do(h, "", http.MethodPost, events+"?dryRun=All", "application/json", event("a")); rw.Code != http.StatusServiceUnavailable {
		t.Errorf("%d: %s", rw.Code, rw.Body)
	}
	if n := h.Queued(); n != 0 {
		t.Errorf("%d are kept", n)
	}
}

// How pods are is what kubelet says, and nobody else.
func TestOnlyTheNodeSaysHowItsPodsAre(t *testing.T) {
	h, c := newHandler(t)
	var told []string
	h.config.PodStatus = func(namespace, name string, patch, taken []byte) {
		told = append(told, fmt.Sprintf("%s/%s %s %s", namespace, name, patch, taken))
	}
	c.may["anna patch pods"] = true
	c.answer = "{}"
	const path, strategic = "/api/v1/namespaces/ns/pods/a", "application/strategic-merge-patch+json"
	for _, away := range []bool{false, true} {
		c.away = away
		for _, one := range []struct{ user, method, path, contentType string }{
			{"anna", http.MethodPatch, path + "/status", strategic}, {"nobody", http.MethodPatch, path + "/status", strategic}, {"", http.MethodPatch, path, strategic},
			{"", http.MethodPut, path + "/status", "application/json"}, {"", http.MethodPatch, path + "/status", "application/merge-patch+json"}, {"", http.MethodPatch, path + "/status?dryRun=All", strategic},
		} {
			if do(h, one.user, one.method, one.path, one.contentType, []byte("1")); told != nil {
				t.Errorf("%+v: it was told %q", one, told)
			}
		}
	}
	if rw := do(h, "", http.MethodPatch, path+"/status", strategic, []byte("1")); rw.Code != http.StatusServiceUnavailable || !slices.Contains(told, "ns/a 1 ") {
		t.Errorf("while it is away: %d, %q", rw.Code, told)
	}
	c.away, told = false, nil
	do(h, "", http.MethodPatch, path+"/status", strategic, []byte("1"))
	if !slices.Equal(told, []string{"ns/a 1 {}"}) {
		t.Errorf("while it is there: %q", told)
	}
}

// The Lease is renewed each ten seconds, for years, and disks of edge nodes wear out.
func TestTheLeaseIsWrittenToDiskSeldomAndAnsweredAsItWasLast(t *testing.T) {
	h, c := newHandler(t)
	now := time.Now()
	h.now = func() time.Time { return now }
	const path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n"
	lease := func(version int, uid string) string {
		return fmt.Sprintf(`{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"n","namespace":"kube-node-lease","uid":%q,"resourceVersion":"%d"},"spec":{}}`, uid, version)
	}
	onDisk := func() string {
		kept, _ := h.leases.Get("n")
		var l coordinationv1.Lease
		_ = json.Unmarshal(kept.Body, &l)
		return string(l.UID) + " " + l.ResourceVersion
	}
	answered := func() string {
		c.away = true
		defer func() { c.away = false }()
		var l coordinationv1.Lease
		if rw := do(h, "", http.MethodGet, path, "", nil); rw.Code != http.StatusOK || json.Unmarshal(rw.Body.Bytes(), &l) != nil {
			t.Errorf("%d: %s", rw.Code, rw.Body)
		}
		return string(l.UID) + " " + l.ResourceVersion
	}
	renew := func(version int, uid string) {
		c.answer = lease(version, uid)
		do(h, "", http.MethodPut, path, "application/json", []byte(c.answer))
		now = now.Add(10 * time.Second)
	}
	for i := range 60 {
		renew(i, "u")
	}
	if onDisk() != "u 0" || answered() != "u 59" {
		t.Errorf("%s is on disk after ten minutes, and %s is answered", onDisk(), answered())
	}
	renew(60, "u")
	if onDisk() != "u 60" {
		t.Errorf("%s is on disk later", onDisk())
	}
	renew(61, "other")
	if onDisk() != "other 61" || answered() != "other 61" {
		t.Errorf("%s is on disk when it was made anew, and %s is answered", onDisk(), answered())
	}
	h.config.Book.Clear() // it is another cluster
	c.away = true
	if rw := do(h, "", http.MethodGet, path, "", nil); rw.Code != http.StatusServiceUnavailable {
		t.Errorf("of another cluster: %d: %s", rw.Code, rw.Body)
	}
	c.away = false
	renew(7, "other")
	if onDisk() != "other 7" {
		t.Errorf("%s is on disk of the other cluster", onDisk())
	}
}

func TestAFloodOfEventsOfOneDropsNobodyElses(t *testing.T) {
	h, c := newHandler(t)
	c.away, c.may["anna create events"] = true, true
	do(h, "", http.MethodPost, events, "application/json", event("nodes"))
	for i := range maxQueued + 1 {
		do(h, "anna", http.MethodPost, events, "application/json", event(fmt.Sprint("e", i)))
	}
	if first := h.queue.kept.All()[0].Value; first.User != "" || h.Queued() > maxQueuedOf+1 {
		t.Errorf("%d are kept, and first one of %q", h.Queued(), first.User)
	}
}

// Each write is a write to the disk, which is small and wears out.
func TestAPodThatWritesWithoutEndIsToldToTryAgainLater(t *testing.T) {
	q := &queue{shares: map[string]*rate.Limiter{}}
	now := time.Now()
	count := func(user string, of int) (admitted int) {
		for range of {
			if q.admits(user, now) {
				admitted++
			}
		}
		return admitted
	}
	if got := count("a", 2*maxQueuedOf); got != maxQueuedOf {
		t.Errorf("at once %d are admitted", got)
	}
	now = now.Add(10 * writeEvery)
	if got := count("a", maxQueuedOf); got != 10 {
		t.Errorf("later %d are admitted", got)
	}
	if got := count("b", 1) + count("", 2*maxQueued); got != 1+2*maxQueued {
		t.Errorf("of others %d are admitted", got)
	}
	for i := range 2 * maxShares {
		q.admits(fmt.Sprint(i), now)
	}
	if len(q.shares) > maxShares {
		t.Errorf("%d shares are known", len(q.shares))
	}
}

// Until a link that is cut says so kubelet would start no pod. What pods write waits, as who they are is asked.
func TestWhatTheNodeWritesDoesNotWaitUntilAnAPIServerIsReached(t *testing.T) {
	h, c := newHandler(t)
	h.config.Unreached = func() bool { return true }
	if rw := do(h, "", http.MethodPost, "/api/v1/nodes", "application/json", []byte(node)); rw.Code != http.StatusConflict || c.got != nil {
		t.Errorf("registration: %d; the API server was asked: %t", rw.Code, c.got != nil)
	}
	if rw := do(h, "anna", http.MethodPost, events, "application/json", event("a")); rw.Code != http.StatusCreated || c.got == nil || h.Queued() != 0 {
		t.Errorf("a pod's event: %d; the API server was asked: %t", rw.Code, c.got != nil)
	}
}
