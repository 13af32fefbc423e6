package relay_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// moody is a member that does something else with each request.
func moody(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		hijacked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").ServeHTTP(w, r)
		return
	}
	switch rand.IntN(5) {
	case 0: // resets
		panic(http.ErrAbortHandler)
	case 1: // breaks in the middle
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case 2: // never answers
		<-r.Context().Done()
	case 3: // goes on
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("{}\n", 1000)); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{}")
	}
}

func TestAStormLeavesNothing(t *testing.T) {
	b := newBench(t, http.HandlerFunc(moody))
	quiet := log.New(io.Discard, "", 0)
	b.member.Config.ErrorLog, b.front.Config.ErrorLog = quiet, quiet
	var link atomic.Pointer[links.Link]
	fresh := func() *links.Link {
		config := &rest.Config{Host: b.member.URL}
		config.Insecure = true
		made, err := links.NewLink("m1", config, nil)
		if err != nil {
			t.Error(err)
		}
		return made
	}
	link.Store(fresh())
	b.front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.relay.Serve(w, r, relay.Request{Cluster: "m1", Link: link.Load(), Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Caller: &user.DefaultInfo{Name: r.Header.Get("X-Who")}})
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for i := range 60 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				one, leave := context.WithCancel(ctx)
				time.AfterFunc(time.Duration(rand.IntN(50))*time.Millisecond, leave)
				b.stormy(one, i, n)
				leave()
			}
		})
	}
	var old []*links.Link
	for ctx.Err() == nil {
		last := link.Swap(fresh())
		old = append(old, last)
		last.End([]error{links.ErrRotated, links.ErrMemberGone}[rand.IntN(2)])
		time.Sleep(10 * time.Millisecond) // the storm's pace
	}
	clients.Wait()
	for _, ended := range append(old, link.Load()) {
		ended.End(links.ErrServerEnds)
	}
	b.front.Close() // waits for all requests
	if n := b.relay.Running(); n > 0 {
		t.Errorf("%d are still counted", n)
	}
	b.member.Close() // waits for all it was asked
	noneLeft(t, "registry/proxy/links.", "registry/proxy/relay.")
}

// stormy sends one request of some kind.
func (b *bench) stormy(ctx context.Context, who, n int) {
	method, path, body := http.MethodGet, "/api/v1/pods", io.Reader(nil)
	switch (who + n) % 4 {
	case 0:
		path += "?watch=true"
	case 1:
		method, body = http.MethodPost, io.MultiReader(strings.NewReader("{"), &endlessly{ctx})
	case 2:
		path = "/api/v1/namespaces/a/pods/b/exec"
	}
	request, err := http.NewRequestWithContext(ctx, method, b.front.URL+path, body)
	if err != nil {
		b.Error(err)
		return
	}
	request.Header.Set("X-Who", fmt.Sprint(who%7))
	if strings.HasSuffix(path, "exec") {
		request.Header.Set("Connection", "Upgrade")
		request.Header.Set("Upgrade", "websocket")
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if n%3 == 0 {
		<-ctx.Done() // does not read
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
}

// endlessly is a body without end.
type endlessly struct{ ctx context.Context }

func (e *endlessly) Read(p []byte) (int, error) { return len(p), e.ctx.Err() }

// noneLeft waits until no goroutine is in a package any more.
func noneLeft(t *testing.T, packages ...string) {
	t.Helper()
	stacks := make([]byte, 8<<20)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := ""
		for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			for _, name := range packages {
				if strings.Contains(stack, name) {
					left = stack
				}
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("this goes on:\n%s", left)
		}
	}
}
