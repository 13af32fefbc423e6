package history

// Event is what a watcher is told of one revision.
type Event struct {
	Revision int64
	Key      string
	Deleted  bool
	// Value, Created and Number are those of a put.
	Value           string
	Created, Number int64
	// Previous is what was there before; the zero Version means nothing.
	Previous Version
}

// Step is one thing that a watcher was told.
type Step struct {
	// Progress says that all events up to this revision have been sent; it is 0 for an
	// event.
	Progress int64
	Event    Event
}

// Segment is what a watcher saw without a gap, however often it reconnected.
type Segment struct {
	// From is the first revision that it asked for.
	From int64
	// Listed is the state at From-1 that it had read before; nil means none.
	Listed map[string]Version
	Steps  []Step
}

// To is the revision up to which the segment has to have everything.
func (s Segment) To() int64 {
	to := s.From - 1
	for _, step := range s.Steps {
		to = max(to, step.Progress, step.Event.Revision)
	}
	return to
}

// Watcher is what one watcher of all keys saw. A new segment begins when it had to read the
// state anew, since what it had to see next was compacted.
type Watcher struct {
	Name     string
	Segments []Segment
}
