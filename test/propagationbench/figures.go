package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/koinon-io/koinon/test/bench/report"
)

// figure is one measured value.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// AtMost and AtLeast are what it should be at most or at least; without either it is only told.
	AtMost  *float64 `json:"atMost,omitempty"`
	AtLeast *float64 `json:"atLeast,omitempty"`
	Value   float64  `json:"value"`
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

// aimLeast adds a figure that should be at least a limit.
func (f *figures) aimLeast(unit string, value, atLeast float64, name string, args ...any) {
	f.list = append(f.list, figure{Name: fmt.Sprintf(name, args...), Unit: unit, Value: value, AtLeast: &atLeast})
}

// verdict is what a figure should be, and whether it is.
func (f figure) verdict() (aim, verdict string) {
	met := false
	switch {
	case f.AtMost != nil:
		aim, met = "≤ "+report.Digits(*f.AtMost), f.Value <= *f.AtMost
	case f.AtLeast != nil:
		aim, met = "≥ "+report.Digits(*f.AtLeast), f.Value >= *f.AtLeast
	default:
		return "", ""
	}
	if met {
		return aim, "met"
	}
	return aim, "missed"
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
		aim, verdict := now.verdict()
		name := now.Name
		if now.Unit != "" {
			name += ", " + now.Unit
		}
		line := []string{name, aim, report.Digits(now.Value), verdict}
		if len(before.list) > 0 {
			line = slices.Insert(line, 2, before.value(now))
		}
		lines = append(lines, line)
	}
	return report.Table(lines)
}

func (f *figures) value(like figure) string {
	for _, other := range f.list {
		if other.Name == like.Name && other.Unit == like.Unit {
			return report.Digits(other.Value)
		}
	}
	return "–"
}
