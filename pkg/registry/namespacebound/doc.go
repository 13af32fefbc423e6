// Package namespacebound binds stored objects to the namespace that they were made in, by its
// UID: a namespace that is deleted and made again has another one.
//
// Whoever deletes a namespace deletes what is in it as far as it is served. Objects of kinds
// that are not served at that time stay in the store, and so do all objects if a store is
// used with a host that has moved on meanwhile, as after a restore. None of those may become
// readable by whoever makes a namespace of the same name later.
//
// A Binder wraps the storage of an API server:
//
//	config.RESTOptionsGetter = binder.RESTOptions(config.RESTOptionsGetter)
//
// From then on every object in a namespace carries the annotation NamespaceUIDAnnotation, and
// to a request in a namespace an object of an earlier one is not there. It is there for who
// may list its kind in all namespaces, as controllers and administrators may, and for this
// process itself. They may delete it, or hand it over by removing the annotation.
//
// Objects without the annotation, which an earlier release has stored, belong to the
// namespace that has their name, and are bound to it when they are next written. Nothing is
// ever deleted here. See ADR 10.
//
// Everything may be called concurrently.
package namespacebound
