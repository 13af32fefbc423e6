package links

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
)

func throughProxy(t *testing.T, member string, dial Dialer) *Link {
	t.Helper()
	proxy := &url.URL{Scheme: "http", Host: "proxy:3128"}
	link, err := NewLink("m1", &rest.Config{Host: member, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, Proxy: http.ProxyURL(proxy)}, dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.End(ErrServerEnds) })
	return link
}

func TestAProxyThatDoesNotAnswerIsAwaitedNoLongerThanAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := throughProxy(t, "https://member", func(context.Context, string, string, string) (net.Conn, error) {
			ours, its := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, its) }() // ends with the connection
			return ours, nil
		})
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://member/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		answer, err := link.As(&user.DefaultInfo{Name: "alice"}, false).RoundTrip(request)
		if err == nil {
			_ = answer.Body.Close()
			t.Fatalf("got %s", answer.Status)
		}
		if took := time.Since(began); took > dialTimeout {
			t.Errorf("it failed after %v: %v", took, err)
		}
		link.End(ErrServerEnds)
	})
}

func TestAConnectionThroughAProxyLivesAsLongAsItIsUsed(t *testing.T) {
	answer := make(chan struct{})
	member := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		_, _ = io.WriteString(w, "late")
	}))
	defer member.Close()
	deadlines := make(chan time.Time, 10)
	link := throughProxy(t, member.URL, func(ctx context.Context, _, network, _ string) (net.Conn, error) {
		there, err := (&net.Dialer{}).DialContext(ctx, network, member.Listener.Addr().String())
		if err != nil {
			return nil, err
		}
		ours, its := net.Pipe()
		go func() { // ends with the connections
			reader := bufio.NewReader(its)
			if _, err := http.ReadRequest(reader); err != nil {
				return
			}
			_, _ = io.WriteString(its, "HTTP/1.1 200 OK\r\n\r\n")
			go func() { _, _ = io.Copy(there, reader); _ = there.Close() }()
			_, _ = io.Copy(its, there)
			_ = its.Close()
		}()
		return &noted{ours, deadlines}, nil
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, member.URL+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // the member has been asked when the proxy has answered, and no bound is left
		<-deadlines
		if last := <-deadlines; !last.IsZero() {
			t.Errorf("the connection ends at %v", last)
		}
		close(answer)
	}()
	got, err := link.As(&user.DefaultInfo{Name: "alice"}, false).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if body, err := io.ReadAll(got.Body); string(body) != "late" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// noted tells of the bounds that reading gets.
type noted struct {
	net.Conn
	deadlines chan time.Time
}

func (n *noted) SetReadDeadline(at time.Time) error {
	select {
	case n.deadlines <- at:
	default:
	}
	return n.Conn.SetReadDeadline(at)
}
