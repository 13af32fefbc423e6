package runner

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type row string

func (r row) RowName() string { return string(r) }

var all = []row{"one", "two", "three"}

func TestRowsAreSelectedByName(t *testing.T) {
	if _, err := Selected(all, "one,nothing"); err == nil {
		t.Error("a row that there is not is no error")
	}
	for list, want := range map[string][]row{"three,one": {"three", "one"}, "": all} {
		got, err := Selected(all, list)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", list, err, diff)
		}
	}
}

func TestARowThatFailsHindersNoOtherAndTheLogsAreKept(t *testing.T) {
	o := Options{Markdown: filepath.Join(t.TempDir(), "tables.md"), KeepLogs: filepath.Join(t.TempDir(), "logs")}
	r, err := Start("runnertest", o)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err = Measure(r, all, func(r1 row) error {
		if r1 == "two" {
			return broken
		}
		r.Out.WriteString(string(r1) + "\n")
		dir := filepath.Join(r.Dir, string(r1))
		return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "server.log"), []byte(r1), 0o600))
	})
	if !errors.Is(err, broken) || err.Error() != "two: broken" {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(r.Print(), r.Clean()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		o.Markdown: "one\nthree\n", filepath.Join(o.KeepLogs, "one-server.log"): "one", filepath.Join(o.KeepLogs, "three-server.log"): "three",
	} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s has %q: %v", file, got, err)
		}
	}
	if _, err := os.Stat(r.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is there: %v", err)
	}
}
