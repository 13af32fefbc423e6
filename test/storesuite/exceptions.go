package storesuite

import "regexp"

// Exception is a case that may fail.
type Exception struct {
	// Test matches all of the case's name, as in "cacher.TestGet/zero_RV".
	Test string
	// Store matches all of the name of the store; empty is every store.
	Store string
	// Flaky says that the case passes at times, with etcd too.
	Flaky bool
	// Reason says why, and what would have to happen for the case to pass.
	Reason string
}

// Exceptions are all that is known to fail.
var Exceptions = []Exception{}

func (e Exception) covers(store, test string) bool {
	return matches(e.Test, test) && (e.Store == "" || matches(e.Store, store))
}

func matches(pattern, name string) bool {
	return regexp.MustCompile("^(?:" + pattern + ")$").MatchString(name)
}
