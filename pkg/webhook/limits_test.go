package webhook_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/webhook"
)

// admissionReview asks about the creation of an object.
func admissionReview(object string) string {
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r1","operation":"CREATE",` +
		`"kind":{"group":"types.kubefed.io","version":"v1beta2","kind":"FederatedDeployment"},"object":` + object + `}}`
}

// ofTinyObjects is an object of about the given size with as many overrides as fit.
func ofTinyObjects(size int) string {
	head := `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","metadata":{"name":"web","namespace":"shop"},"spec":{"overrides":[{}`
	return head + strings.Repeat(",{}", (size-len(head))/3) + `]}}`
}

func TestHostileReviewsAreRefusedBeforeTheyAreDecoded(t *testing.T) {
	server := serve(t, webhook.Config{})
	tiny := ofTinyObjects(2 << 20)
	deep := strings.Repeat(`{"a":`, 200_000) + "1" + strings.Repeat("}", 200_000)
	large := strings.Replace(topologyShape, "<", strings.Repeat("x", 3<<20), 1)
	for sentence, tc := range map[string]struct {
		path, body string
		code       int
		want       string
	}{
		"tiny objects to convert":             {"/convert", convertReview("types.kubefed.io/v1beta1", topologyShape, tiny), 413, "objects[1]: 2097153 bytes of JSON with"},
		"tiny objects to validate":            {"/validate", admissionReview(tiny), 413, "MiB when they are decoded: at most 128 MiB are allowed"},
		"tiny objects beside the object":      {"/mutate", strings.Replace(admissionReview("{}"), `"uid"`, `"x":[{}`+strings.Repeat(",{}", 1<<20)+`],"uid"`, 1), 413, "MiB when they are decoded"},
		"an object larger than a request":     {"/convert", convertReview("types.kubefed.io/v1beta1", large), 413, "is larger than 3145728"},
		"that in an admission review":         {"/validate", admissionReview(large), 413, "is larger than 3145728"},
		"an admission review of three":        {"/validate", admissionReview(large) + large + large, 413, "the review is larger than 6553600 bytes"},
		"200,000 objects around one another":  {"/convert", convertReview("types.kubefed.io/v1beta1", strings.Replace(topologyShape, `{"a":"<"}`, deep, 1)), 400, "exceeded max depth"},
		"those in an admission review":        {"/validate", admissionReview(strings.Replace(topologyShape, `{"a":"<"}`, deep, 1)), 400, "exceeded max depth"},
		"a million objects that are no kinds": {"/convert", convertReview("types.kubefed.io/v1beta1", "{}"+strings.Repeat(",{}", 1<<20)), 200, `"message":"objects[0]: apiVersion`},
	} {
		t.Run(sentence, func(t *testing.T) {
			code, body := post(t, server.URL+tc.path, tc.body)
			if code != tc.code || !strings.Contains(body, tc.want) {
				t.Errorf("got %d %.300s, want %d with %q", code, body, tc.code, tc.want)
			}
		})
	}
}

func TestThousandsOfMistakesAreToldInShort(t *testing.T) {
	server := serve(t, webhook.Config{})
	code, body := post(t, server.URL+"/validate", admissionReview(ofTinyObjects(300<<10)))
	if code != http.StatusOK || !strings.Contains(body, "there are more mistakes than these 100") {
		t.Errorf("got %d %.300s", code, body)
	}
}

func TestLargestObjectsOfAClusterAreAnswered(t *testing.T) {
	server := serve(t, webhook.Config{})
	// 1.5 MiB is the most that etcd takes.
	data := strings.Repeat(`"a":"b",`, 3<<16-100)
	object := strings.Replace(topologyShape, `{"a":"<"}`, "{"+strings.TrimSuffix(data, ",")+"}", 1)
	update := strings.Replace(admissionReview(object), `"object":`, `"oldObject":`+object+`,"object":`, 1)
	if code, body := post(t, server.URL+"/mutate", update); code != http.StatusOK {
		t.Errorf("an update: got %d %.300s", code, body)
	}
	if code, body := post(t, server.URL+"/convert", convertReview("types.kubefed.io/v1beta1", object, object)); code != http.StatusOK || !strings.Contains(body, `"status":"Success"`) {
		t.Errorf("got %d %.300s", code, body)
	}
}

func TestWhatRequestsHoldTogetherIsLimited(t *testing.T) {
	review := convertReview("types.kubefed.io/v1beta1", topologyShape)
	server := serve(t, webhook.Config{MemoryLimitBytes: 1 << 20})
	if code, body := post(t, server.URL+"/convert", review+strings.Repeat(" ", 600<<10)); code != http.StatusTooManyRequests || body != "too many requests are being answered: try again\n" {
		t.Errorf("a body above the limit: got %d %s", code, body)
	}
	many := convertReview("types.kubefed.io/v1beta1", topologyShape+strings.Repeat(","+topologyShape, 1500))
	if code, _ := post(t, server.URL+"/convert", many); code != http.StatusTooManyRequests {
		t.Errorf("a body whose answer is above the limit: got %d", code)
	}
	for range 3 { // what a request held is given back
		if code, body := post(t, server.URL+"/convert", review); code != http.StatusOK {
			t.Errorf("a body within the limit: got %d %s", code, body)
		}
	}
}

// stall sends the beginning of a review, and returns the connection.
func stall(t *testing.T, server *httptest.Server, path string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", path)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestStalledUploadsAreCutAndGiveBackWhatTheyHeld(t *testing.T) {
	server := serve(t, webhook.Config{MaxInFlight: 2, TransferTimeout: 100 * time.Millisecond})
	conns := []net.Conn{stall(t, server, "/validate"), stall(t, server, "/mutate")}
	for _, conn := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusRequestTimeout || string(body) != "the review did not arrive within 100ms\n" {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
		if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil {
			t.Errorf("the connection is not closed: %d bytes, %v", n, err)
		}
	}
	if code, body := post(t, server.URL+"/validate", admissionReview(topologyShape)); code != http.StatusOK {
		t.Errorf("afterwards: got %d %s", code, body)
	}
}

func TestRequestsAtATimeAreLimited(t *testing.T) {
	// Long enough for the test never to see it.
	handler := webhook.New(webhook.Config{MaxInFlight: 1, TransferTimeout: time.Hour})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	reading, hold := make(chan struct{}), make(chan struct{})
	first := &http.Request{Method: http.MethodPost, URL: reviewURL("/validate"), Header: http.Header{}}
	first.Body = io.NopCloser(io.MultiReader(opened{reading}, blocked{hold}, strings.NewReader(admissionReview(topologyShape))))
	answer := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		handler.ServeHTTP(connected{answer}, first)
	}()
	<-reading
	if code, body := post(t, server.URL+"/mutate", admissionReview(topologyShape)); code != http.StatusTooManyRequests || body != "too many requests are being answered: try again\n" {
		t.Errorf("a second admission review: got %d %s", code, body)
	}
	if code, body := post(t, server.URL+"/convert", convertReview("types.kubefed.io/v1beta1", topologyShape)); code != http.StatusOK {
		t.Errorf("a conversion review beside it: got %d %s", code, body)
	}
	close(hold)
	<-done
	if answer.Code != http.StatusOK {
		t.Errorf("the first one: got %d %s", answer.Code, answer.Body)
	}
	if code, body := post(t, server.URL+"/mutate", admissionReview(topologyShape)); code != http.StatusOK {
		t.Errorf("afterwards: got %d %s", code, body)
	}
}

// opened is an empty body that says when it is read.
type opened struct{ read chan struct{} }

func (o opened) Read([]byte) (int, error) {
	close(o.read)
	return 0, io.EOF
}

// blocked is an empty body that ends when hold is closed.
type blocked struct{ hold chan struct{} }

func (b blocked) Read([]byte) (int, error) {
	<-b.hold
	return 0, io.EOF
}

// TestConnectionsGoOnAfterAReview: what is left of a deadline would end a later request to
// the same server.
func TestConnectionsGoOnAfterAReview(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	review := admissionReview(topologyShape)
	webhook.New(webhook.Config{}).ServeHTTP(w, &http.Request{Method: http.MethodPost, URL: reviewURL("/validate"), Body: io.NopCloser(strings.NewReader(review))})
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"uid":"r1"`) {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	for name, got := range map[string][]time.Time{"read": w.read, "write": w.write} {
		if len(got) != 2 || got[0].IsZero() || !got[1].IsZero() {
			t.Errorf("%s deadlines: %v, want one and then none", name, got)
		}
	}
}

// deadlines records the deadlines of its connection.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = append(d.read, at)
	return nil
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = append(d.write, at)
	return nil
}

func TestConnectionsWithoutDeadlinesAreRefused(t *testing.T) {
	w := httptest.NewRecorder()
	webhook.New(webhook.Config{}).ServeHTTP(w, &http.Request{Method: http.MethodPost, URL: reviewURL("/validate"), Body: http.NoBody})
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "the time of this request cannot be limited") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
