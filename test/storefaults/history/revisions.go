package history

import "slices"

// checkRevisions finds revisions that were given to two writes, and those that went back in
// real time: whatever was called after an answer with revision r has a revision of at least
// r, and a write one above it.
func checkRevisions(operations []Operation, report *Report) {
	given := map[int64]Operation{}
	for _, o := range operations {
		if !o.IsWrite() || o.Outcome != Done {
			continue
		}
		if other, taken := given[o.Revision]; taken {
			report.violate("revision %d was given to two writes: %v and %v", o.Revision, other, o)
		}
		given[o.Revision] = o
	}
	answered := slices.DeleteFunc(slices.Clone(operations), func(o Operation) bool {
		return o.Outcome == Unknown || o.Kind == List && o.Compare > 0 // the past is read without asking what is new
	})
	returned := slices.Clone(answered)
	slices.SortStableFunc(returned, func(a, b Operation) int { return int(a.Return - b.Return) })
	var highest Operation
	for _, o := range answered {
		for len(returned) > 0 && returned[0].Return < o.Call {
			if returned[0].Revision > highest.Revision {
				highest = returned[0]
			}
			returned = returned[1:]
		}
		switch {
		case o.IsWrite() && o.Outcome == Done && o.Revision <= highest.Revision:
			report.violate("a write has a revision that is not above one seen before it: %v after %v", o, highest)
		case o.Revision < highest.Revision:
			report.violate("the revision of the store went back: %v after %v", o, highest)
		}
	}
}
