// Package native says what of a native object is federated: the template that is made of it, what is left out, and
// which objects are not federated unless somebody names them. The controller that follows native objects and "kubectl koinon
// federate" call it.
//
//	if why := native.WhyNot(kind, object, template); why == "" {
//		template := native.Template(config, object, false)
//	}
//
// Everything is pure, modifies nothing that it is given, and may be called concurrently.
package native
