package history

import "fmt"

// checkReads compares what was read with the state at the revision that the answer names.
func checkReads(operations []Operation, l *log, report *Report) {
	for _, o := range operations {
		if o.Found == nil || o.Outcome == Unknown {
			continue
		}
		if o.Kind == Create {
			continue // Kine's server reads what is there in a second step, and names the revision of that one
		}
		revision := o.Revision
		if o.Kind == List && o.Compare > 0 {
			revision = o.Compare
		}
		if !l.covers(revision) {
			continue
		}
		var differences []string
		if o.Kind == List {
			differences = l.differences(o.Key, o.Found, revision)
		} else if found, want := o.Found[o.Key], l.at(o.Key, revision); found != want {
			differences = []string{describe(o.Key, found, want)}
		}
		for _, difference := range differences {
			report.violate("a read differs from the log at %d: %v: %s", revision, o, difference)
		}
	}
}

func describe(key string, got, want Version) string {
	return fmt.Sprintf("%q was %+v, want %+v", key, got, want)
}
