package history

import (
	"fmt"
	"strings"
)

// maxViolations is how many are written out of each kind.
const maxViolations = 10

// Report is what a check found.
type Report struct {
	// Operations is the number of requests, Acknowledged that of the writes that were
	// done, Unknown that of those of which nobody was told, and Happened how many of these
	// had happened.
	Operations, Acknowledged, Unknown, Happened int
	// Events is how many distinct events there were, Deliveries how many all watchers
	// together were sent.
	Events, Deliveries, Watchers int
	// Undecided are keys whose linearizability could not be decided in time.
	Undecided int
	// Violations are sentences; there may be more than are written out.
	Violations []string
	total      map[string]int
}

// violate adds a violation. The format is its kind.
func (r *Report) violate(format string, args ...any) {
	if r.total == nil {
		r.total = map[string]int{}
	}
	r.total[format]++
	switch n := r.total[format]; {
	case n <= maxViolations:
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
	case n == maxViolations+1:
		r.Violations = append(r.Violations, "and more like the last")
	}
}

// String is one line without the violations.
func (r *Report) String() string {
	violations := 0
	for _, n := range r.total {
		violations += n
	}
	var undecided strings.Builder
	if r.Undecided > 0 {
		fmt.Fprintf(&undecided, ", %d keys undecided", r.Undecided)
	}
	return fmt.Sprintf("%d operations checked (%d writes acknowledged, %d unknown of which %d had happened), %d events to %d watchers (%d deliveries), violations: %d%s",
		r.Operations, r.Acknowledged, r.Unknown, r.Happened, r.Events, r.Watchers, r.Deliveries, violations, undecided.String())
}

// History is all that there is to check.
type History struct {
	// Operations are in the order of their calls, as a Recorder returns them.
	Operations []Operation
	Watchers   []Watcher
	// Compacted is the highest revision that was compacted while watchers ran. Of an event
	// up to it nobody needs to say what was there before.
	Compacted int64
}

// Check finds what in a history contradicts itself.
func Check(h History) *Report {
	report := &Report{Operations: len(h.Operations), Watchers: len(h.Watchers)}
	for _, o := range h.Operations {
		switch {
		case o.IsWrite() && o.Outcome == Done:
			report.Acknowledged++
		case o.IsWrite() && o.Outcome == Unknown:
			report.Unknown++
		}
	}
	checkRevisions(h.Operations, report)
	log := mergeWatchers(h, report)
	checkWatched(h, log, report)
	checkReads(h.Operations, log, report)
	checkLinearizable(h, log, report)
	return report
}
