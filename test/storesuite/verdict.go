package storesuite

import (
	"fmt"
	"slices"
	"time"
)

// Verdict is what results mean once the exceptions are taken into account.
type Verdict struct {
	// Store is the name of the store that the cases ran against.
	Store string
	// Cases is how many there were: those that passed, were skipped, failed with leave and
	// failed without.
	Cases, Passed, Skipped, Excepted int
	// Failed are the cases that failed without leave.
	Failed []string
	// Stale are the exceptions that are no longer true, each with what speaks against it.
	Stale []string
}

// Judge compares results of a store with the exceptions.
func Judge(store string, results Results, exceptions []Exception) Verdict {
	v := Verdict{Store: store}
	exceptions = slices.DeleteFunc(slices.Clone(exceptions), func(e Exception) bool { return e.Store != "" && !matches(e.Store, store) })
	used := make([]bool, len(exceptions))
	for _, name := range results.Cases() {
		v.Cases++
		found := slices.IndexFunc(exceptions, func(e Exception) bool { return e.covers(store, name) })
		if found >= 0 {
			used[found] = true
		}
		switch {
		case !results.failed(name):
			v.count(results[name].Status)
			if found >= 0 && !exceptions[found].Flaky {
				v.Stale = append(v.Stale, fmt.Sprintf("%q: %s did not fail", exceptions[found].Test, name))
			}
		case found >= 0:
			v.Excepted++
		default:
			v.Failed = append(v.Failed, name)
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			v.Stale = append(v.Stale, fmt.Sprintf("%q: there is no such case", e.Test))
		}
	}
	return v
}

func (v *Verdict) count(status Status) {
	if status == Skipped {
		v.Skipped++
	} else {
		v.Passed++
	}
}

// Summary is one line.
func (v Verdict) Summary(took time.Duration) string {
	return fmt.Sprintf("%s: %d cases in %s: %d passed, %d failed, %d skipped, %d exceptions",
		v.Store, v.Cases, took.Round(time.Second), v.Passed, len(v.Failed), v.Skipped, v.Excepted)
}
