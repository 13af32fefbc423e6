// Package simulation runs many members in one process: API servers that are honest about what
// a client of members can see, and cheap enough that there are a thousand of them.
//
//	fleet, err := simulation.Start(simulation.Options{Members: 100, Seed: 1})
//	defer fleet.Close()
//	m := fleet.Members()[0]
//	host.Create(m.Secret()); host.Create(m.Cluster(nil))
//	m.SetFaults(simulation.Fault{Verbs: []string{"create"}, Code: 500, Rate: 0.1})
//	m.Down(); m.Up()
//	object := m.Object(simulation.ConfigMaps, "shop", "settings")
//
// A Member is an http.Handler; Start gives each a TLS listener on loopback, with a certificate
// and a token of its own, since clients share connections between servers of one authority.
//
// What is as in a kube-apiserver: discovery; GET; LIST with pages, selectors, metadata only and
// resourceVersion; WATCH from a version, with bookmarks, initial events, and 410 for what is
// too old; POST, PUT, PATCH and DELETE with their status codes and Status bodies, optimistic
// concurrency, preconditions, finalizers, generations, dry runs, stringData of Secrets, writes
// that change nothing, and namespaces that must exist and end with all they hold. Versions of
// a member grow by one with each change of any type.
//
// What is not: authorisation, validation, defaults (Options.Admit is where a test puts them),
// garbage collection of owned objects, and controllers. managedFields are kept, and manifests
// applied as API servers do, with Options.ManagedFields; without, an apply is a merge patch that
// creates what is not there. Strategic merge patches are taken for merge patches. Answers are
// JSON, uncompressed; metadata in watches is protobuf for who asks for it.
//
// Faults are drawn from the seed and from what is asked: which requests fail does not depend on
// the order in which goroutines come. Everything may be used concurrently.
package simulation
