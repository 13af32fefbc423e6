package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The figures of so small a run mean nothing; that there are any does.
func TestEveryRowMeasuresAtASmallScale(t *testing.T) {
	if os.Getenv("KOINON_LONG") == "" {
		t.Skip("four minutes with real servers: make test-bench-propagation")
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "figures.json")
			if err := run(t.Context(), options{rows: r.name, scale: 0.02, rounds: 2, json: file}); err != nil {
				t.Fatal(err)
			}
			var measured figures
			if err := measured.load(file); err != nil {
				t.Fatal(err)
			}
			if len(measured.list) == 0 {
				t.Error("there are no figures")
			}
			for _, f := range measured.list {
				if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
					t.Errorf("%s is %v", f.Name, f.Value)
				}
			}
		})
	}
}
