package app

import (
	"errors"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// disk keeps what is written to it, unless it is full.
type disk struct {
	t    *testing.T
	path string
	full bool
	*store.Store
}

func (d *disk) Apply(changes ...store.Change) error {
	if d.full {
		return errors.New("no space left on device")
	}
	return d.Store.Apply(changes...)
}

// book is that of a hub that starts.
func (d *disk) book() *notes.Book {
	d.t.Helper()
	if d.Store != nil {
		if err := d.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	s, kept, _, err := store.Open(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Store = s
	return notes.NewBook(d, kept)
}

func TestAHubGoesOnWhereTheOneBeforeEnded(t *testing.T) {
	if _, _, err := sinceBoot(); err != nil {
		t.Skip("this machine does not say since when it runs:", err)
	}
	const age = 20 * time.Second
	for what, test := range map[string]struct {
		meanwhile func(*testing.T, *disk, *before)
		other     bool // the cluster is another one
		full      bool // the disk, when the next one starts
		want      bool
	}{
		"of the same cluster": {want: true},
		"of another cluster":  {other: true},
		"on a disk that is full: it would be believed once more": {full: true},
		"after another start of the machine": {meanwhile: func(t *testing.T, d *disk, b *before) {
			last, _ := b.shelf.Get("last")
			last.Boot = "another"
			b.shelf.Put("last", last)
		}},
		"after a kill: what was left before was taken": {meanwhile: func(t *testing.T, d *disk, _ *before) {
			if _, err := openBefore(d.book()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			d := &disk{t: t, path: t.TempDir() + "/notes.db"}
			t.Cleanup(func() { _ = d.Close() })
			book := d.book()
			first, err := openBefore(book)
			if err != nil {
				t.Fatal(err)
			}
			heard := time.Now().Add(-age)
			if err := first.leave(book, map[view.Key]time.Time{serviceKey: heard}); err != nil {
				t.Fatal(err)
			}
			if test.meanwhile != nil {
				test.meanwhile(t, d, first)
				if err := book.Flush(); err != nil && d.Store == nil {
					t.Fatal(err)
				}
			}
			book = d.book()
			d.full = test.full
			next, err := openBefore(book)
			if (err != nil) != test.full {
				t.Fatal(err)
			}
			next.settle(!test.other)
			got := next.heard(t.Context(), serviceKey)
			if got.IsZero() == test.want {
				t.Errorf("it was heard of at %v", got)
			}
			if test.want && (got.After(heard.Add(time.Second)) || got.Before(heard.Add(-time.Minute))) {
				t.Errorf("it was heard of %v and not %v ago", time.Since(got), time.Since(heard))
			}
			if other := next.heard(t.Context(), podsKey("n")); !other.IsZero() {
				t.Errorf("what nobody followed: %v", other)
			}
		})
	}
}
