// Package host is a Kubernetes API server without workloads, in this process: the upstream
// generic control plane with namespaces, secrets, config maps, events, service accounts,
// leases, RBAC, admission, custom resources and aggregation, plus the controllers without
// which objects would never go away (namespace deletion, garbage collection), the one that
// fills aggregated cluster roles and the one that checks the types of admission policies.
//
// Another API server joins the chain as an Extension and is served through the same
// listener, authentication and authorization:
//
//	aggregator → extension → native resources → custom resources
//
// What the extension serves it serves alone: CRDs in its groups are refused, see
// reservedGroups.
//
// The usual way through it:
//
//	h, err := host.New(ctx, host.Config{Listener: l, Storage: store.Transport(), ...})
//	...
//	err = h.Run(ctx) // until ctx is done and requests are drained
//
// What it leaves out: nodes, pods, services and every other workload resource, the kinds
// of admission that need them, certificate signing requests, quota (nobody would count),
// and API servers behind the aggregator that are found through a Service.
//
// This is the only package that links k8s.io/kubernetes.
package host
