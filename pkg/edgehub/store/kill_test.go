package store

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// objectsOf is what a view of the process that is killed has after an Apply.
func objectsOf(n int) (put []Object) {
	for i := range 1 + n%40 {
		put = append(put, Object{fmt.Sprintf("o%03d", i), strconv.Itoa(n), bytes.Repeat([]byte(strconv.Itoa(n)+";"), 100+n%700)})
	}
	return put
}

// A process that applies in a loop is killed, again and again: what it was told to be written is there, whole, and nothing but it or the next.
func TestAProcessThatIsKilledLeavesWhatItHasApplied(t *testing.T) {
	if path := os.Getenv("KOINON_STORE_TO_KILL"); path != "" {
		s, views, _, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if len(views) > 0 {
			n, _ = strconv.Atoi(views[0].Version)
		}
		for {
			n++
			a := Change{Name: "a", Kind: "k", Version: strconv.Itoa(n), Whole: true, Put: objectsOf(n)}
			b := a
			b.Name = "b"
			if err := s.Apply(a, b); err != nil {
				t.Fatal(err)
			}
			fmt.Println("applied", n)
		}
	}
	path := filepath.Join(t.TempDir(), "cache.db")
	applied := 0
	for range size(4, 50) {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAProcessThatIsKilledLeavesWhatItHasApplied$")
		c.Env = append(os.Environ(), "KOINON_STORE_TO_KILL="+path)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for until := applied + 1 + newSource(t).IntN(60); applied < until && lines.Scan(); {
			_, _ = fmt.Sscanf(lines.Text(), "applied %d", &applied)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had said before
			_, _ = fmt.Sscanf(lines.Text(), "applied %d", &applied)
		}
		_ = c.Wait()
		s, views, damage := opened(t, path)
		if damage != nil || len(views) != 2 {
			t.Fatalf("it has %d views, damage %+v", len(views), damage)
		}
		n, _ := strconv.Atoi(views[0].Version)
		if n != applied && n != applied+1 {
			t.Fatalf("it has what was applied as the %dth, and %d were", n, applied)
		}
		same(t, views, model{"a": modelOf(n), "b": modelOf(n)})
		_ = s.Close()
	}
	t.Logf("%d were applied", applied)
}

func modelOf(n int) *modelView {
	v := &modelView{kind: "k", version: strconv.Itoa(n), objects: map[string]Object{}}
	for _, o := range objectsOf(n) {
		v.objects[o.Name] = o
	}
	return v
}

// The log is as large as the largest change needs, and not for ever.
func TestAfterALargeChangeTheLogIsSmallAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _, _ := opened(t, path)
	large := bytes.Repeat([]byte("x"), 32<<20)
	for i, body := range [][]byte{large, []byte("1"), []byte("2"), []byte("3")} {
		if err := s.Apply(Change{Name: "v", Kind: "k", Version: "1", Whole: true, Put: []Object{{"o", strconv.Itoa(i), body}}}); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if log.Size() > 8<<20 {
		t.Errorf("the log has %d bytes", log.Size())
	}
}
