package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	var now, before figures
	now.tell("s", 0.25, "one object → %d targets", 100)
	now.aim("", 11.5, 12, "ratio")
	now.aim("bytes", 270, 120, "record")
	now.aimLeast("objects/s", 80, 400, "created")
	now.aimLeast("objects/s", 500, 400, "changed")
	before.tell("s", 0.7, "one object → 100 targets")
	file := filepath.Join(t.TempDir(), "before.json")
	if err := before.save(file); err != nil {
		t.Fatal(err)
	}
	var loaded figures
	if err := loaded.load(file); err != nil {
		t.Fatal(err)
	}
	want := `| Measure                     |   Aim | Before | Measured | Verdict |
|-----------------------------|------:|-------:|---------:|--------:|
| one object → 100 targets, s |       |   0.70 |     0.25 |         |
| ratio                       |  ≤ 12 |      – |     11.5 |     met |
| record, bytes               | ≤ 120 |      – |      270 |  missed |
| created, objects/s          | ≥ 400 |      – |       80 |  missed |
| changed, objects/s          | ≥ 400 |      – |      500 |     met |
`
	if diff := cmp.Diff(want, now.table(loaded)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
