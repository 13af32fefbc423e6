package serving

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

func TestAWatchEndsWhoseClientMayNotHaveItAnyMore(t *testing.T) {
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	pods := cache.View(view.Key{Version: "v1", Resource: "pods"})
	pods.SetObjectKind("Pod")
	pods.Replace(nil, 10)
	var refused atomic.Bool
	asked := make(chan Read)
	handler, err := New(Config{
		Views: &known{Cache: cache}, Upstream: http.NotFoundHandler(), StillEvery: 10 * time.Nanosecond, BookmarkEvery: time.Millisecond,
		Still: func(r *http.Request, read Read) error {
			select {
			case asked <- read:
			case <-r.Context().Done():
			}
			if refused.Load() {
				return errors.New("it was taken away")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	ended := make(chan error, 1)
	go func() { // ends with the watch, and that with the server
		answer, err := http.Get(server.URL + "/api/v1/pods?watch=true&resourceVersion=10")
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			_ = answer.Body.Close()
		}
		ended <- err
	}()
	for range 3 {
		if read := <-asked; read.Verb != "watch" || read.Resource != "pods" {
			t.Errorf("it is asked about %+v", read)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it has ended though it may go on: %v", err)
	default:
	}
	refused.Store(true)
	for {
		select {
		case <-asked:
		case err := <-ended:
			if err != nil {
				t.Errorf("it has not ended as one whose time is over: %v", err)
			}
			return
		}
	}
}
