package history

import (
	"strings"
	"testing"
	"time"
)

// A good history to break: two clients, one key, then one watcher at each store.
func good() History {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	first := Version{Value: "v1", Mod: 2, Created: 2, Number: 1}
	second := Version{Value: "v2", Mod: 3, Created: 2, Number: 2}
	watched := func(name string) Watcher {
		return Watcher{Name: name, Segments: []Segment{{From: 2, Steps: []Step{
			{Event: Event{Revision: 2, Key: "a", Value: "v1", Created: 2, Number: 1}},
			{Event: Event{Revision: 3, Key: "a", Value: "v2", Created: 2, Number: 2, Previous: first}},
			{Progress: 3},
			{Event: Event{Revision: 4, Key: "b", Value: "v3", Created: 4, Number: 1}},
			{Event: Event{Revision: 5, Key: "a", Deleted: true, Previous: second}},
			{Event: Event{Revision: 6, Key: "end", Value: "end", Created: 6, Number: 1}},
		}}}}
	}
	return History{
		Operations: []Operation{
			{Client: 1, Kind: Create, Key: "a", Value: "v1", Call: ms(1), Return: ms(2), Outcome: Done, Revision: 2},
			{Client: 2, Kind: Update, Key: "a", Value: "v2", Compare: 2, Call: ms(3), Return: ms(4), Outcome: Done, Revision: 3},
			{Client: 1, Kind: Get, Key: "a", Call: ms(5), Return: ms(6), Outcome: Done, Revision: 3, Found: map[string]Version{"a": second}},
			{Client: 1, Kind: Update, Key: "a", Value: "v0", Compare: 2, Call: ms(7), Return: ms(8), Outcome: Refused, Revision: 3, Found: map[string]Version{"a": second}},
			{Client: 1, Kind: Create, Key: "b", Value: "v3", Call: ms(9), Return: ms(30), Outcome: Unknown},
			{Client: 1, Kind: Create, Key: "c", Value: "v4", Call: ms(9), Return: ms(30), Outcome: Unknown},
			{Client: 2, Kind: Delete, Key: "a", Compare: 3, Call: ms(10), Return: ms(11), Outcome: Done, Revision: 5},
			{Client: 2, Kind: List, Key: "", Call: ms(12), Return: ms(13), Outcome: Done, Revision: 5, Found: map[string]Version{"b": {Value: "v3", Mod: 4, Created: 4, Number: 1}}},
			{Client: 2, Kind: Create, Key: "end", Value: "end", Call: ms(40), Return: ms(41), Outcome: Done, Revision: 6},
		},
		Watchers: []Watcher{watched("one"), watched("two")},
	}
}

func TestAGoodHistoryHasNoViolations(t *testing.T) {
	report := Check(good())
	if len(report.Violations) > 0 {
		t.Errorf("violations:\n%s", strings.Join(report.Violations, "\n"))
	}
	if report.Acknowledged != 4 || report.Unknown != 2 || report.Happened != 1 || report.Events != 5 || report.Deliveries != 10 {
		t.Errorf("got %v", report)
	}
}

func TestBadHistoriesAreFound(t *testing.T) {
	steps := func(h *History) *[]Step { return &h.Watchers[1].Segments[0].Steps }
	everywhere := func(h *History, change func(steps []Step) []Step) {
		for i := range h.Watchers {
			h.Watchers[i].Segments[0].Steps = change(h.Watchers[i].Segments[0].Steps)
		}
	}
	unwatched := func(h *History) { h.Watchers = nil }
	cases := map[string]struct {
		spoil func(h *History)
		want  string
	}{
		"a write that no watcher was sent": {func(h *History) {
			everywhere(h, func(s []Step) []Step { return append(s[:1:1], s[2:]...) })
		}, "was sent to no watcher"},
		"an event that one watcher was not sent": {func(h *History) {
			*steps(h) = append((*steps(h))[:1:1], (*steps(h))[2:]...)
		}, "watcher two was not sent revision 3"},
		"an event that was sent twice": {func(h *History) {
			*steps(h) = append((*steps(h))[:2:2], (*steps(h))[1:]...)
		}, "was sent revision 3 (\"a\") after 3"},
		"events in the wrong order": {func(h *History) {
			(*steps(h))[0], (*steps(h))[1] = (*steps(h))[1], (*steps(h))[0]
		}, "was sent revision 2 (\"a\") after 3"},
		"an event after the progress that includes it": {func(h *History) {
			(*steps(h))[2].Progress = 4
		}, "after it was told that it has all up to 4"},
		"watchers that saw different values": {func(h *History) {
			(*steps(h))[1].Event.Value = "v9"
		}, "another event of revision 3"},
		"a wrong value before": {func(h *History) {
			everywhere(h, func(s []Step) []Step { s[4].Event.Previous.Mod = 2; return s })
		}, "says that \"a\" was"},
		"no value before": {func(h *History) {
			everywhere(h, func(s []Step) []Step { s[4].Event.Previous = Version{}; return s })
		}, "says that \"a\" was"},
		"a wrong version number": {func(h *History) {
			everywhere(h, func(s []Step) []Step { s[1].Event.Number = 1; return s })
		}, "has version 1, want 2 and 2"},
		"a write that is in the log twice": {func(h *History) {
			everywhere(h, func(s []Step) []Step {
				again := s[3].Event
				again.Revision, again.Number, again.Previous = 7, 2, Version{Value: "v3", Mod: 4, Created: 4, Number: 1}
				return append(s, Step{Event: again})
			})
		}, "value v3 is in the log twice"},
		"an event that nobody caused": {func(h *History) {
			everywhere(h, func(s []Step) []Step {
				return append(s, Step{Event: Event{Revision: 7, Key: "d", Value: "?", Created: 7, Number: 1}})
			})
		}, "nobody wrote what the log has at 7"},
		"a deletion that nobody asked for": {func(h *History) {
			h.Operations[6].Kind, h.Operations[6].Outcome = Get, Unknown
		}, "nobody deleted what the log deletes at 5"},
		"a refused write that happened": {func(h *History) {
			h.Operations[0].Outcome = Refused
		}, "a write that was refused is in the log"},
		"two winners of a race": {func(h *History) {
			unwatched(h)
			h.Operations[3].Outcome, h.Operations[3].Revision, h.Operations[3].Found = Done, 4, nil
		}, "key \"a\" is not linearizable"},
		"one revision for two writes": {func(h *History) {
			h.Operations[6].Revision = 3
		}, "revision 3 was given to two writes"},
		"a write below a revision seen before": {func(h *History) {
			h.Operations[6].Revision = 1
		}, "not above one seen before"},
		"a read of the past": {func(h *History) {
			unwatched(h)
			h.Operations[2].Revision = 2
			h.Operations[2].Found = map[string]Version{"a": {Value: "v1", Mod: 2, Created: 2, Number: 1}}
		}, "the revision of the store went back"},
		"a read of an old value under a new revision": {func(h *History) {
			h.Operations[2].Found = map[string]Version{"a": {Value: "v1", Mod: 2, Created: 2, Number: 1}}
		}, "a read differs from the log at 3"},
		"the same without watchers": {func(h *History) {
			unwatched(h)
			h.Operations[2].Found = map[string]Version{"a": {Value: "v1", Mod: 2, Created: 2, Number: 1}}
		}, "key \"a\" is not linearizable"},
		"a lost write, seen by a read alone": {func(h *History) {
			unwatched(h)
			h.Operations[2].Found = map[string]Version{}
		}, "key \"a\" is not linearizable"},
		"a list that lacks a key": {func(h *History) {
			h.Operations[7].Found = map[string]Version{}
		}, "a read differs from the log at 5"},
		"a list with a key that was deleted": {func(h *History) {
			unwatched(h)
			h.Operations[7].Found["a"] = Version{Value: "v2", Mod: 3, Created: 2, Number: 2}
		}, "key \"a\" is not linearizable"},
		"a state read anew that is not that of its revision": {func(h *History) {
			h.Watchers[1].Segments = []Segment{
				{From: 2, Steps: (*steps(h))[:1]},
				{From: 4, Listed: map[string]Version{"a": {Value: "v1", Mod: 2, Created: 2, Number: 1}}, Steps: (*steps(h))[3:]},
			}
		}, "read the state at 3 anew"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := good()
			c.spoil(&h)
			found := strings.Join(Check(h).Violations, "\n")
			if !strings.Contains(found, c.want) {
				t.Errorf("want a violation with %q, got:\n%s", c.want, found)
			}
		})
	}
}

func TestWhatIsUnknownMayOrMayNotHaveHappened(t *testing.T) {
	cases := map[string]func(h *History){
		"an update that nobody was told of": func(h *History) { h.Operations[1].Outcome, h.Operations[1].Revision = Unknown, 0 },
		"a delete that nobody was told of":  func(h *History) { h.Operations[6].Outcome, h.Operations[6].Revision = Unknown, 0 },
		"a delete that nobody saw": func(h *History) {
			h.Watchers = nil
			h.Operations[6].Outcome, h.Operations[6].Revision = Unknown, 0
		},
		"a delete that was asked for twice": func(h *History) {
			again := h.Operations[6]
			again.Outcome, again.Revision = Unknown, 0
			h.Operations = append(h.Operations, again)
		},
		"what a compaction took from an event": func(h *History) {
			h.Compacted = 5
			h.Watchers[0].Segments[0].Steps[4].Event.Previous = Version{}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			h := good()
			change(&h)
			if report := Check(h); len(report.Violations) > 0 {
				t.Errorf("violations:\n%s", strings.Join(report.Violations, "\n"))
			}
		})
	}
}
