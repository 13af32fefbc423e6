package history

import (
	"slices"
	"strings"
)

// checkWatched finds events that a watcher missed, writes that are not in the log or twice
// in it, and events that nobody caused.
func checkWatched(h History, l *log, report *Report) {
	checkMissed(h.Watchers, l, report)
	writes := map[string]Operation{}
	deletes := map[deletion][]Operation{}
	for _, o := range h.Operations {
		switch o.Kind {
		case Create, Update:
			writes[o.Value] = o
		case Delete:
			deletes[deletion{o.Key, o.Compare}] = append(deletes[deletion{o.Key, o.Compare}], o)
		}
		if o.IsWrite() && o.Outcome == Done && l.covers(o.Revision) {
			checkLogged(o, l, report)
		}
	}
	checkCaused(writes, deletes, l, report)
}

// deletion names the version that is deleted.
type deletion struct {
	key      string
	revision int64
}

// checkMissed finds what a watcher should have been sent and was not.
func checkMissed(watchers []Watcher, l *log, report *Report) {
	revisions := make([]int64, 0, len(l.events))
	for revision := range l.events {
		revisions = append(revisions, revision)
	}
	slices.Sort(revisions)
	for _, w := range watchers {
		for _, segment := range w.Segments {
			got := map[int64]bool{}
			for _, step := range segment.Steps {
				got[step.Event.Revision] = true
			}
			first, _ := slices.BinarySearch(revisions, segment.From)
			for _, revision := range revisions[first:] {
				if revision > segment.To() {
					break
				}
				if !got[revision] {
					report.violate("watcher %s was not sent revision %d (%q)", w.Name, revision, l.events[revision].Key)
				}
			}
			checkListed(w.Name, segment, l, report)
		}
	}
}

// checkListed compares what a watcher has read before its segment with the log.
func checkListed(watcher string, segment Segment, l *log, report *Report) {
	if segment.Listed != nil && l.covers(segment.From-1) {
		for _, difference := range l.differences("", segment.Listed, segment.From-1) {
			report.violate("watcher %s read the state at %d anew, and %s", watcher, segment.From-1, difference)
		}
	}
}

// checkLogged compares an acknowledged write with the log.
func checkLogged(o Operation, l *log, report *Report) {
	e, there := l.events[o.Revision]
	switch {
	case !there:
		report.violate("an acknowledged write was sent to no watcher: %v", o)
	case e.Key != o.Key || e.Deleted != (o.Kind == Delete) || e.Value != o.Value:
		report.violate("an acknowledged write is another event in the log: %v is %+v", o, e)
	case o.Kind != Create && e.Previous.Mod != o.Compare && !l.forgotten(e):
		report.violate("an acknowledged write replaced another revision than it expected: %v, the log has %d before it", o, e.Previous.Mod)
	}
}

// checkCaused finds the write behind every event.
func checkCaused(writes map[string]Operation, deletes map[deletion][]Operation, l *log, report *Report) {
	seen := map[string]int64{}
	for _, e := range l.events {
		if e.Deleted {
			checkDeleted(deletes[deletion{e.Key, l.at(e.Key, e.Revision-1).Mod}], e, report)
			continue
		}
		if other, twice := seen[e.Value]; twice {
			report.violate("value %s is in the log twice: at %d and at %d", e.Value, other, e.Revision)
		}
		seen[e.Value] = e.Revision
		cause, there := writes[e.Value]
		switch {
		case !there:
			report.violate("nobody wrote what the log has at %d: %+v", e.Revision, e)
		case cause.Outcome == Refused:
			report.violate("a write that was refused is in the log at %d: %v", e.Revision, cause)
		case cause.Outcome == Done && cause.Revision != e.Revision:
			report.violate("a write is in the log at revision %d: %v", e.Revision, cause)
		case cause.Outcome == Unknown:
			report.Happened++
		}
	}
}

func checkDeleted(causes []Operation, e Event, report *Report) {
	for _, cause := range causes {
		if cause.Outcome == Done && cause.Revision == e.Revision {
			return
		}
	}
	if slices.ContainsFunc(causes, func(o Operation) bool { return o.Outcome == Unknown }) {
		report.Happened++
		return
	}
	report.violate("nobody deleted what the log deletes at %d: %+v", e.Revision, e)
}

// differences says in words where a state that was read differs from the log.
func (l *log) differences(prefix string, found map[string]Version, revision int64) []string {
	var all []string
	for key, version := range found {
		if want := l.at(key, revision); version != want {
			all = append(all, describe(key, version, want))
		}
	}
	for key := range l.keys {
		if _, there := found[key]; !there && strings.HasPrefix(key, prefix) {
			if want := l.at(key, revision); want != (Version{}) {
				all = append(all, describe(key, Version{}, want))
			}
		}
	}
	slices.Sort(all)
	return all
}
