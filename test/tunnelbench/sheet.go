package main

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/koinon-io/koinon/test/bench/report"
)

const (
	kibi = 1 << 10
	mebi = 1 << 20
	gibi = 1 << 30
)

// sheet is the figures of one row of the benchmark: ways are its columns.
type sheet struct {
	*report.Report
	notes []string
	err   error // of figures that are none
}

// add adds a figure to a column.
func (s *sheet) add(column string, m report.Measure, value float64) {
	s.check(m.Group+", "+m.Name+", "+column, value)
	s.Add(column, m, value)
}

// check notes a figure that a table would hide behind a dash.
func (s *sheet) check(what string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		s.err = errors.Join(s.err, fmt.Errorf("%s is %v", what, value))
	}
}

// atMost and atLeast set a figure against an aim. There is none if there is no figure: konnectivity may not be measured.
func (s *sheet) atMost(text string, value, limit float64) {
	if !math.IsNaN(value) {
		s.AtMost(text, value, limit)
	}
}

func (s *sheet) atLeast(text string, value, limit float64) {
	if !math.IsNaN(value) {
		s.AtLeast(text, value, limit)
	}
}

// note says something below the tables, once.
func (s *sheet) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, said := range s.notes {
		if said == text {
			return
		}
	}
	s.notes = append(s.notes, text)
}

// beside adds how a figure of ours compares with one of another column.
func (s *sheet) beside(m report.Measure, other string, columns ...string) {
	for _, column := range columns {
		if ratio := s.Median(column, m) / s.Median(other, m); !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
			s.Add(column, report.Measure{Group: m.Group, Name: m.Name + " ÷ " + other}, ratio)
		}
	}
}

// more adds by how much a figure of columns is more than that of another.
func (s *sheet) more(m report.Measure, than string, columns ...string) {
	for _, column := range columns {
		if more := s.Median(column, m) - s.Median(than, m); !math.IsNaN(more) {
			s.Add(column, report.Measure{Group: m.Group, Name: m.Name + ", added", Unit: m.Unit}, more)
		}
	}
}

func (s *sheet) write(w io.Writer) error {
	if err := s.Write(w); err != nil {
		return err
	}
	for _, text := range s.notes {
		if _, err := fmt.Fprintf(w, "\n* %s\n", text); err != nil {
			return err
		}
	}
	return nil
}
