// Package render makes the manifest that a target should run, out of a template, the
// overrides and the target. It does no I/O, is safe for concurrent use, and never modifies
// what it is given.
//
// Compile reads the template of an object once for each generation; Base.For says for each
// target what it should run, and costs about as much as the overrides that are for it:
//
//	base, err := render.Compile(ctx, spec)      // *TemplateError
//	manifest, err := base.For(ctx, target)      // *OverrideError
//	if manifest.Hash == record.Hash { ... }     // nothing was copied or encoded so far
//	compose.ForCreate(manifest.Object(), ...)   // a tree of the caller's own
//
// The order is: template; annotations that do not propagate dropped; overrides; pod
// templates bound to the nodes of an edge unit; identity and our marks. What the member
// itself decides (a Service's cluster IP) is put in when the manifest is sent: so the hash of
// a manifest depends on the spec and the target only.
//
// It refuses to send what members own: the status, finalizers and every other metadata
// field of a template are dropped. Which these are, and which overrides can be applied,
// says package manifest, and admission with it.
//
// # What it costs
//
// An object may be older than the limits of admission, or its author may mean harm. Patches
// work on the decoded tree, and copy a map or a list of the template when they first come
// through it. So the patches of a target cost time in proportion to their number and
// length, and to the size of template and values; the one that fails is named at once. An
// element is put into a list of n, or taken out, in about n/chunkSize steps; see list. All of it ends when the
// context does.
//
// A Base remembers for each set of overrides what came of it, an error too. It keeps no
// trees but the template's: Manifest.Object applies the overrides again.
package render
