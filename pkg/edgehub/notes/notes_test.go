package notes

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

// disk is a store that fails as it is told to.
type disk struct {
	*store.Store
	err error
}

func (d *disk) Apply(changes ...store.Change) error {
	if d.err != nil {
		return d.err
	}
	return d.Store.Apply(changes...)
}

func open(t *testing.T, path string) (*Book, *disk) {
	t.Helper()
	s, kept, damage, err := store.Open(path)
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	d := &disk{Store: s}
	return NewBook(d, kept), d
}

func shelf[T any](t *testing.T, b *Book, name string, limit int) *Shelf[T] {
	t.Helper()
	s, err := NewShelf[T](b, name, limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dump is what a shelf has, in its order.
func dump(s *Shelf[int]) (all []string) {
	for _, e := range s.All() {
		all = append(all, fmt.Sprint(e.Name, "=", e.Value))
	}
	return all
}

func TestWhatIsPutFirstGoesFirst(t *testing.T) {
	b, d := open(t, filepath.Join(t.TempDir(), "notes.db"))
	defer d.Close()
	s := shelf[int](t, b, "numbers", 3)
	for i, name := range []string{"a", "b", "c", "a", "d", "e"} {
		s.Put(name, i)
	}
	if diff := cmp.Diff([]string{"a=3", "d=4", "e=5"}, dump(s)); diff != "" {
		t.Error(diff)
	}
}

func TestWhoHasTooMuchLosesHisOwn(t *testing.T) {
	b, d := open(t, filepath.Join(t.TempDir(), "notes.db"))
	defer d.Close()
	s := shelf[int](t, b, "numbers", 8)
	s.Bound(func(name string, _ int) string { return strings.Trim(name, "0123456789") }, 3)
	for i, name := range []string{"a1", "b1", "a2", "1", "2", "3", "a3", "a1", "a4", "a5", "4"} {
		s.Put(name, i)
	}
	if diff := cmp.Diff([]string{"b1=1", "1=3", "2=4", "3=5", "a1=7", "a4=8", "a5=9", "4=10"}, dump(s)); diff != "" {
		t.Error(diff)
	}
	s.Delete("a4")
	s.Put("a6", 11)
	if diff := cmp.Diff([]string{"b1=1", "1=3", "2=4", "3=5", "a1=7", "a5=9", "4=10", "a6=11"}, dump(s)); diff != "" {
		t.Error(diff)
	}
	b.Clear()
	s.Put("a1", 12)
	if diff := cmp.Diff([]string{"a1=12"}, dump(s)); diff != "" {
		t.Error(diff)
	}
}

func TestOfAFullShelfThoseLoseWhoHaveMost(t *testing.T) {
	b, d := open(t, filepath.Join(t.TempDir(), "notes.db"))
	defer d.Close()
	s := shelf[int](t, b, "numbers", 8)
	s.Bound(func(name string, _ int) string { return strings.Trim(name, "0123456789") }, 4)
	for i, name := range []string{"a1", "1", "b1", "2", "b2", "c1", "b3", "c2", "c3", "b4", "d1"} {
		s.Put(name, i)
	}
	if diff := cmp.Diff([]string{"a1=0", "1=1", "2=3", "b3=6", "c2=7", "c3=8", "b4=9", "d1=10"}, dump(s)); diff != "" {
		t.Error(diff)
	}
	for i := range 9 { // what is nobody's goes last
		s.Put(strconv.Itoa(i), i)
	}
	if diff := cmp.Diff([]string{"1=1", "2=2", "3=3", "4=4", "5=5", "6=6", "7=7", "8=8"}, dump(s)); diff != "" {
		t.Error(diff)
	}
}

// Random puts, deletions, flushes that fail, a disk that is damaged, and restarts: the file has what there was at the last flush, and memory what there is.
func TestWhatIsFlushedIsThereAfterARestart(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const limit = 8
	path := filepath.Join(t.TempDir(), "notes.db")
	b, d := open(t, path)
	s, other := shelf[int](t, b, "numbers", limit), shelf[string](t, b, "words", limit)
	other.Put("always", "there")
	var flushed []string
	for step := range 600 {
		switch n := r.IntN(20); {
		case n < 9:
			s.Put(string(rune('a'+r.IntN(12))), step)
		case n < 13:
			s.Delete(string(rune('a' + r.IntN(12))))
		case n < 17:
			d.err = nil
			if r.IntN(3) == 0 {
				d.err = errors.New("it is full")
			}
			if err := b.Flush(); err == nil {
				flushed = dump(s)
			} else if d.err == nil {
				t.Fatal(err)
			}
			d.err = nil
		case n < 18: // the store has put its file aside
			if err := d.Apply(store.Change{Name: "numbers", Kind: "numbers", Forget: true}, store.Change{Name: "words", Kind: "words", Forget: true}); err != nil {
				t.Fatal(err)
			}
			d.err = store.ErrDamaged
			s.Put("z", step)
			if err := b.Flush(); !errors.Is(err, store.ErrDamaged) {
				t.Fatal(err)
			}
			d.err = nil
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			flushed = dump(s)
		default:
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			b, d = open(t, path)
			s, other = shelf[int](t, b, "numbers", limit), shelf[string](t, b, "words", limit)
			if diff := cmp.Diff(flushed, dump(s)); diff != "" {
				t.Fatalf("step %d: %s", step, diff)
			}
			if word, _ := other.Get("always"); word != "there" && flushed != nil {
				t.Fatalf("step %d: the other shelf has %q", step, word)
			}
			other.Put("always", "there")
		}
		if s.Len() > limit {
			t.Fatalf("step %d: %d values", step, s.Len())
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was read of a damaged file may be in no file.
func TestWhatIsOnNoDiskIsWrittenAll(t *testing.T) {
	dir := t.TempDir()
	b, d := open(t, filepath.Join(dir, "notes.db"))
	early := shelf[int](t, b, "early", 8)
	early.Put("a", 1)
	shelf[int](t, b, "late", 8).Put("b", 2)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	kept := []store.View{{Name: "late", Kind: "late", Objects: []store.Object{{Name: "b", Version: "1", Body: []byte("2")}}}, {Name: "early", Kind: "early", Objects: []store.Object{{Name: "a", Version: "2", Body: []byte("1")}}}}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "new.db")
	_, d = open(t, path)
	b = NewBook(d, kept)
	shelf[int](t, b, "early", 8)
	b.Rewrite()
	shelf[int](t, b, "late", 8)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, d = open(t, path)
	defer d.Close()
	got := append(dump(shelf[int](t, b, "early", 8)), dump(shelf[int](t, b, "late", 8))...)
	if diff := cmp.Diff([]string{"a=1", "b=2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAValueThatCannotBeReadCostsItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	b, d := open(t, path)
	words := shelf[string](t, b, "things", 8)
	words.Put("a", "1")
	words.Put("b", "x")
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, d = open(t, path)
	defer d.Close()
	numbers, err := NewShelf[struct{ N int }](b, "things", 8)
	if err == nil || numbers.Len() != 0 {
		t.Errorf("got %v, %d values", err, numbers.Len())
	}
	numbers.Put("a", struct{ N int }{7})
	if err := b.Flush(); err != nil {
		t.Error(err)
	}
}
