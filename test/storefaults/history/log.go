package history

import (
	"slices"
	"sort"
)

// log is what all watchers together saw.
type log struct {
	events map[int64]Event
	// compacted is that of the history.
	compacted int64
	// keys has the events of each key in order.
	keys map[string][]Event
	// from and to are the longest range without a gap that begins where the first watcher
	// did: what is not in the log did not happen.
	from, to int64
}

// mergeWatchers makes the log and finds where watchers contradict each other or themselves.
func mergeWatchers(h History, report *Report) *log {
	l := &log{events: map[int64]Event{}, keys: map[string][]Event{}, compacted: h.Compacted}
	for _, w := range h.Watchers {
		for _, segment := range w.Segments {
			report.Deliveries += l.merge(w.Name, segment, report)
		}
	}
	for _, e := range l.events {
		l.keys[e.Key] = append(l.keys[e.Key], e)
	}
	for _, events := range l.keys {
		slices.SortFunc(events, func(a, b Event) int { return int(a.Revision - b.Revision) })
	}
	l.cover(h.Watchers)
	report.Events = len(l.events)
	l.checkSequel(report)
	return l
}

func (l *log) merge(watcher string, segment Segment, report *Report) (deliveries int) {
	last, progress := segment.From-1, int64(0)
	for _, step := range segment.Steps {
		if step.Progress > 0 {
			progress = max(progress, step.Progress)
			continue
		}
		deliveries++
		e := step.Event
		if e.Revision <= last {
			report.violate("watcher %s was sent revision %d (%q) after %d", watcher, e.Revision, e.Key, last)
		}
		if e.Revision <= progress {
			report.violate("watcher %s was sent revision %d (%q) after it was told that it has all up to %d", watcher, e.Revision, e.Key, progress)
		}
		last = max(last, e.Revision)
		other, there := l.events[e.Revision]
		if there && l.forgotten(e) {
			e.Previous = other.Previous
		} else if there && l.forgotten(other) {
			other.Previous = e.Previous
		}
		if there && other != e {
			report.violate("watcher %s was sent another event of revision %d than others: %+v, they %+v", watcher, e.Revision, e, other)
			continue
		}
		l.events[e.Revision] = e
	}
	return deliveries
}

// forgotten says that an event rightly does not say what was there before.
func (l *log) forgotten(e Event) bool {
	return e.Previous == (Version{}) && e.Revision <= l.compacted
}

// cover finds the range without a gap.
func (l *log) cover(watchers []Watcher) {
	var segments []Segment
	for _, w := range watchers {
		segments = append(segments, w.Segments...)
	}
	sort.Slice(segments, func(i, j int) bool { return segments[i].From < segments[j].From })
	for i, s := range segments {
		if i == 0 {
			l.from, l.to = s.From, s.To()
		} else if s.From <= l.to+1 {
			l.to = max(l.to, s.To())
		}
	}
}

// covers says that the log has whatever happened at a revision.
func (l *log) covers(revision int64) bool { return revision >= l.from && revision <= l.to }

// at is the state of a key at a revision that the log covers. The key was not there before
// the log began.
func (l *log) at(key string, revision int64) Version {
	events := l.keys[key]
	i := sort.Search(len(events), func(i int) bool { return events[i].Revision > revision })
	if i == 0 || events[i-1].Deleted {
		return Version{}
	}
	e := events[i-1]
	return Version{Value: e.Value, Mod: e.Revision, Created: e.Created, Number: e.Number}
}

// checkSequel finds events that do not follow from the ones before them.
func (l *log) checkSequel(report *Report) {
	for key, events := range l.keys {
		for _, e := range events {
			if !l.covers(e.Revision) {
				continue
			}
			before := l.at(key, e.Revision-1)
			if e.Previous != before && !l.forgotten(e) {
				report.violate("the event of revision %d says that %q was %+v before it, which was %+v", e.Revision, key, e.Previous, before)
			}
			want := Version{Created: e.Revision, Number: 1}
			if before != (Version{}) {
				want = Version{Created: before.Created, Number: before.Number + 1}
			}
			switch {
			case e.Deleted && before == (Version{}):
				report.violate("revision %d deletes %q, which is not there", e.Revision, key)
			case !e.Deleted && (e.Created != want.Created || e.Number != want.Number):
				report.violate("revision %d of %q was created at %d and has version %d, want %d and %d", e.Revision, key, e.Created, e.Number, want.Created, want.Number)
			}
		}
	}
}
