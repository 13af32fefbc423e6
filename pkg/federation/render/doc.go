// Package render makes the manifest that a target should run, out of a template, the
// overrides and the target. It is pure: no I/O, no state, safe for concurrent use, and
// it never modifies what it is given.
//
// The order is: template; annotations that do not propagate dropped; overrides; pod
// templates bound to the nodes of an edge unit; identity and the managed label. What
// the member itself decides (a Service's cluster IP) is put in last, by Manifest.Retain,
// when the manifest is sent: so the hash of a manifest depends on the spec only.
//
// It refuses to send what members own: the status, finalizers and every other metadata
// field of a template are dropped. Which these are, and which overrides can be applied,
// says package manifest, and admission with it.
package render
