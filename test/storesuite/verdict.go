package storesuite

import (
	"fmt"
	"slices"
	"time"
)

// Verdict is what results mean once the exceptions are taken into account.
type Verdict struct {
	// Store is what the cases ran against.
	Store string
	// Cases is how many there were: those that passed, those that were skipped, and those
	// that failed with and without leave.
	Cases, Passed, Skipped, Excepted int
	// Failed are the cases that failed without leave.
	Failed []string
	// Stale are the exceptions that are no longer true, each with what speaks against it.
	Stale []string
}

// Judge compares the results that a store has got with the exceptions.
func Judge(store string, results Results, exceptions []Exception) Verdict {
	v := Verdict{Store: store}
	used := map[int]bool{}
	for _, name := range results.Cases() {
		v.Cases++
		i := slices.IndexFunc(exceptions, func(e Exception) bool { return e.of(store) && e.covers(name) })
		used[i] = true
		switch result := results[name]; {
		case result.failed() && i < 0:
			v.Failed = append(v.Failed, name)
		case result.failed():
			v.Excepted++
		default:
			v.count(result.Status)
			if i >= 0 {
				v.Stale = append(v.Stale, fmt.Sprintf("%q: %s did not fail", exceptions[i].Case, name))
			}
		}
	}
	for i, e := range exceptions {
		if e.of(store) && !used[i] {
			v.Stale = append(v.Stale, fmt.Sprintf("%q: there is no such case", e.Case))
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
