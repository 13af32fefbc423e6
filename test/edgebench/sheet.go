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

// sheet is the figures of one row of the benchmark: what is compared are its columns.
type sheet struct {
	*report.Report
	notes []string
	err   error // of figures that are none
}

// add adds a figure to a column.
func (s *sheet) add(column string, m report.Measure, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		s.err = errors.Join(s.err, fmt.Errorf("%s, %s, %s is %v", m.Group, m.Name, column, value))
	}
	s.Add(column, m, value)
}

// note says something below the tables.
func (s *sheet) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
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
