// Package federation runs the controllers of the control plane: membership (package
// membership), cells (package cells), propagation (package propagation), and federated objects that
// follow native ones of the host (package follow).
//
// It uses nothing but the API: one rest.Config to an endpoint that serves the host's
// groups and ours. It writes to members with the credentials that KubeFedClusters name,
// and to nothing else.
//
//	manager, err := federation.New(federation.Config{RESTConfig: config, LeaderElection: true, Identity: "koinon-0"})
//	…
//	err = manager.Run(ctx) // returns when ctx has ended and all goroutines have
//
// With leader election, one process at a time works, and the others wait.
package federation
