// Package fleet answers get, list and watch of any type over all members of a caller's scope, as
// if they were one cluster: objects are merged in the order of API servers, each carries an
// annotation that names its cluster, and tables have a column for it.
//
//	handler, err := fleet.New(fleet.Config{Members: scope})
//	handler.ServeHTTP(w, r) // r.URL.Path is what a member is asked: /api/v1/pods
//
// It refuses all else: writes, subresources, other paths. It keeps no copy of what members hold.
// Lists are merged page by page, so that memory is bounded by pages; watches keep one version
// for each member. Objects are never decoded: their bytes are checked, and copied with the
// annotation put in.
//
// A member is somebody else's server. What it sends is bounded, and checked for being JSON, of
// the type that most members serve, in the namespace that was asked for, and in order. A member
// that fails in any way is left out and named in a warning, and the others' objects are right; if
// nobody answers, the answer is an error, never an empty list. What is not known to be absent is
// never said to be absent.
//
// Two numbers are made here. The version of a list (versions.go) is one integer that holds the
// version of every member in it; a watch goes on from there at each of them, and shows all
// objects of those that are not in it. The token to continue a list (token.go) holds the tokens of
// members that have more. Both are opaque to clients, checked, and valid on every replica.
//
// A Handler may be used concurrently. All it begins for a request ends with the request.
// docs/fleet.md says what a user sees, and why.
package fleet
