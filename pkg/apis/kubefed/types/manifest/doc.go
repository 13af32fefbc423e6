// Package manifest says what of a federated object reaches its targets: which overrides
// can be applied, and which parts of a template are left out.
//
// It is the one place for these rules. Admission and the webhook refuse and warn by them,
// and the engine renders by them, so that neither ever contradicts the other. Everything
// is pure, modifies nothing that it is given, and may be called concurrently.
package manifest
