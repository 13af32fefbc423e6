package book

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var comparable = cmpopts.EquateComparable(netip.Addr{})

func some() written {
	return written{Networks: []string{"cbr0"}, Reservations: []Reservation{
		{Network: "cbr0", Interface: "eth0", UID: "u-1", Namespace: "shop", Name: "web-0", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")},
			Sandbox: "s-1", Netns: "/run/netns/s-1", Boot: "b"},
		{Network: "cbr0", Interface: "eth0", Sandbox: "s-2", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
	}}
}

// filled is a book with those.
func filled(t *testing.T) *Book {
	t.Helper()
	b := In(filepath.Join(t.TempDir(), "a", "b"))
	pages := opened(t, b)
	pages.written = some()
	if err := pages.Save(); err != nil {
		t.Fatal(err)
	}
	pages.Close()
	return b
}

func opened(t *testing.T, b *Book) *Pages {
	t.Helper()
	pages, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestWhatWasSavedIsReadAgain(t *testing.T) {
	b := filled(t)
	pages := opened(t, b)
	defer pages.Close()
	if diff := cmp.Diff(some(), pages.written, comparable, cmp.AllowUnexported(written{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := b.Reservations(); err != nil || len(got) != 2 {
		t.Errorf("without the lock: got %v, %v", got, err)
	}
	if info, err := os.Stat(b.path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v", info.Mode(), err)
	}
}

func TestABookThatIsNotThereHasNothing(t *testing.T) {
	b := In(filepath.Join(t.TempDir(), "none"))
	if got, err := b.Reservations(); err != nil || got != nil {
		t.Errorf("Reservations: got %v, %v", got, err)
	}
	if got, err := b.Release(t.Context(), func(Reservation) bool { return true }); err != nil || got != nil {
		t.Errorf("Release: got %v, %v", got, err)
	}
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestAnyFlippedBitIsFound(t *testing.T) {
	data, err := encode(some())
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[i] ^= 1 << bit
			got, err := decode(flipped)
			if err == nil && cmp.Equal(got, some(), comparable, cmp.AllowUnexported(written{})) {
				continue // of space after the checksum
			}
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("bit %d of byte %d, %q: got %v", bit, i, data[i], err)
			}
		}
	}
	for end := range data {
		if _, err := decode(data[:end]); !errors.Is(err, ErrDamaged) && end < len(data)-1 {
			t.Fatalf("the first %d bytes of %d: got %v", end, len(data), err)
		}
	}
}

func TestWhatIsDamagedIsPutAside(t *testing.T) {
	b := filled(t)
	if err := os.WriteFile(b.path(), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Reservations(); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	pages := opened(t, b)
	defer pages.Close()
	if want := b.path() + `: it is damaged: "rubbish" is no first line of it`; pages.Damaged == nil || pages.Damaged.Error() != want {
		t.Errorf("got %v, want %q", pages.Damaged, want)
	}
	if len(pages.Reservations) > 0 || len(pages.Networks) > 0 {
		t.Errorf("got %v, want nothing", pages.written)
	}
	if data, err := os.ReadFile(b.path() + ".damaged"); err != nil || string(data) != "rubbish" {
		t.Errorf("what was put aside: got %q, %v", data, err)
	}
}

func TestWhatAKillHasLeftIsRemoved(t *testing.T) {
	b := filled(t)
	left := filepath.Join(b.dir, ".reservations123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	pages := opened(t, b)
	defer pages.Close()
	if err := pages.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
}

func TestReleaseSaysWhatIsGoneAndTakesItBack(t *testing.T) {
	b := filled(t)
	everything := func(Reservation) bool { return true }
	nothing := func(Reservation) bool { return false }
	for i, step := range []struct {
		gone       func(Reservation) bool
		want, flag int
	}{{nothing, 0, 0}, {everything, 1, 1}, {everything, 0, 1}, {nothing, 0, 0}, {everything, 1, 1}} {
		released, err := b.Release(t.Context(), step.gone)
		if err != nil || len(released) != step.want {
			t.Errorf("step %d: got %v, %v, want %d", i, released, err, step.want)
		}
		all, err := b.Reservations()
		if err != nil {
			t.Fatal(err)
		}
		flagged := 0
		for _, r := range all {
			if r.Gone {
				flagged++
			}
		}
		if flagged != step.flag || len(all) != 2 {
			t.Errorf("step %d: got %v, want two, and %d of them gone", i, all, step.flag)
		}
	}
}

func TestWhoWaitsTooLongForTheBookIsToldWhat(t *testing.T) {
	b := filled(t)
	pages := opened(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := b.Open(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for "+filepath.Join(b.dir, "lock")+", which another process has locked") {
		t.Errorf("got %v", err)
	}
	pages.Close()
	opened(t, b).Close()
}

func TestNoneOfManyChangesIsLost(t *testing.T) {
	b := filled(t)
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			pages, err := b.Open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer pages.Close()
			pages.Reservations = append(pages.Reservations, Reservation{UID: fmt.Sprint("more-", i)})
			if err := pages.Save(); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			if _, err := b.Reservations(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if all, err := b.Reservations(); err != nil || len(all) != 42 {
		t.Errorf("got %d, %v, want 42", len(all), err)
	}
}

func TestASandboxEndsWithItsNamespaceAndItsBoot(t *testing.T) {
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		r    Reservation
		want bool
	}{
		"it is there":               {Reservation{Boot: "b", Netns: there}, true},
		"its namespace is not":      {Reservation{Boot: "b", Netns: there + "-not"}, false},
		"its namespace is unknown":  {Reservation{Boot: "b"}, true},
		"it is of another boot":     {Reservation{Boot: "a", Netns: there}, false},
		"there is none":             {Reservation{}, false},
		"its process is not there":  {Reservation{Boot: "b", Netns: "/proc/4194305/ns/net"}, false},
		"its namespace is no place": {Reservation{Boot: "b", Netns: there + "/x"}, true}, // ENOTDIR is no proof
	} {
		if got := test.r.InUse("b"); got != test.want {
			t.Errorf("%s: got %v", what, got)
		}
	}
}

func TestReadPodsRefusesWhatMayNotBeAll(t *testing.T) {
	for text, want := range map[string]string{
		`{"kind":"PodList","metadata":{},"items":[{"metadata":{"uid":"a"}}]}`:               "",
		`{"kind":"List","items":[{"kind":"Pod","metadata":{"uid":"a"}}]}`:                   "",
		`{"kind":"List","items":[{"kind":"Node","metadata":{"uid":"a"}}]}`:                  "items[0] is no pod with a UID",
		`{"kind":"List","items":[{"metadata":{"uid":"a"}}]}`:                                "items[0] is no pod with a UID",
		`{"kind":"PodList","items":[{"metadata":{"uid":"a"}},{"metadata":{"name":"b"}}]}`:   "items[1] is no pod with a UID",
		`{"kind":"PodList","metadata":{"continue":"x"},"items":[{"metadata":{"uid":"a"}}]}`: "this is a part of a list: it has metadata.continue",
		`{"kind":"PodList","metadata":{},"items":null}`:                                     "the list has no pods: that is what is seen before pods are known, too",
		`{"kind":"Status","code":503}`:                                                      `a PodList or a List is needed, not "Status"`,
		`{"kind":"NodeList","items":[{"metadata":{"uid":"a"}}]}`:                            `a PodList or a List is needed, not "NodeList"`,
		``:         "read a list of pods: unexpected end of JSON input",
		`<html>`:   "read a list of pods: invalid character '<' looking for beginning of value",
		`[{"a":1}`: "read a list of pods: unexpected end of JSON input",
	} {
		_, err := ReadPods([]byte(text))
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestGoneIsWhoIsNotAmongThePodsOrHasEnded(t *testing.T) {
	pods, err := ReadPods([]byte(`{"kind":"PodList","items":[
		{"metadata":{"uid":"runs"},"status":{"phase":"Running"}},
		{"metadata":{"uid":"waits"}},
		{"metadata":{"uid":"mirror","annotations":{"kubernetes.io/config.mirror":"static"}},"status":{"phase":"Running"}},
		{"metadata":{"uid":"done"},"status":{"phase":"Succeeded"}},
		{"metadata":{"uid":"evicted"},"status":{"phase":"Failed"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	gone := Among(pods)
	for uid, want := range map[string]bool{"runs": false, "waits": false, "static": false, "mirror": true, "done": true, "evicted": true, "never": true} {
		if got := gone(Reservation{UID: uid}); got != want {
			t.Errorf("%s: got %v", uid, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := encode(some())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("koinon-ipam 99999999999999999999 0\n"))
	f.Add([]byte("koinon-ipam\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := decode(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
				t.Errorf("got %v", err)
			}
			return
		}
		if _, err := json.Marshal(w); err != nil {
			t.Error(err)
		}
	})
}
