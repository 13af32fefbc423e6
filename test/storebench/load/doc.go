// Package load puts a store with etcd's API under load and measures it.
//
// Requests have the shapes that a Kubernetes API server sends, and go through etcd's own
// client. Clients work in closed loops: each sends its next request when it has the answer
// to the last. A measurement is used by one goroutine at a time; it begins the goroutines
// that it needs and returns once they have ended.
package load
