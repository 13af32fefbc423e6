package proxy

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
)

func TestOneUserDoesNotTakeAllMemoryThatFleetsHave(t *testing.T) {
	began := make(chan bool)
	b := newCellBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
	}))
	const list = "GET /apis/federation.koinon.io/v1alpha1/fleets/all/proxy/api/v1/pods" + hostLine + "\r\n"
	for range 20 {
		b.send(list)
		<-began
	}
	_, reader := b.send(list)
	if answer, body := b.answer(reader); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" || !strings.Contains(body, `user \"alice\" has 20 requests under way`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	b.send("GET /apis/federation.koinon.io/v1alpha1/clusters/m1/proxy/api/v1/pods" + hostLine + "\r\n")
	<-began // they are not counted in the member
}

func TestEveryAnswerOfAProxyIsSandboxed(t *testing.T) {
	b := newCellBench(t, http.NotFoundHandler())
	for _, path := range []string{
		cellPath + "/api/v1/namespaces/shop/pods", cellPath + "/api", cellPath + "/metrics", cellPath + "/a/../b",
		"/apis/federation.koinon.io/v1alpha1/clusters/m1/proxy/api/v1/pods", "/apis/federation.koinon.io/v1alpha1/clusters/m1/proxy/a//b",
		"/apis/federation.koinon.io/v1alpha1/fleets/all/proxy/api", "/apis/federation.koinon.io/v1alpha1/fleets/all/proxy/api/v1/pods",
		"/apis/federation.koinon.io/v1alpha1/fleets/other/proxy/api", "/apis/federation.koinon.io/v1alpha1/fleets/all/proxy/x",
	} {
		_, reader := b.send("GET " + path + hostLine + "\r\n")
		answer, body := b.answer(reader)
		if answer.Header.Get("Content-Security-Policy") != "sandbox" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v %s", path, answer.StatusCode, answer.Header, body)
		}
	}
}

// restless are members that change.
type restless struct{ changed chan struct{} }

func (restless) To(context.Context, string) (*links.Link, error) { return nil, nil }
func (restless) Members(context.Context) ([]string, error)       { return nil, nil }
func (r restless) Watch(context.Context) <-chan struct{}         { return r.changed }

func TestAScopeIsLookedAtNowAndThen(t *testing.T) {
	for name, test := range map[string]struct {
		changes     int           // one each pause
		pause       time.Duration // between them
		least, most int           // looks in ten minutes
	}{
		"nothing changes, but rights may": {0, 0, 9, 10},
		"members change all the time":     {60_000, 10 * time.Millisecond, 500, 601},
		"one member joins":                {1, 0, 9, 11},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				members := restless{make(chan struct{}, 1)}
				changed := (&fleetScope{&Proxies{Config: Config{Links: members}}, alice}).Watch(ctx)
				go func() { // ends with the changes
					for range test.changes {
						select {
						case members.changed <- struct{}{}:
						default:
						}
						time.Sleep(test.pause)
					}
				}()
				looks := 0
				for ctx.Err() == nil {
					select {
					case <-changed:
						looks++
					case <-ctx.Done():
					}
				}
				if looks < test.least || looks > test.most {
					t.Errorf("%d looks, want %d to %d", looks, test.least, test.most)
				}
			})
		})
	}
}
