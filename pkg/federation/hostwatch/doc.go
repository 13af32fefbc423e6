// Package hostwatch caches what the host has, and finds what its watches have lost.
//
// An informer lists once, and from then on believes its watch, which may lose an event, or bring
// an old one last, whatever is between us and the store: it never lists again unless it is told
// that events were lost. An Informer can be told so; a Checker finds out when to, as package
// memberclient does for members.
//
// It modifies nothing. Everything may be called concurrently.
package hostwatch
