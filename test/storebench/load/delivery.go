package load

// Event is what a watcher is told of one write.
type Event struct {
	Revision int64
	Key      string
	Deleted  bool
}

// Delivery is what became of the events that watchers were owed.
type Delivery struct {
	// Owed are the writes that were acknowledged; Delivered are those of them that came,
	// each counted once.
	Owed, Delivered int
	// Doubles are events that had come before.
	Doubles int
	// Disordered are events that came after one of a later revision.
	Disordered int
	// Misstated are those of the delivered whose revision is another than the answer to the
	// write said.
	Misstated int
	// Strange are events of writes that were not acknowledged. Where writes failed they may
	// be in order: nobody knows whether those happened.
	Strange int
}

// Wrong is how many events were not as they should be.
func (d Delivery) Wrong() int { return d.Doubles + d.Disordered + d.Misstated + d.Strange }

// Fraction of the events owed that came; 1 if none were owed.
func (d Delivery) Fraction() float64 {
	if d.Owed == 0 {
		return 1
	}
	return float64(d.Delivered) / float64(d.Owed)
}

// Plus is the sum of two.
func (d Delivery) Plus(other Delivery) Delivery {
	return Delivery{
		Owed: d.Owed + other.Owed, Delivered: d.Delivered + other.Delivered, Doubles: d.Doubles + other.Doubles,
		Disordered: d.Disordered + other.Disordered, Misstated: d.Misstated + other.Misstated, Strange: d.Strange + other.Strange,
	}
}

// check compares what one watcher saw, in that order, with what it was owed. Every write
// has a revision of its own.
func check(owed, seen []Event) Delivery {
	d := Delivery{Owed: len(owed)}
	due := make(map[Event]bool, len(owed))
	for _, event := range owed {
		due[event] = true
	}
	had := make(map[Event]bool, len(seen))
	var strange []Event
	latest := int64(0)
	for _, event := range seen {
		switch {
		case had[event]:
			d.Doubles++
			continue
		case event.Revision < latest:
			d.Disordered++
		}
		had[event], latest = true, max(latest, event.Revision)
		if due[event] {
			d.Delivered++
			delete(due, event)
		} else {
			strange = append(strange, event)
		}
	}
	d.Misstated = pairs(due, strange)
	d.Delivered += d.Misstated
	d.Strange = len(strange) - d.Misstated
	return d
}

// pairs counts the events that are missing whose like is there with another revision.
func pairs(missing map[Event]bool, strange []Event) int {
	waiting := map[Event]int{}
	for event := range missing {
		event.Revision = 0
		waiting[event]++
	}
	count := 0
	for _, event := range strange {
		event.Revision = 0
		if waiting[event] > 0 {
			waiting[event]--
			count++
		}
	}
	return count
}
