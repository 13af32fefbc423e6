package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/kubernetes/scheme"
	clientrest "k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
)

// cellPath is the endpoint of the cell that cellBench has.
const cellPath = "/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/a/proxy"

// cellBench is a cell of a member, and a server of its endpoint.
type cellBench struct {
	*testing.T
	front   *httptest.Server
	proxies *Proxies
	cell    atomic.Pointer[Cell] // nil if there is none
	link    *links.Link
	linkErr error
	caller  user.Info
	revoked atomic.Bool
	masked  string
}

func newCellBench(t *testing.T, member http.Handler) *cellBench {
	t.Helper()
	b := &cellBench{T: t, caller: alice}
	b.cell.Store(&Cell{Member: "m1", MemberNamespace: "shop-a"})
	b.link = linkTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; path == "/api" || path == "/apis" || path == "/api/v1" {
			oldDiscovery(w, r)
			return
		}
		member.ServeHTTP(w, r)
	}))
	var err error
	b.proxies, err = New(Config{Links: b, Cells: b, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), Codecs: serializer.NewCodecFactory(scheme.Scheme)})
	if err != nil {
		t.Fatal(err)
	}
	b.front = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.front.Close)
	return b
}

// serve does what an API server does with a request to a proxy.
func (b *cellBench) serve(w http.ResponseWriter, r *http.Request) {
	resolver := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := resolver.NewRequestInfo(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx := request.WithNamespace(request.WithUser(request.WithRequestInfo(r.Context(), info), b.caller), info.Namespace)
	Front(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served := map[string]rest.Connecter{"cells": b.proxies.CellProxy(), "clusters": b.proxies.ClusterProxy(), "fleets": b.proxies.FleetProxy()}
		handler, err := served[info.Resource].Connect(r.Context(), info.Name, nil, nil)
		if err != nil {
			b.proxies.fail(w, r, err)
			return
		}
		handler.ServeHTTP(w, r)
	})).ServeHTTP(w, r.WithContext(ctx))
}

func (b *cellBench) Cell(_ context.Context, _, name string) (*Cell, error) {
	if cell := b.cell.Load(); cell != nil {
		return cell, nil
	}
	return nil, apierrors.NewNotFound(pods.GroupResource(), name)
}

// Account is the account of the cell a of shop, and of the cell b, by their names.
func (b *cellBench) Account(caller user.Info) (namespace, cell string, is bool) {
	cell, is = strings.CutPrefix(caller.GetName(), "account-of-")
	return "shop", cell, is
}

func (b *cellBench) Revoked(string, string, user.Info) error {
	if b.revoked.Load() {
		return apierrors.NewUnauthorized("the token was revoked")
	}
	return nil
}

func (b *cellBench) HeldBack(_ context.Context, _, _ string, kind schema.GroupKind, name string) error {
	if b.masked == kind.String()+" "+name {
		return apierrors.NewForbidden(pods.GroupResource(), name, errors.New("it is masked"))
	}
	return nil
}

func (b *cellBench) To(context.Context, string) (*links.Link, error) { return b.link, b.linkErr }
func (b *cellBench) Members(context.Context) ([]string, error)       { return []string{"m1"}, nil }
func (b *cellBench) Watch(context.Context) <-chan struct{}           { return nil }

// send sends a request as it is written, with a place for the endpoint, and returns the connection.
func (b *cellBench) send(request string) (net.Conn, *bufio.Reader) {
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
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a test that hangs says where
	if _, err := io.WriteString(conn, strings.Replace(request, "CELL", cellPath, 1)); err != nil {
		b.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// answer reads an answer and its body.
func (b *cellBench) answer(from *bufio.Reader) (*http.Response, string) {
	b.Helper()
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer, string(body)
}

const hostLine = " HTTP/1.1\r\nHost: koinon\r\n"

// goingOn is a member with a watch and an exec without end.
func goingOn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"shop-a","name":"p"}}}`+"\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nprompt")
	_ = rw.Flush()
	_, _ = io.Copy(io.Discard, rw)
}

func TestNothingGoesOnInAPlaceThatIsNotTheCellsAnyMore(t *testing.T) {
	for name, move := range map[string]*Cell{
		"the cell is deleted":                               nil,
		"the cell is made again in another member":          {Member: "m10", MemberNamespace: "shop-a"},
		"the cell is made again in another namespace":       {Member: "m1", MemberNamespace: "shop"},
		"the cell's name begins with that of the old place": {Member: "m1", MemberNamespace: "shop-a-b"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCellBench(t, http.HandlerFunc(goingOn))
			b.proxies.stillThere = time.Millisecond
			_, watch := b.send("GET CELL/api/v1/namespaces/shop/pods?watch=true&timeoutSeconds=86400" + hostLine + "\r\n")
			watching, err := http.ReadResponse(watch, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer watching.Body.Close()
			events := bufio.NewReader(watching.Body)
			if event, err := events.ReadString('\n'); err != nil || !strings.Contains(event, `"namespace":"shop"`) {
				t.Fatalf("%q, %v", event, err)
			}
			_, exec := b.send("GET CELL/api/v1/namespaces/shop/pods/p/exec?command=sh" + hostLine + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			if answer, err := http.ReadResponse(exec, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v, %v", answer, err)
			}
			if _, err := io.ReadFull(exec, make([]byte, len("prompt"))); err != nil {
				t.Fatal(err)
			}
			b.cell.Store(move)
			if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
				t.Errorf("the watch ended with %q, %v: want a whole answer, so that clients begin another", rest, err)
			}
			if _, err := exec.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
}

func TestBodiesThatDoNotComeAreCounted(t *testing.T) {
	b := newCellBench(t, http.NotFoundHandler())
	for range 100 {
		_, reader := b.send("POST CELL/api/v1/namespaces/shop/pods" + hostLine + "Content-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
		if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") { // it is being read
			t.Fatalf("%q, %v", line, err)
		}
	}
	_, reader := b.send("GET CELL/api/v1/namespaces/shop/pods" + hostLine + "\r\n")
	if answer, body := b.answer(reader); answer.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "has 100 requests under way") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestABodyThatDoesNotComeIsNotAwaitedForEver(t *testing.T) {
	b := newCellBench(t, http.HandlerFunc(goingOn))
	b.proxies.bodyTimeout = 50 * time.Millisecond
	_, reader := b.send("POST CELL/api/v1/namespaces/shop/pods" + hostLine + "Content-Length: 3000000\r\n\r\n{")
	if answer, body := b.answer(reader); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "read the body") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	_, reader = b.send("GET CELL/api/v1/namespaces/shop/pods/p/exec" + hostLine + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if answer, err := http.ReadResponse(reader, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	if _, err := io.ReadFull(reader, make([]byte, len("prompt"))); err != nil {
		t.Errorf("a connection is a body, too: %v", err)
	}
}

func TestClientsOfACellAreNotToldWhereItsMemberIs(t *testing.T) {
	const address = "10.9.8.7"
	broken := func(err error) links.Dialer {
		return func(context.Context, string, string, string) (net.Conn, error) { return nil, err }
	}
	for name, test := range map[string]struct {
		dial    links.Dialer
		linkErr error
		want    string
	}{
		"there is no route": {
			broken(&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 6443}, Err: syscall.EHOSTUNREACH}), nil, `cluster \"m1\" does not answer`},
		"its name is not known": {broken(&net.DNSError{Name: address, Err: "no such host", Server: address}), nil, `cluster \"m1\" does not answer`},
		"nobody listens":        {broken(&net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.ParseIP(address)}, Err: syscall.ECONNREFUSED}), nil, "connection refused"},
		"its Secret is for another address": {nil,
			apierrors.NewServiceUnavailable(`Secret "m1" does not say that its token may be sent to spec.apiEndpoint "` + address + `"`), `cell \"a\" of namespace \"shop\": its cluster \"m1\" cannot be reached`},
		"there is no such cluster": {nil, apierrors.NewNotFound(pods.GroupResource(), "m1"), `there is no cluster \"m1\"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCellBench(t, http.NotFoundHandler())
			link, err := links.NewLink("m1", &clientrest.Config{Host: "https://" + address}, test.dial)
			if err != nil {
				t.Fatal(err)
			}
			b.link, b.linkErr = link, test.linkErr
			for _, path := range []string{"/api/v1/namespaces/shop/pods", "/version"} {
				_, reader := b.send("GET CELL" + path + hostLine + "\r\n")
				answer, body := b.answer(reader)
				if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, test.want) || strings.Contains(body, address) || strings.Contains(body, "Secret") {
					t.Errorf("%s: %d %s", path, answer.StatusCode, body)
				}
			}
		})
	}
}

func TestRequestsThatMayBeReadInTwoWaysAreRefused(t *testing.T) {
	b := newCellBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("the member got %s %s with %q", r.Method, r.URL, body)
	}))
	const body = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}`
	post := func(headers string) string {
		return "POST CELL/api/v1/namespaces/shop/pods" + hostLine + headers + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
	}
	for name, test := range map[string]struct {
		request string
		code    int
	}{
		"two types of a body":           {post("Content-Type: application/json\r\nContent-Type: application/yaml\r\n"), http.StatusBadRequest},
		"a packed body":                 {post("Content-Encoding: gzip\r\nContent-Type: application/json\r\n"), http.StatusUnsupportedMediaType},
		"a packed body in protobuf":     {post("Content-Encoding: gzip\r\nContent-Type: application/vnd.kubernetes.protobuf\r\n"), http.StatusBadRequest},
		"two lengths":                   {post("Content-Length: 1\r\n"), http.StatusBadRequest},
		"watch twice":                   {"GET CELL/api/v1/pods?watch=false&watch=true" + hostLine + "\r\n", http.StatusBadRequest},
		"a connection of another kind":  {"GET CELL/api/v1/namespaces/shop/pods?watch=true" + hostLine + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", http.StatusBadRequest},
		"an escape in the cell's name":  {"GET /apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/%61/proxy/api/v1/pods" + hostLine + "\r\n", http.StatusBadRequest},
		"the namespace of the member":   {"GET CELL/api/v1/namespaces/shop-a/pods" + hostLine + "\r\n", http.StatusForbidden},
		"a name that begins as its own": {"GET CELL/api/v1/namespaces/shop1/pods" + hostLine + "\r\n", http.StatusForbidden},
		"a method that nobody knows":    {"OPTIONS CELL/api/v1/namespaces/shop/services" + hostLine + "\r\n", http.StatusNotFound},
		"a query of more than is read":  {"GET CELL/api/v1/pods?" + strings.Repeat("a&", 20_000) + "fieldSelector=x%3Dy;watch" + hostLine + "\r\n", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, reader := b.send(test.request)
			if answer, said := b.answer(reader); answer.StatusCode != test.code {
				t.Errorf("%d %s, want %d", answer.StatusCode, said, test.code)
			}
		})
	}
}

func TestABodyInChunksComesWhole(t *testing.T) {
	got := make(chan string, 1)
	b := newCellBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- fmt.Sprintf("%d %s", r.ContentLength, body)
	}))
	_, reader := b.send("POST CELL/api/v1/namespaces/shop/pods" + hostLine + "Transfer-Encoding: chunked\r\n\r\n" +
		"1\r\n{\r\n1a\r\n\"metadata\":{\"name\":\"pods\"}\r\n1\r\n}\r\n0\r\n\r\n")
	if answer, body := b.answer(reader); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	if want := `28 {"metadata":{"name":"pods"}}`; <-got != want {
		t.Errorf("want %s", want)
	}
}

func TestAnApplicationLeadsToTheSameInTheCell(t *testing.T) {
	const asked = "/api/v1/namespaces/shop/pods/web:80/proxy/"
	for to, want := range map[string]string{
		"/api/v1/namespaces/shop-a/pods/web:80/proxy/login?next=a%20b": cellPath + "/api/v1/namespaces/shop/pods/web:80/proxy/login?next=a%20b",
		"login": cellPath + "/api/v1/namespaces/shop/pods/web:80/proxy/login",
		"/api/v1/namespaces/other/pods/web:80/proxy/": "",
		"/api/v1/namespaces/shop-a/pods":              "",
		"https://elsewhere.example/":                  "",
	} {
		b := newCellBench(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}))
		_, reader := b.send("GET CELL" + asked + hostLine + "\r\n")
		code := http.StatusBadGateway
		if want != "" {
			code = http.StatusFound
		}
		answer, body := b.answer(reader)
		if got := answer.Header.Get("Location"); got != want || answer.StatusCode != code || strings.Contains(body, "shop-a") {
			t.Errorf("%s leads to %q: %d %s, want %d %q", to, got, answer.StatusCode, body, code, want)
		}
	}
}

// asAccount has requests come from the account of a cell.
func (b *cellBench) asAccount(cell string) { b.caller = &user.DefaultInfo{Name: "account-of-" + cell} }

func (b *cellBench) get(path string) (code int, body string) {
	b.Helper()
	_, reader := b.send("GET CELL" + path + hostLine + "\r\n")
	answer, body := b.answer(reader)
	return answer.StatusCode, body
}

func TestTheAccountOfACellUsesNoOther(t *testing.T) {
	b := newCellBench(t, http.NotFoundHandler())
	b.asAccount("b")
	code, body := b.get("/api/v1/namespaces/shop/pods")
	if want := `you are the account of cell \"b\" of namespace \"shop\", which may use no other cell`; code != http.StatusForbidden || !strings.Contains(body, want) {
		t.Errorf("got %d %s", code, body)
	}
	b.asAccount("a")
	if code, body := b.get("/api/v1/namespaces/shop/pods/p"); code != http.StatusNotFound {
		t.Errorf("its own: got %d %s", code, body)
	}
	b.revoked.Store(true)
	if code, body := b.get("/api/v1/namespaces/shop/pods/p"); code != http.StatusUnauthorized {
		t.Errorf("with a token that was taken back: got %d %s", code, body)
	}
	b.caller = alice
	if code, body := b.get("/api/v1/namespaces/shop/pods/p"); code != http.StatusNotFound {
		t.Errorf("somebody else: got %d %s", code, body)
	}
}

func TestTheControllerOfACellHasNothingOutsideOfItsNamespace(t *testing.T) {
	b := newCellBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the member was asked for %s", r.URL) }))
	const marked = "?labelSelector=kubefed.io/managed%3Dtrue"
	refused := func() {
		t.Helper()
		if code, body := b.get("/api/v1/nodes" + marked); code != http.StatusForbidden {
			t.Errorf("got %d %s", code, body)
		}
	}
	refused() // alice is none
	b.asAccount("a")
	want := `{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}` + "\n"
	if code, body := b.get("/api/v1/nodes" + marked); code != http.StatusOK || body != want {
		t.Errorf("got %d %s", code, body)
	}
	if code, body := b.get("/api/v1/nodes/n1"); code != http.StatusNotFound {
		t.Errorf("got %d %s", code, body)
	}
	for path, want := range map[string]int{
		"/api/v1/nodes": 403, "/api/v1/nodes?labelSelector=kubefed.io/managed!%3Dtrue": 403, "/api/v1/nodes?labelSelector=a%3Db": 403, "/api/v1/nothings" + marked: 404,
	} {
		if code, body := b.get(path); code != want {
			t.Errorf("%s: got %d %s, want %d", path, code, body, want)
		}
	}
}

func TestAWatchOfNothingEndsAsOthersDo(t *testing.T) {
	for name, test := range map[string]struct {
		query string
		end   func(b *cellBench)
	}{
		"after its time":                {"timeoutSeconds=1", func(*cellBench) {}},
		"when the cell goes":            {"timeoutSeconds=3600", func(b *cellBench) { b.cell.Store(nil) }},
		"when its token is taken back":  {"timeoutSeconds=3600", func(b *cellBench) { b.revoked.Store(true) }},
		"when the way to the member is": {"timeoutSeconds=3600", func(b *cellBench) { b.link.End(links.ErrRotated) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCellBench(t, http.NotFoundHandler())
			b.proxies.stillThere = time.Millisecond
			b.asAccount("a")
			_, reader := b.send("GET CELL/api/v1/nodes?watch=true&sendInitialEvents=true&labelSelector=kubefed.io/managed%3Dtrue&" + test.query + hostLine + "\r\n")
			answer, err := http.ReadResponse(reader, nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%v, %v", answer, err)
			}
			defer answer.Body.Close()
			events := bufio.NewReader(answer.Body)
			if event, err := events.ReadString('\n'); err != nil || !strings.Contains(event, `"k8s.io/initial-events-end":"true"`) {
				t.Fatalf("%q, %v", event, err)
			}
			test.end(b)
			if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
				t.Errorf("it ended with %q, %v", rest, err)
			}
		})
	}
}

func TestAWatchEndsWhenTheTokenOfTheAccountIsTakenBack(t *testing.T) {
	b := newCellBench(t, http.HandlerFunc(goingOn))
	b.proxies.stillThere = time.Millisecond
	b.asAccount("a")
	_, reader := b.send("GET CELL/api/v1/namespaces/shop/pods?watch=true&timeoutSeconds=3600" + hostLine + "\r\n")
	watching, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Body.Close()
	events := bufio.NewReader(watching.Body)
	if event, err := events.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", event, err)
	}
	b.revoked.Store(true)
	if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
		t.Errorf("the watch ended with %q, %v", rest, err)
	}
}

func TestAControllerDoesNotWriteWhatIsMasked(t *testing.T) {
	var wrote atomic.Int32
	b := newCellBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			wrote.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"shop-a"}}`)
	}))
	send := func(method, path, media, body string) int {
		_, reader := b.send(fmt.Sprintf("%s CELL%s%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, hostLine, media, len(body), body))
		answer, _ := b.answer(reader)
		return answer.StatusCode
	}
	const pod = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"shop"}}`
	all := func() (codes []int) {
		return []int{
			send("POST", "/api/v1/namespaces/shop/pods", "application/json", pod), send("PUT", "/api/v1/namespaces/shop/pods/p", "application/json", pod),
			send("PATCH", "/api/v1/namespaces/shop/pods/p", "application/merge-patch+json", `{"metadata":{"labels":{"a":"b"}}}`), send("DELETE", "/api/v1/namespaces/shop/pods/p", "application/json", ""),
		}
	}
	b.masked = "Pod p"
	if got := fmt.Sprint(all()); got != "[200 200 200 200]" || wrote.Load() != 4 {
		t.Errorf("somebody else: got %s, and %d writes", got, wrote.Load())
	}
	b.asAccount("a")
	if got := fmt.Sprint(all()); got != "[403 403 403 403]" || wrote.Load() != 4 {
		t.Errorf("the controller: got %s, and %d writes", got, wrote.Load())
	}
	if got := send("GET", "/api/v1/namespaces/shop/pods/p", "application/json", ""); got != http.StatusOK {
		t.Errorf("to read: got %d", got)
	}
	b.masked = "Pod q"
	if got := fmt.Sprint(all()); got != "[200 200 200 200]" || wrote.Load() != 8 {
		t.Errorf("another pod: got %s, and %d writes", got, wrote.Load())
	}
}

func TestAMaskIsNotGotRound(t *testing.T) {
	b := newCellBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the member was sent %s %s", r.Method, r.URL) }))
	b.asAccount("a")
	for sentence, test := range map[string]struct{ masked, method, path, media, body string }{
		"another name that differs in case": {
			"Pod p", "POST", "/namespaces/shop/pods", "application/json", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","Name":"other"}}`,
		},
		"the name and then metadata once more": {
			"Pod p", "POST", "/namespaces/shop/pods", "application/json", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"metadata":{"labels":{}}}`,
		},
		"a name and the beginning of one": {
			"Pod p", "POST", "/namespaces/shop/pods", "application/json", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","generateName":"other-"}}`,
		},
		"a subresource":                 {"Pod p", "PATCH", "/namespaces/shop/pods/p/status", "application/merge-patch+json", `{"status":{}}`},
		"all objects at once":           {"Pod p", "DELETE", "/namespaces/shop/pods", "application/json", ""},
		"all that are called so":        {"Pod p", "DELETE", "/namespaces/shop/pods?fieldSelector=metadata.name%3Dp", "application/json", ""},
		"the namespace, by a patch":     {"Namespace ", "PATCH", "/namespaces/shop", "application/merge-patch+json", `{"metadata":{"labels":{"a":"b"}}}`},
		"the namespace, as a whole":     {"Namespace ", "PUT", "/namespaces/shop", "application/json", `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"shop"}}`},
		"the namespace, by applying it": {"Namespace ", "PATCH", "/namespaces/shop?fieldManager=m", "application/apply-patch+yaml", `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"shop","labels":{"a":"b"}}}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			b.masked = test.masked
			_, reader := b.send(fmt.Sprintf("%s CELL/api/v1%s%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", test.method, test.path, hostLine, test.media, len(test.body), test.body))
			if answer, body := b.answer(reader); answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("got %s %s", answer.Status, body)
			}
		})
	}
}

func TestTheAccountOfACellUsesNoMemberAsAWhole(t *testing.T) {
	b := newCellBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the member was asked for %s", r.URL) }))
	b.asAccount("a")
	for _, path := range []string{"clusters/m1", "fleets/all"} {
		_, reader := b.send("GET /apis/federation.koinon.io/v1alpha1/" + path + "/proxy/api/v1/namespaces/shop/pods" + hostLine + "\r\n")
		answer, body := b.answer(reader)
		if want := `you are the account of cell \"a\" of namespace \"shop\", which may use the endpoint of this cell only`; answer.StatusCode != http.StatusForbidden || !strings.Contains(body, want) {
			t.Errorf("%s: got %s %s", path, answer.Status, body)
		}
	}
}
