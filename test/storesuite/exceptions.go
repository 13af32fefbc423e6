package storesuite

import (
	"regexp"
	"slices"
	"strings"
)

// Exception is leave to fail.
type Exception struct {
	// Case matches the whole name of the case, as in "cacher.TestGet/zero_RV". All that it
	// matches must fail.
	Case string
	// Store matches the whole name of the store; empty means every store.
	Store string
	// Reason says why it fails, and what would have to happen for it to pass.
	Reason string
}

// Exceptions are all there are: none. What etcd passes, every store passes.
var Exceptions []Exception

func (e Exception) of(store string) bool { return e.Store == "" || matches(e.Store, store) }

func (e Exception) covers(name string) bool { return matches(e.Case, name) }

func matches(pattern, name string) bool {
	return regexp.MustCompile("^(?:" + pattern + ")$").MatchString(name)
}

// Hasty are tests that measure the time, and so fail on a busy machine, and how. One that fails
// is tried again after the others, and must pass then.
var Hasty = map[string]string{
	"etcd3.TestCompact": "it gives each compaction 100 milliseconds",
}

// HastyOnes returns a pattern of the hasty tests of a suite that failed, and is empty if none
// has.
func (r Results) HastyOnes(suite Suite) string {
	var failed []string
	for name := range Hasty {
		if test, found := strings.CutPrefix(name, string(suite)+"."); found && r[name].failed() {
			failed = append(failed, test)
		}
	}
	if failed == nil {
		return ""
	}
	return "^(" + strings.Join(failed, "|") + ")$"
}

// Replace takes what tests have come to that were tried again. That of the suite counts only
// if it did not fail by itself.
func (r Results) Replace(suite Suite, again Results) {
	byItself := slices.Contains(r.Cases(), string(suite))
	for name, result := range again {
		if name != string(suite) || !byItself {
			r[name] = result
		}
	}
}
