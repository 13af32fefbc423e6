package relay_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// prefix is where the member is served here.
const prefix = "/apis/federation.koinon.io/v1alpha1/clusters/m1/proxy"

// bench is a member, what carries requests on to it, and a client of that.
type bench struct {
	*testing.T
	member *httptest.Server
	link   *links.Link
	front  *httptest.Server
	relay  *relay.Relay
	caller user.Info
}

// newBench serves a member over TLS, by HTTP/2 too, and the relay in front of it.
func newBench(t *testing.T, member http.Handler) *bench {
	t.Helper()
	b := &bench{T: t, member: httptest.NewUnstartedServer(member), caller: &user.DefaultInfo{Name: "alice", Groups: []string{"dev"}}}
	b.member.EnableHTTP2 = true
	b.member.StartTLS()
	t.Cleanup(b.member.Close)
	b.link = b.linkTo(b.member.URL, &rest.Config{BearerToken: "of-the-federation"})
	b.relay = relay.New(fail)
	b.front = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.front.Close)
	return b
}

func (b *bench) linkTo(address string, config *rest.Config) *links.Link {
	b.Helper()
	config.Host = address
	if config.CAData == nil {
		config.Insecure = true
	}
	link, err := links.NewLink("m1", config, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { link.End(links.ErrServerEnds) })
	return link
}

func (b *bench) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), prefix)
	b.relay.Serve(w, r, relay.Request{Cluster: "m1", Link: b.link, Prefix: prefix, Path: path, RawQuery: r.URL.RawQuery, Caller: b.caller})
}

var codecs = serializer.NewCodecFactory(scheme.Scheme)

func fail(w http.ResponseWriter, r *http.Request, err error) {
	responsewriters.ErrorNegotiated(err, codecs, schema.GroupVersion{Version: "v1"}, w, r)
}

// get asks for a path and returns the answer, whose body is closed with the test.
func (b *bench) get(path string, headers ...string) *http.Response {
	b.Helper()
	return b.do(http.MethodGet, path, headers...)
}

func (b *bench) do(method, path string, headers ...string) *http.Response {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), method, b.front.URL+prefix+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header[headers[i]] = append(request.Header[headers[i]], headers[i+1]) // as it is written
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// status reads the Status that an answer must be.
func (b *bench) status(answer *http.Response) *metav1.Status {
	b.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.Fatal(err)
	}
	object, _, err := codecs.UniversalDeserializer().Decode(body, nil, nil)
	status, ok := object.(*metav1.Status)
	if err != nil || !ok {
		b.Fatalf("the answer %d is no Status: %s", answer.StatusCode, body)
	}
	if int(status.Code) != answer.StatusCode {
		b.Errorf("the Status says %d, the answer is %d", status.Code, answer.StatusCode)
	}
	return status
}

// refused asks for a path and wants a code and a message.
func (b *bench) refused(answer *http.Response, code int, message string) {
	b.Helper()
	status := b.status(answer)
	if answer.StatusCode != code || !strings.Contains(status.Message, message) {
		b.Errorf("got %d %q, want %d and %q in it", answer.StatusCode, status.Message, code, message)
	}
}

// upgrade sends the header of a request that changes the protocol, and returns the connection and
// the answer.
func (b *bench) upgrade(path, protocol string) (net.Conn, *bufio.Reader, *http.Response) {
	b.Helper()
	front, err := url.Parse(b.front.URL)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", front.Host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs says where
	request := "GET " + prefix + path + " HTTP/1.1\r\nHost: koinon\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\nCookie: a=b\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		b.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
	if err != nil {
		b.Fatal(err)
	}
	return conn, reader, answer
}

// hijacked answers with bytes of its own, and then echoes.
func hijacked(answer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString(answer)
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
	})
}
