package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// figure is one measured value.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// AtMost is what it should be at most; nil: it is only told.
	AtMost *float64 `json:"atMost,omitempty"`
	Value  float64  `json:"value"`
}

// figures are all of a run, in the order in which they were measured.
type figures struct{ list []figure }

// tell adds a figure that has no aim.
func (f *figures) tell(unit string, value float64, name string, args ...any) {
	f.list = append(f.list, figure{Name: fmt.Sprintf(name, args...), Unit: unit, Value: value})
}

// aim adds a figure that should be at most a limit.
func (f *figures) aim(unit string, value, atMost float64, name string, args ...any) {
	f.list = append(f.list, figure{Name: fmt.Sprintf(name, args...), Unit: unit, Value: value, AtMost: &atMost})
}

func (f *figures) save(file string) error {
	data, err := json.MarshalIndent(f.list, "", "  ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// load adds the figures of a file.
func (f *figures) load(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read figures: %w", err)
	}
	var loaded []figure
	if err := json.Unmarshal(data, &loaded); err != nil {
		return fmt.Errorf("read figures: %s: %w", file, err)
	}
	f.list = append(f.list, loaded...)
	return nil
}

// table sets figures beside those of another run, if there are any.
func (f *figures) table(before figures) string {
	head := []string{"Measure", "Aim", "Measured", "Verdict"}
	if len(before.list) > 0 {
		head = []string{"Measure", "Aim", "Before", "Measured", "Verdict"}
	}
	lines := [][]string{head}
	for _, now := range f.list {
		aim, verdict := "", ""
		if now.AtMost != nil {
			aim, verdict = "≤ "+digits(*now.AtMost), "missed"
			if now.Value <= *now.AtMost {
				verdict = "met"
			}
		}
		name := now.Name
		if now.Unit != "" {
			name += ", " + now.Unit
		}
		line := []string{name, aim, digits(now.Value), verdict}
		if len(before.list) > 0 {
			line = slices.Insert(line, 2, before.value(now))
		}
		lines = append(lines, line)
	}
	return aligned(lines)
}

func (f *figures) value(like figure) string {
	for _, other := range f.list {
		if other.Name == like.Name && other.Unit == like.Unit {
			return digits(other.Value)
		}
	}
	return "–"
}

// digits writes three digits at least.
func digits(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case size >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// aligned writes a Markdown table; the first line is the head.
func aligned(lines [][]string) string {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var out strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			out.WriteString("| " + cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)) + " ")
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				out.WriteString("|" + strings.Repeat("-", w+2))
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}

// percentile returns the value that p percent of the durations do not exceed: of fewer than
// 100, the 99th percentile is the longest.
func percentile(durations []time.Duration, p float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[max(int(math.Ceil(float64(len(sorted))*p/100))-1, 0)]
}
