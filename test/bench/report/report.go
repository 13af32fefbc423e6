// Package report collects the figures of a benchmark, compares them and writes them down
// as a Markdown table that also reads well as plain text.
//
// A Report is used by one goroutine at a time.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Measure is one row: what was measured, and in which unit.
type Measure struct {
	Group, Name, Unit string
}

// Report holds the samples of every measure of the contenders.
type Report struct {
	contenders []string
	order      []Measure
	samples    map[Measure]map[string][]float64
	aims       []aim
}

// New returns an empty report. Contenders are columns, in the order given; if there are two
// of them, a further column has the ratio of the second to the first.
func New(contenders ...string) *Report {
	return &Report{contenders: contenders, samples: map[Measure]map[string][]float64{}}
}

// Add adds samples. Rows appear in the order in which their first sample came.
func (r *Report) Add(contender string, m Measure, values ...float64) {
	if r.samples[m] == nil {
		r.samples[m] = map[string][]float64{}
		r.order = append(r.order, m)
	}
	r.samples[m][contender] = append(r.samples[m][contender], values...)
}

// Median of the samples, NaN if there are none.
func (r *Report) Median(contender string, m Measure) float64 {
	return median(r.samples[m][contender])
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

type aim struct {
	text   string
	value  float64
	atMost bool
	limit  float64
}

// AtMost sets a figure against the most that it should be.
func (r *Report) AtMost(text string, value, limit float64) {
	r.aims = append(r.aims, aim{text, value, true, limit})
}

// AtLeast sets a figure against the least that it should be.
func (r *Report) AtLeast(text string, value, limit float64) {
	r.aims = append(r.aims, aim{text, value, false, limit})
}

func (a aim) row() []string {
	words, met := "at least", a.value >= a.limit
	if a.atMost {
		words, met = "at most", a.value <= a.limit
	}
	verdict := "missed"
	if met {
		verdict = "met"
	}
	return []string{a.text, words + " " + Digits(a.limit), Digits(a.value), verdict}
}

// Write writes one table per group, and the aims.
func (r *Report) Write(w io.Writer) error {
	var out strings.Builder
	if len(r.aims) > 0 {
		rows := [][]string{{"Aim", "Wanted", "Measured", "Verdict"}}
		for _, a := range r.aims {
			rows = append(rows, a.row())
		}
		out.WriteString("### Aims\n\n" + Table(rows))
	}
	var groups []string
	for _, m := range r.order {
		if !slices.Contains(groups, m.Group) {
			groups = append(groups, m.Group)
		}
	}
	for _, group := range groups {
		rows := [][]string{r.head()}
		for _, m := range r.order {
			if m.Group == group {
				rows = append(rows, r.row(m))
			}
		}
		out.WriteString("\n### " + group + "\n\n" + Table(rows))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *Report) head() []string {
	head := append([]string{""}, r.contenders...)
	if len(r.contenders) == 2 {
		head = append(head, r.contenders[1]+" / "+r.contenders[0])
	}
	return head
}

func (r *Report) row(m Measure) []string {
	name := m.Name
	if m.Unit != "" {
		name += ", " + m.Unit
	}
	row := []string{name}
	for _, contender := range r.contenders {
		row = append(row, cell(r.samples[m][contender]))
	}
	if len(r.contenders) == 2 {
		row = append(row, Digits(r.Median(r.contenders[1], m)/r.Median(r.contenders[0], m)))
	}
	return row
}

// cell is the median, and the range if there is one.
func cell(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	if len(values) == 1 {
		return Digits(values[0])
	}
	return fmt.Sprintf("%s (%s…%s)", Digits(median(values)), Digits(slices.Min(values)), Digits(slices.Max(values)))
}
