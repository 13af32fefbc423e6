// Package targets serves the subresource targets of every federated kind: what each target of a
// federated object has of it, as its member says at the moment. Nothing of it is stored.
//
//	reader, err := targets.NewReader(targets.Config{Members: ways, Lookups: targets, Federation: name})
//	storage := reader.REST(kind, objects)
//
// Members are asked with the account of the federation, so this package is strict in what it asks
// for: the one object that the record in the federated object's status names, where tenants and the
// book of namespaces let the federated object be, and it shows only an object with the marks of this
// federated object. Who may get the subresource may see it.
//
// A member is somebody else's server: its answers are bounded in size and time, and checked, and no
// member has more than its share of what all may take. What it says in a watch only has the object
// read again. What a member does not answer is unknown, and never shown as absent. Nothing is
// written to members.
//
// A Reader may be used concurrently. All it begins for a request ends with the request.
package targets
