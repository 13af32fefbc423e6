package app

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// openKept is a hub with what is on disk in a directory, and an API server that answers one thing.
func openKept(t *testing.T, dir, says string) (*hub, *notes.Shelf[string]) {
	t.Helper()
	h := &hub{logger: slog.New(slog.DiscardHandler), asNode: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: io.NopCloser(strings.NewReader(says))}, nil
	})}
	if err := h.openDisk(dir); err != nil {
		t.Fatal(err)
	}
	var err error
	h.pool, err = feed.NewPool(feed.PoolConfig{Cache: h.cache, Disk: h.cacheDisk, Logger: h.logger, Asker: func(view.Key, *http.Request) feed.Asker { return feed.Asker{} }})
	if err != nil {
		t.Fatal(err)
	}
	shelf, err := notes.NewShelf[string](h.book, "things", 10)
	if err != nil {
		t.Fatal(err)
	}
	return h, shelf
}

// A hub that is killed as soon as it knows that the cluster is another one has nothing of the one before when it starts again.
func TestNothingOfAnotherClusterIsLeft(t *testing.T) {
	const first, second = `{"kind":"Namespace","metadata":{"name":"kube-system","uid":"1"}}`, `{"kind":"Namespace","metadata":{"name":"kube-system","uid":"2"}}`
	dir := t.TempDir()
	visit := func(says string) (known bool) {
		h, shelf := openKept(t, dir, says)
		defer func() {
			if err := h.close(); err != nil {
				t.Error(err)
			}
		}()
		_, complete := h.cache.View(serviceKey).Version()
		_, noted := shelf.Get("a")
		if complete != noted {
			t.Errorf("a view is known: %t, and a note: %t", complete, noted)
		}
		if err := h.checkCluster(t.Context()); err != nil {
			t.Fatal(err)
		}
		if says == first {
			h.cache.View(serviceKey).Replace(nil, 7)
			shelf.Put("a", "b")
			if err := h.cache.Flush(h.cacheDisk); err != nil {
				t.Fatal(err)
			}
			if err := h.book.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		return complete
	}
	for i, step := range []struct {
		says string
		want bool
	}{{first, false}, {first, true}, {second, true}, {second, false}} {
		if got := visit(step.says); got != step.want {
			t.Errorf("start %d: something is known: %t", i, got)
		}
	}
}

func TestWhatIsNotTheNamespaceSaysNothingOfTheCluster(t *testing.T) {
	for what, says := range map[string]string{
		"another object":      `{"kind":"Namespace","metadata":{"name":"default","uid":"2"}}`,
		"an object of others": `{"kind":"Page","metadata":{"name":"kube-system","uid":"2"}}`,
		"a Status":            `{"kind":"Status","metadata":{}}`,
	} {
		t.Run(what, func(t *testing.T) {
			h, _ := openKept(t, t.TempDir(), says)
			defer h.close()
			if got, err := h.clusterOf(t.Context()); err == nil {
				t.Errorf("it is the cluster %q", got)
			}
		})
	}
}
