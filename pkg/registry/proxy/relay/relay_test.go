package relay_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

func TestAMemberSeesTheCallerWhateverTheClientSays(t *testing.T) {
	seen := make(chan http.Header, 1)
	b := newBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	b.caller = &user.DefaultInfo{
		Name: "system:serviceaccount:shop:bot", UID: "u1", Groups: []string{"dev", "system:masters", "system:authenticated", "kubeadm:cluster-admins"},
		Extra: map[string][]string{"example.org/Scope": {"a", "b"}},
	}
	b.get("/api/v1/pods",
		"Impersonate-User", "root", "Impersonate-Group", "system:masters", "Impersonate-Extra-X", "y", "Impersonate-Uid", "0",
		"impersonate-user", "root", "X-Remote-User", "root", "X-Remote-Group", "system:masters", "x-remote-extra-a", "b",
		"Authorization", "Bearer of-the-client", "Cookie", "session=1", "Origin", "https://evil.example", "Referer", "https://evil.example/",
		"X-Forwarded-For", "10.0.0.1", "Connection", "Impersonate-User, Authorization, X-Kept", "Proxy-Authorization", "Basic x",
		"X-Kept-Too", "1", "Accept", "application/json")
	got := <-seen
	for _, header := range []string{"Cookie", "Origin", "Referer", "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-A", "Impersonate-Extra-X", "X-Forwarded-For", "Proxy-Authorization"} {
		if got.Get(header) != "" {
			t.Errorf("the member got %s: %q", header, got.Values(header))
		}
	}
	want := http.Header{
		"Authorization": {"Bearer of-the-federation"}, "Impersonate-User": {"host:system:serviceaccount:shop:bot"}, "Impersonate-Uid": {"u1"},
		"Impersonate-Group":                     {"dev", "host:system:masters", "host:kubeadm:cluster-admins"},
		"Impersonate-Extra-Example.org%2fscope": {"a", "b"}, "X-Kept-Too": {"1"}, "Accept": {"application/json"},
	}
	for header, values := range want {
		if diff := cmp.Diff(values, got.Values(header)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", header, diff)
		}
	}
}

func TestNoTwoNamesOfTheHostAreTheSameInAMember(t *testing.T) {
	names := []string{"alice", "system:masters", "host:system:masters", "host:host:system:masters", "kubeadm:x", "host:alice", "system", "hosts:alice"}
	seen := map[string]string{}
	for _, name := range names {
		foreign := accounts.InMembers(name)
		if other, ok := seen[foreign]; ok {
			t.Errorf("%q and %q are both %q", name, other, foreign)
		}
		if strings.HasPrefix(foreign, "system:") || strings.HasPrefix(foreign, "kubeadm:") {
			t.Errorf("%q is %q, which means somebody else in a member", name, foreign)
		}
		seen[foreign] = name
	}
}

func TestNamesThatAHeaderCannotSayAreNotSentToAMember(t *testing.T) {
	seen := make(chan http.Header, 2)
	b := newBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	alice := user.DefaultInfo{Name: "alice"}
	for name, change := range map[string]func(*user.DefaultInfo){
		"a group of others after a space":   func(u *user.DefaultInfo) { u.Groups = []string{" system:masters"} },
		"a group of others before a tab":    func(u *user.DefaultInfo) { u.Groups = []string{"dev", "admins\t"} },
		"a user with a space at the end":    func(u *user.DefaultInfo) { u.Name = "alice " },
		"a user with a line end":            func(u *user.DefaultInfo) { u.Name = "alice\r\nImpersonate-Group: system:masters" },
		"a UID with a space at the end":     func(u *user.DefaultInfo) { u.UID = "1 " },
		"an extra value with spaces around": func(u *user.DefaultInfo) { u.Extra = map[string][]string{"scopes": {"a", " all"}} },
	} {
		t.Run(name, func(t *testing.T) {
			caller := alice
			change(&caller)
			b.caller = &caller
			b.refused(b.get("/api/v1/pods"), http.StatusForbidden, "members are told in headers who asks")
			_, _, answer := b.upgrade("/api/v1/namespaces/a/pods/b/exec", "websocket")
			b.refused(answer, http.StatusForbidden, "members are told in headers who asks")
		})
	}
	if len(seen) > 0 {
		t.Errorf("the member got %v", <-seen)
	}
}

func TestAnAnswerDoesNotActInABrowser(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</evil.js>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		for key, value := range map[string]string{
			"Set-Cookie": "a=b", "Content-Type": "text/html", "Content-Security-Policy": "default-src *", "X-Content-Type-Options": "sniff",
			"Access-Control-Allow-Origin": "*", "Www-Authenticate": "Basic", "Refresh": "0; url=https://evil.example", "Clear-Site-Data": "*",
			"Strict-Transport-Security": "max-age=1", "Service-Worker-Allowed": "/", "Trailer": "Set-Cookie", "X-Of-The-App": "1", "Warning": `299 - "old"`,
		} {
			w.Header().Set(key, value)
		}
		_, _ = io.WriteString(w, "<script>")
		w.Header().Set("Set-Cookie", "trailer=1")
		w.Header().Set(http.TrailerPrefix+"Refresh", "0; url=https://evil.example")
	}))
	answer := b.get("/api/v1/namespaces/a/services/b/proxy/")
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	answer.Header.Del("Date")
	answer.Header.Del("Content-Length")
	want := http.Header{
		"Content-Type": {"text/html"}, "Content-Security-Policy": {"sandbox"}, "X-Content-Type-Options": {"nosniff"},
		"X-Of-The-App": {"1"}, "Warning": {`299 - "old"`},
	}
	if diff := cmp.Diff(want, answer.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if len(answer.Trailer) > 0 {
		t.Errorf("trailers: %v", answer.Trailer)
	}
}

func TestARedirectLeadsNowhereButToTheMember(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	}))
	for to, want := range map[string]string{
		"https://evil.example/":         "",
		"//evil.example/":               "",
		"http://127.0.0.1/":             "",
		`/\evil.example`:                "",
		"/a/../../b":                    prefix + "/b",
		"javascript:alert(1)":           "",
		"":                              "",
		"/api/v1/pods?limit=1":          prefix + "/api/v1/pods?limit=1",
		b.member.URL + "/apis/apps/v1":  prefix + "/apis/apps/v1",
		"https://u@" + b.member.URL[8:]: "",
	} {
		t.Run(to, func(t *testing.T) {
			answer := b.get("/api/v1/x?to=" + strings.NewReplacer("?", "%3f", "&", "%26").Replace(to))
			if want == "" {
				b.refused(answer, http.StatusBadGateway, `cluster "m1": it redirects to another server`)
			} else if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || got != want {
				t.Errorf("got %d to %q, want %q", answer.StatusCode, got, want)
			}
		})
	}
}

func TestACredentialThatTheMemberRefusesIsNotTheClientsMatter(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	answer := b.get("/api/v1/pods")
	b.refused(answer, http.StatusServiceUnavailable, `cluster "m1": it refuses the credential`)
	if after := answer.Header.Get("Retry-After"); after != "" { // nobody but an operator can help
		t.Errorf("Retry-After is %q", after)
	}
	if answer := b.get("/api/v1/namespaces/a/services/b/proxy/login"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("an application's own 401 came as %d", answer.StatusCode)
	}
}

func TestAMemberThatCannotBeReachedIsASentence(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the listener
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = silent.Close() })
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	b := newBench(t, http.NotFoundHandler())
	for name, test := range map[string]struct {
		url, want string
		checked   bool
	}{
		"nobody listens":                    {"https" + closed.URL[4:], `cluster "m1" does not answer: connection refused`, false},
		"who listens closes the connection": {"https://" + silent.Addr().String(), `cluster "m1" does not answer: the connection broke`, false},
		"it speaks an old TLS":              {old.URL, `cluster "m1" does not answer: `, false},
		"it is of another authority":        {b.member.URL, `cluster "m1": the member's certificate is not from the given authorities`, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := &rest.Config{BearerToken: "t"}
			if test.checked {
				config.CAData = otherAuthority(t)
			}
			b.link = b.linkTo(test.url, config)
			answer := b.get("/api/v1/pods")
			b.refused(answer, http.StatusServiceUnavailable, test.want)
			if after := answer.Header.Get("Retry-After"); (after == "1") == test.checked {
				t.Errorf("Retry-After is %q", after)
			}
		})
	}
}

func TestMoreGroupsThanAMemberTakesIsASentence(t *testing.T) {
	b := newBench(t, http.NotFoundHandler())
	narrow := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	narrow.EnableHTTP2, narrow.Config.MaxHeaderBytes = true, 8<<10
	narrow.StartTLS()
	t.Cleanup(narrow.Close)
	b.link = b.linkTo(narrow.URL, &rest.Config{BearerToken: "t"})
	if answer := b.get("/api"); answer.StatusCode != http.StatusOK { // from here on its limit is known
		t.Fatalf("the answer is %s", answer.Status)
	}
	groups := make([]string, 500)
	for i := range groups {
		groups[i] = fmt.Sprintf("a-rather-long-name-of-a-group-%d", i)
	}
	b.caller = &user.DefaultInfo{Name: "alice", Groups: groups}
	answer := b.get("/api")
	b.refused(answer, http.StatusRequestHeaderFieldsTooLarge, `cluster "m1": the request's header is longer than the member takes`)
	if after := answer.Header.Get("Retry-After"); after != "" {
		t.Errorf("Retry-After is %q", after)
	}
}

// TestAWriteThatMayHaveBeenDoneIsNotRepeated: client-go repeats whatever is answered with
// Retry-After, and each attempt with a generated name would make another object.
func TestAWriteThatMayHaveBeenDoneIsNotRepeated(t *testing.T) {
	var made atomic.Int32
	b := newBench(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		made.Add(1)
		panic(http.ErrAbortHandler) // it is done, and the connection breaks
	}))
	client, err := kubernetes.NewForConfig(&rest.Config{Host: b.front.URL + prefix})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}}, metav1.CreateOptions{})
	if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "the connection broke") {
		t.Errorf("got %v", err)
	}
	if n := made.Load(); n != 1 {
		t.Errorf("%d objects were made", n)
	}
}

func TestWhatMayBeAskedAgainSaysSo(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	breaking := b.link
	closed := httptest.NewServer(nil)
	closed.Close()
	absent := b.linkTo("https"+closed.URL[4:], &rest.Config{BearerToken: "t"})
	for name, test := range map[string]struct {
		link  *links.Link
		again map[string]string // method → Retry-After
	}{
		"the connection breaks": {breaking, map[string]string{"GET": "1", "HEAD": "1", "POST": "", "PUT": "", "PATCH": "", "DELETE": ""}},
		"nobody listens":        {absent, map[string]string{"GET": "1", "HEAD": "1", "POST": "1", "PUT": "1", "PATCH": "1", "DELETE": "1"}},
	} {
		for method, want := range test.again {
			t.Run(name+" to "+method, func(t *testing.T) {
				b.link = test.link
				answer := b.do(method, "/api/v1/namespaces/shop/pods/a")
				if got := answer.Header.Get("Retry-After"); answer.StatusCode != http.StatusServiceUnavailable || got != want {
					t.Errorf("%d with Retry-After %q, want it to be %q", answer.StatusCode, got, want)
				}
			})
		}
	}
}

func TestAConnectionChangesToTheProtocolThatWasAskedFor(t *testing.T) {
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
	for name, test := range map[string]struct {
		answer, protocol string
		code             int
		message          string
	}{
		"SPDY":                                   {switching + "SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nSet-Cookie: a=b\r\n\r\n", "SPDY/3.1", 101, ""},
		"WebSocket":                              {switching + "websocket\r\nSec-WebSocket-Accept: x\r\nSet-Cookie: a=b\r\nLocation: https://evil.example\r\n\r\n", "websocket", 101, ""},
		"to another protocol than was asked for": {switching + "SPDY/3.1\r\n\r\n", "websocket", http.StatusBadGateway, "another protocol"},
		"to none":                                {switching + "\r\n\r\n", "websocket", http.StatusBadGateway, "another protocol"},
		"h2c is not carried on":                  {"", "h2c", http.StatusBadRequest, "a protocol that is not carried on"},
		"two protocols at once":                  {"", "websocket, SPDY/3.1", http.StatusBadRequest, "a protocol that is not carried on"},
		"refused, and sends bytes behind":        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n", "websocket", http.StatusForbidden, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, hijacked(test.answer))
			conn, reader, answer := b.upgrade("/api/v1/namespaces/a/pods/b/exec", test.protocol)
			if answer.StatusCode != test.code {
				t.Fatalf("got %d, want %d", answer.StatusCode, test.code)
			}
			for _, header := range []string{"Set-Cookie", "Location"} {
				if answer.Header.Get(header) != "" {
					t.Errorf("%s: %q", header, answer.Header.Get(header))
				}
			}
			if test.message != "" {
				b.refused(answer, test.code, test.message)
			}
			if test.code != http.StatusSwitchingProtocols {
				return
			}
			const said = "\x00\x01 anything, both ways\r\n\r\n"
			if _, err := io.WriteString(conn, said); err != nil {
				t.Fatal(err)
			}
			echoed := make([]byte, len(said))
			if _, err := io.ReadFull(reader, echoed); err != nil || string(echoed) != said {
				t.Errorf("echoed %q, %v", echoed, err)
			}
		})
	}
}

func TestAMemberThatChangesTheProtocolUnaskedIsRefused(t *testing.T) {
	b := newBench(t, http.NotFoundHandler())
	member := httptest.NewTLSServer(hijacked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
	t.Cleanup(member.Close)
	b.link = b.linkTo(member.URL, &rest.Config{})
	answer := b.get("/api/v1/pods")
	if answer.StatusCode < 500 {
		t.Errorf("got %d", answer.StatusCode)
	}
	b.status(answer)
}

func TestAHeaderWithoutEndIsNotReadToTheEnd(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			w.Header().Set("X-"+strings.Repeat("a", i), strings.Repeat("b", 2000))
		}
	}))
	b.refused(b.get("/api/v1/pods"), http.StatusServiceUnavailable, `cluster "m1" does not answer`)
}

func TestAClientThatLeavesEndsItsRequestInTheMember(t *testing.T) {
	began, ended := make(chan bool), make(chan bool)
	b := newBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
		close(ended)
	}))
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.front.URL+prefix+"/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with leave
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
		}
	}()
	<-began
	leave()
	<-ended
}

func TestANewCredentialEndsWatchesAndConnectionsButNoRequest(t *testing.T) {
	release := make(chan bool)
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			hijacked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").ServeHTTP(w, r)
		case r.URL.Query().Has("watch"), r.URL.Query().Has("follow"):
			_, _ = io.WriteString(w, "{}\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			_ = http.NewResponseController(w).Flush()
			<-release
			_, _ = io.WriteString(w, "done")
		}
	}))
	watch, brief := b.get("/api/v1/pods?watch=true"), b.get("/api/v1/pods")
	logs, inner := b.get("/api/v1/namespaces/shop/pods/a/log?follow=true"), b.get("/api/v1/namespaces/shop/services/a/proxy/events?watch=true")
	_, upgraded, _ := b.upgrade("/exec", "websocket")
	for _, begun := range []*http.Response{watch, logs, inner} {
		if _, err := io.ReadFull(begun.Body, make([]byte, len("{}\n"))); err != nil {
			t.Fatal(err)
		}
	}
	b.link.End(links.ErrRotated)
	if body, err := io.ReadAll(watch.Body); err != nil || len(body) > 0 {
		t.Errorf("the watch ended with %q, %v: want a whole answer, so that clients begin another", body, err)
	}
	for what, answer := range map[string]*http.Response{"log": logs, "answer of an application": inner} {
		if body, err := io.ReadAll(answer.Body); err == nil || len(body) > 0 {
			t.Errorf("the %s ended with %q, %v: want an error, since there is more", what, body, err)
		}
	}
	if _, err := upgraded.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection goes on: %v", err)
	}
	close(release)
	if body, err := io.ReadAll(brief.Body); err != nil || string(body) != "done" {
		t.Errorf("the request ended with %q, %v", body, err)
	}
}

func TestAMemberThatIsRemovedEndsEverything(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	answer := b.get("/api/v1/pods")
	b.link.End(links.ErrMemberGone)
	if body, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("the request ended as if it were complete: %q", body)
	}
}

func TestOneUserDoesNotTakeAllOfAMember(t *testing.T) {
	began, release := make(chan bool, 200), make(chan bool)
	b := newBench(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- true
		<-release
	}))
	defer close(release)
	for range 100 {
		go func() { // ends with release
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.front.URL+prefix+"/api/v1/pods", nil)
			if err != nil {
				return
			}
			if answer, err := http.DefaultClient.Do(request); err == nil {
				_ = answer.Body.Close()
			}
		}()
	}
	for range 100 {
		<-began
	}
	answer := b.get("/api/v1/pods")
	b.refused(answer, http.StatusTooManyRequests, `cluster "m1": user "alice" has 100 requests under way`)
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.caller = &user.DefaultInfo{Name: "bob"}
	go func() { release <- true; release <- true }() // one of them is his
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.front.URL+prefix+"/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int, 1)
	go func() { // ends with release
		if answer, err := http.DefaultClient.Do(request); err == nil {
			done <- answer.StatusCode
			_ = answer.Body.Close()
		}
	}()
	<-began
}

func TestPathsThatServersReadInDifferentWaysAreRefused(t *testing.T) {
	for _, path := range []string{
		"/api/v1/../v2", "/./api", "/api//v1", "//evil.example/", "/api/%2e%2e/x", "/api/%2E./x", "/api/%2fv1", "/api/v1%2Fpods", `/api/%5cv1`,
		"/api/%252e", "/api/%00", "/api/%0d%0aX: y", "/api/%zz", "api/v1", "/a/..", "/..",
	} {
		if relay.CheckPath(path) == nil {
			t.Errorf("%q was accepted", path)
		}
	}
	for _, path := range []string{"", "/", "/api/v1/pods/", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", "/api/v1/namespaces/a/services/https:b:443/proxy/x%20y", "/a/...", "/a/.x"} {
		if err := relay.CheckPath(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestWhatIsBehindAMemberIsToldFromItsAPI(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/namespaces/a/services/b/proxy":          true,
		"/api/v1/namespaces/a/pods/b/proxy/x/y":          true,
		"/api/v1/nodes/n/proxy/pods":                     true,
		"/apis/example.org/v1/namespaces/a/vms/b/proxy/": true,
		"/apis/example.org/v1/planets/b/proxy":           true,
		"/api/v1/namespaces/proxy/configmaps/proxy":      false,
		"/api/v1/namespaces/a/configmaps/proxy":          false,
		"/apis/proxy/v1/proxy":                           false,
		"/api/v1/namespaces/a/pods/b/log/proxy":          false,
		"/proxy":                                         false,
		"/version":                                       false,
	} {
		if got := relay.IsInner(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestAnswersComeAsTheyAreMade(t *testing.T) {
	next := make(chan bool)
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range next {
			_, _ = io.WriteString(w, "event\n")
			_ = http.NewResponseController(w).Flush()
		}
	}))
	time.AfterFunc(0, func() { next <- true })
	answer := b.get("/api/v1/pods?watch=1")
	line := make([]byte, len("event\n"))
	for i := range 3 {
		if i > 0 {
			next <- true
		}
		if _, err := io.ReadFull(answer.Body, line); err != nil || string(line) != "event\n" {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
	}
	close(next)
}

func TestARequestIsSentAsItIs(t *testing.T) {
	type request struct{ Method, URI, Body, Type string }
	seen := make(chan request, 1)
	b := newBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- request{r.Method, r.RequestURI, string(body), r.Header.Get("Content-Type")}
	}))
	const uri = "/apis/apps/v1/namespaces/a/deployments/b?dryRun=All&fieldManager=k&dryRun=All&x=%2F%20;y"
	sent, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, b.front.URL+prefix+uri, strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	sent.Header.Set("Content-Type", "application/apply-patch+yaml")
	answer, err := http.DefaultClient.Do(sent)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if diff := cmp.Diff(request{http.MethodPatch, uri, `{"a":1}`, "application/apply-patch+yaml"}, <-seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// otherAuthority is one that signed nothing here.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	authority, _, err := cert.GenerateSelfSignedCertKey("other", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}
