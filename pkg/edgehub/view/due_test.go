package view

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

// written are the changes that were written.
type written struct {
	changes []store.Change
	err     error
}

// Apply implements Disk.
func (w *written) Apply(changes ...store.Change) error {
	if w.err == nil {
		w.changes = append(w.changes, changes...)
	}
	return w.err
}

// dueView is a view at resourceVersion 1 that is on disk.
func dueView(t *testing.T, now time.Time) (*Cache, *View, *written) {
	t.Helper()
	c, err := NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	v, disk := c.View(Key{Version: "v1", Resource: "nodes"}), &written{}
	v.Replace(nil, 1)
	if err := c.FlushDue(disk, now); err != nil || len(disk.changes) != 1 || !disk.changes[0].Whole {
		t.Fatalf("a list was not written at once: %v, %+v", err, disk.changes)
	}
	disk.changes = nil
	return c, v, disk
}

// put has an object change to so many bytes.
func put(t *testing.T, v *View, name string, version, bytes int) {
	t.Helper()
	o, err := v.Parse(fmt.Appendf(nil, `{"metadata":{"name":%q,"resourceVersion":"%d"},"more":%q}`, name, version, strings.Repeat("x", bytes)))
	if err != nil {
		t.Fatal(err)
	}
	v.Apply(o, false)
}

func TestWhatHasChangedIsWrittenAtOnceAndHowFarAViewHasComeCanWait(t *testing.T) {
	now := time.Now()
	c, v, disk := dueView(t, now)
	for _, step := range []struct {
		what  string
		after time.Duration
		do    func()
		want  int
	}{
		{"a bookmark waits", time.Second, func() { v.Advance(2) }, 0},
		{"a change does not", time.Second, func() { put(t, v, "a", 3, 10) }, 1},
		{"nothing is written of nothing", time.Hour, func() {}, 1},
		{"a bookmark after a long time is written", time.Second, func() { v.Advance(4) }, 2},
		{"and the next one waits", latest - time.Second, func() { v.Advance(5) }, 2},
		{"until it is time", time.Second, func() {}, 3},
		{"or upstream is lost", time.Second, func() { v.Advance(6); v.Press() }, 4},
		{"which is written once", time.Second, func() { v.Press() }, 4},
	} {
		step.do()
		now = now.Add(step.after)
		if err := c.FlushDue(disk, now); err != nil || len(disk.changes) != step.want {
			t.Fatalf("%s: %v, %d writes, want %d", step.what, err, len(disk.changes), step.want)
		}
	}
}

// All nodes of a cluster say every five minutes that they are well, and none of it is of use here. What is on disk is a whole view all the same.
func TestAViewThatChangesMoreThanADiskCanBearIsWrittenSeldomAndWhole(t *testing.T) {
	now := time.Now()
	c, v, disk := dueView(t, now)
	const hours = 3
	bytes, last := 0, now
	for i := range int(hours * time.Hour / time.Second) {
		now = now.Add(time.Second)
		put(t, v, fmt.Sprintf("node-%04d", i%1000), i+2, 20<<10)
		if err := c.FlushDue(disk, now); err != nil {
			t.Fatal(err)
		}
		for _, change := range disk.changes {
			if waited := now.Sub(last); waited > latest+time.Second {
				t.Fatalf("changes have waited for %s", waited)
			}
			if change.Version != position(uint64(i+2), uint64(i+2), "") {
				t.Fatalf("what is written is of %s, and the view of %d", change.Version, i+2)
			}
			last = now
			for _, o := range change.Put {
				bytes += len(o.Body)
			}
		}
		disk.changes = nil
	}
	if most := hours * 2 * 1000 * 21 << 10; bytes > most+credit {
		t.Errorf("%d bytes were written in %d hours", bytes, hours)
	}
	if err := c.Flush(disk); err != nil || len(disk.changes) != 1 {
		t.Errorf("at its end a hub has not written everything: %v", err)
	}
}

// An API server that was set back and has gone on since looks like one that was away: a hub that is killed must not go on from what is on its disk.
func TestAListIsWrittenAtOnceHoweverMuchWasWrittenBefore(t *testing.T) {
	now := time.Now()
	c, v, disk := dueView(t, now)
	put(t, v, "a", 2, 2*credit)
	if err := c.FlushDue(disk, now); err != nil || len(disk.changes) != 1 {
		t.Fatalf("%v, %d writes", err, len(disk.changes))
	}
	put(t, v, "a", 3, 1)
	if err := c.FlushDue(disk, now); err != nil || len(disk.changes) != 1 {
		t.Fatalf("a view that has used up its credit is written: %v, %d writes", err, len(disk.changes))
	}
	o, _, err := v.Get("a")
	if err != nil {
		t.Fatal(err)
	}
	v.Replace([]*Object{o}, 4) // the same, and nothing has changed
	if err := c.FlushDue(disk, now); err != nil || len(disk.changes) != 2 || disk.changes[1].Version != position(4, 4, "") {
		t.Errorf("%v, %+v", err, disk.changes)
	}
	v.Replace([]*Object{o}, 5)
	if err := c.FlushDue(disk, now); err != nil || len(disk.changes) != 3 {
		t.Errorf("a list of what was there already was not written: %v, %d writes", err, len(disk.changes))
	}
}

func TestWhatCouldNotBeWrittenIsWrittenAsSoonAsItCan(t *testing.T) {
	now := time.Now()
	c, v, disk := dueView(t, now)
	put(t, v, "a", 2, 2*credit)
	disk.err = fmt.Errorf("the disk is full")
	for range 3 {
		now = now.Add(time.Second)
		if err := c.FlushDue(disk, now); err == nil {
			t.Fatal("nobody was told that it could not be written")
		}
	}
	disk.err = nil
	if err := c.FlushDue(disk, now.Add(time.Second)); err != nil || len(disk.changes) != 1 || len(disk.changes[0].Put) != 1 {
		t.Errorf("got %v, %d writes", err, len(disk.changes))
	}
}
