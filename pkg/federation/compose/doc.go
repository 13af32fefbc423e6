// Package compose says what is sent to a member: the body of a POST where an object is not there,
// and of a PUT where it is. See ADR 19 for the rule and its traps.
//
//	body := compose.ForCreate(manifest.Object(), kind)
//	body = compose.ForUpdate(manifest.Object(), live, kind, rules) // live as it was read
//
// It does no I/O, modifies nothing that it is given, and may be called concurrently. It does not
// judge: what a member cannot change in place (the template of a Job, the selector of a
// Deployment, the type of a Secret) is sent as the manifest has it, and the member's refusal
// is what the user gets to see.
//
// Trees are those of a JSON decoder: maps, lists, strings, booleans, and numbers as
// json.Number, int64 or float64.
package compose
