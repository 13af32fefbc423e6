package app

import (
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// openKept is a hub with what is on disk in a directory, and an API server that answers one thing.
func openKept(t *testing.T, dir, says string) (*hub, *notes.Shelf[string]) {
	t.Helper()
	h := &hub{logger: slog.New(slog.DiscardHandler), before: &before{known: make(chan struct{})}, asNode: roundTripper(func(*http.Request) (*http.Response, error) {
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
	const first, second = ofFirst, ofSecond
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

const ofFirst, ofSecond = `{"kind":"Namespace","metadata":{"name":"kube-system","uid":"1"}}`, `{"kind":"Namespace","metadata":{"name":"kube-system","uid":"2"}}`

// keep has a view and a note be on disk, and is the view.
func keep(t *testing.T, h *hub, shelf *notes.Shelf[string], version uint64) *view.View {
	t.Helper()
	v := h.cache.View(serviceKey)
	v.Replace(nil, version)
	shelf.Put("a", "b")
	if err := errors.Join(h.cache.Flush(h.cacheDisk), h.book.Flush()); err != nil {
		t.Fatal(err)
	}
	return v
}

// What feeds bring of the new cluster may be written before the disk is told of it, and is gone from there then.
func TestWhatWasReadOfANewClusterIsKept(t *testing.T) {
	dir := t.TempDir()
	h, shelf := openKept(t, dir, ofFirst)
	if err := h.checkCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	keep(t, h, shelf, 7)
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	h, shelf = openKept(t, dir, ofSecond)
	h.forgotFor = "2" // as the first time could not be written
	keep(t, h, shelf, 9)
	if err := h.checkCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.cache.Flush(h.cacheDisk); err != nil {
		t.Fatal(err)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	h, _ = openKept(t, dir, ofSecond)
	defer h.close()
	if version, complete := h.cache.View(serviceKey).Version(); !complete || version != 9 {
		t.Errorf("it is known: %t, at %d", complete, version)
	}
}

// A disk that could not be written says that all is of a cluster that is back, and memory has what is of the other.
func TestWhatWasReadOfAClusterBetweenIsForgotten(t *testing.T) {
	h, shelf := openKept(t, t.TempDir(), ofFirst)
	defer h.close()
	if err := h.checkCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.forgotFor = "2"
	v := keep(t, h, shelf, 9)
	if err := h.checkCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, complete := v.Version(); complete || h.forgotFor != "" {
		t.Errorf("it is known: %t; and memory is of %q", complete, h.forgotFor)
	}
	if _, noted := shelf.Get("a"); noted {
		t.Error("a note is there")
	}
}

// damage has a view of a file be damaged, and no file be made in its place before repair is called.
func damage(t *testing.T, path, name string) (repair func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE views SET digest = digest + 1 WHERE name = ?", name); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+".new", "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.RemoveAll(path + ".new") }
}

// It is in memory alone, as the disk is full, until it is written: all of it, and not what changes.
func TestWhatWasReadOfADamagedFileIsKeptWhenItCouldNotBeWritten(t *testing.T) {
	dir := t.TempDir()
	h, shelf := openKept(t, dir, ofFirst)
	if _, err := notes.NewShelf[string](h.book, "others", 10); err != nil {
		t.Fatal(err)
	}
	h.cache.View(podsKey("n")).Replace(nil, 5)
	keep(t, h, shelf, 7)
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	repairs := []func(){damage(t, filepath.Join(dir, "cache.db"), podsKey("n").String()), damage(t, filepath.Join(dir, "notes.db"), "others")}
	h, _ = openKept(t, dir, ofFirst)
	for _, repair := range repairs {
		repair()
	}
	h.cache.View(serviceKey).Advance(8)
	if err := errors.Join(h.cache.Flush(h.cacheDisk), h.book.Flush(), h.close()); err != nil {
		t.Fatal(err)
	}
	h, shelf = openKept(t, dir, ofFirst)
	defer h.close()
	if version, complete := h.cache.View(serviceKey).Version(); !complete || version != 8 {
		t.Errorf("it is known: %t, at %d", complete, version)
	}
	if _, noted := shelf.Get("a"); !noted {
		t.Error("a note is gone")
	}
	if h.damage != nil {
		t.Errorf("it is damaged: %v", h.damage)
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
