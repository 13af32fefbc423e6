package datastorecmd

import (
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/archive"
)

func TestProgressInALine(t *testing.T) {
	began := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		stage archive.Stage
		after time.Duration
		want  string
	}{
		"at the beginning":        {archive.Stage{What: "Copying", Total: 10, Began: began}, 0, "Copying: 0 of 10 (0%)"},
		"on the way":              {archive.Stage{What: "Copying", Total: 1000, Keys: 250, Bytes: 5 << 20, Began: began}, 5 * time.Second, "Copying: 250 of 1000 (25%), 5.0 MiB, 50 a second, 1.0 MiB a second"},
		"nobody knows how much":   {archive.Stage{What: "Reading", Keys: 250, Began: began}, 5 * time.Second, "Reading: 250, 50 a second"},
		"only bytes":              {archive.Stage{What: "Reading", Bytes: 100, Began: began}, 10 * time.Second, "Reading, 100 bytes, 10 bytes a second"},
		"nothing that is counted": {archive.Stage{What: "Waiting", Began: began}, 5 * time.Second, "Waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := describe(c.stage, began.Add(c.after)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestByteSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 1 << 52: "4096.0 TiB"} {
		if got := byteSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
