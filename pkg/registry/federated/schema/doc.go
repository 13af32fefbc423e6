// Package schema knows the schemas of target kinds, and compares templates with them.
//
// A Target is the schema of one kind. A Source knows many: Builtin those of Kubernetes' own
// kinds, Remote those that the host or a member serves, and FirstOf asks several in turn.
// What another server says of a kind is checked by Read before anything is made of it.
// UnknownFields and WrongTypes say what is wrong with a template; whether that is an error
// or a warning is the caller's to decide. A kind whose schema is not known takes any
// template.
//
// Outside, where apimachinery's package of the same name is needed too, import this one as
// targetschema. Everything may be used concurrently.
package schema
