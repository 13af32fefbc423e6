package storesuite

import "regexp"

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
