// Package follow keeps federated objects that follow native objects of the host: those that have the label
// federation.koinon.io/federate. See ADR 44.
//
// types.go finds out which types the host serves, and watches their labelled objects as metadata. controller.go
// looks at one object at a time, decide.go says, without I/O, what is to be done with it, and act.go does it. unfederated.go tells
// of labelled objects that nobody watches.
//
// It writes templates, its own mark, and nothing else of a federated object; it never writes native objects, and it
// never takes over a federated object that it did not make. What is not known ends nothing: a type that the host
// does not serve any more, or does not let us list, leaves what follows its objects as it is.
//
//	c, err := follow.New(follow.Config{…})
//	…
//	err = c.Run(ctx) // returns when ctx has ended and all goroutines have
//
// Its methods may be called concurrently, before Run too.
package follow
