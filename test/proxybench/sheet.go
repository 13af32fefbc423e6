package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/koinon-io/koinon/test/bench/report"
)

const (
	kibi = 1 << 10
	mebi = 1 << 20
)

// sheet is the figures of one row of the benchmark: what is compared are its columns.
type sheet struct {
	*report.Report
	err error // of figures that are none
}

// add adds a figure to a column.
func (s *sheet) add(column string, m report.Measure, value float64) {
	s.check(m.Group+", "+m.Name+", "+column, value)
	s.Add(column, m, value)
}

// aim sets a figure against the most that it should be.
func (s *sheet) aim(value, atMost float64, text string, args ...any) {
	text = fmt.Sprintf(text, args...)
	s.check(text, value)
	s.AtMost(text, value, atMost)
}

// check notes a figure that a table would hide behind a dash.
func (s *sheet) check(what string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		s.err = errors.Join(s.err, fmt.Errorf("%s is %v", what, value))
	}
}

// figure is one line of a comparison.
type figure struct {
	name, unit string
	// of a column, beside the first one.
	of func(t, first *tally) float64
	// all: the first column has it too.
	all bool
}

// comparison is what is told of everything that takes turns, ratios first.
var comparison = []figure{
	{"median ÷ directly", "", func(t, first *tally) float64 { return t.median() / first.median() }, false},
	{"median, added", "ms", func(t, first *tally) float64 { return t.median() - first.median() }, false},
	{"P99 ÷ directly", "", func(t, first *tally) float64 { return t.p99() / first.p99() }, false},
	{"median", "ms", func(t, _ *tally) float64 { return t.median() }, true},
	{"P99", "ms", func(t, _ *tally) float64 { return t.p99() }, true},
	{"CPU of the server, each", "ms", func(t, _ *tally) float64 { return t.each(t.cpu.server) }, true},
	{"CPU of the member, each", "ms", func(t, _ *tally) float64 { return t.each(t.cpu.member) }, true},
}

// compare tells what several columns have cost; the first one is the member itself.
func (s *sheet) compare(group string, columns []string, tallies []*tally) {
	for _, f := range comparison {
		for i, column := range columns {
			if i > 0 || f.all {
				s.add(column, report.Measure{Group: group, Name: f.name, Unit: f.unit}, f.of(tallies[i], tallies[0]))
			}
		}
	}
}

// aims sets ratios and additions of columns that have an aim against it.
func (s *sheet) aims(group, name string, columns []string, tallies []*tally, atMost map[string]float64) {
	i := slices.IndexFunc(comparison, func(f figure) bool { return f.name == name })
	for c, column := range columns {
		if limit, ok := atMost[column]; ok {
			text := group + ", " + column + ", " + name
			if unit := comparison[i].unit; unit != "" {
				text += ", " + unit
			}
			s.aim(comparison[i].of(tallies[c], tallies[0]), limit, "%s", text)
		}
	}
}
