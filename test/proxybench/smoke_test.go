package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The figures of so small a run mean nothing; that there are any does.
func TestEveryRowMeasuresAtASmallScale(t *testing.T) {
	if os.Getenv("KOINON_LONG") == "" {
		t.Skip("three minutes with real servers: make test-bench-proxy")
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tables.md")
			// A figure that is no number is an error, too.
			if err := run(t.Context(), options{rows: r.name, scale: 0.02, rounds: 2, markdown: file}); err != nil {
				t.Fatal(err)
			}
			tables, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"## " + r.name + "\n", "### Aims\n", strings.Join(r.columns, " | ")} {
				if !strings.Contains(squeezed(string(tables)), want) {
					t.Errorf("want %q in\n%s", want, tables)
				}
			}
		})
	}
}

// squeezed is a table without the spaces that align it.
func squeezed(table string) string {
	for strings.Contains(table, "  ") {
		table = strings.ReplaceAll(table, "  ", " ")
	}
	return table
}
