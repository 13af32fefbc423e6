package report

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Digits writes a figure with three digits at least; one that there is not is a dash.
func Digits(v float64) string {
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

// Table writes rows of cells as a Markdown table, all but the first column to the right. The first
// row is the head, and as long as every other.
func Table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			width[i] = max(width[i], utf8.RuneCountInString(text), 3)
		}
	}
	var out strings.Builder
	for n, row := range rows {
		for i, text := range row {
			space := strings.Repeat(" ", width[i]-utf8.RuneCountInString(text))
			if i == 0 {
				out.WriteString("| " + text + space)
			} else {
				out.WriteString(" | " + space + text)
			}
		}
		out.WriteString(" |\n")
		if n > 0 {
			continue
		}
		out.WriteString("|" + strings.Repeat("-", width[0]+2))
		for _, w := range width[1:] {
			out.WriteString("|" + strings.Repeat("-", w+1) + ":")
		}
		out.WriteString("|\n")
	}
	return out.String()
}
