// Package reach says of one federated object which clusters, cells and edge units it may be in,
// where it is in each of them, what is sent there, and whether what is there already is its own.
// The engine asks it about what its caches have, the command line about what the API answers.
//
//	object := reach.Object{TopologyType: "cell", Namespace: "shop", Name: "web", Tenant: tenant}
//	candidate := object.Cell(cell)
//	namespace, name := kind.Place(object, candidate)
//
// Which of the candidates are meant is package placement's, and what is made of a template package
// render's. It does no I/O; everything is pure, and may be called concurrently.
package reach
