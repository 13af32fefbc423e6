// Package embedded runs a store with etcd's API in this process: Kine's gRPC front over a
// database. It has no address: every client connection is one end of a socket pair whose
// other end is handed to the gRPC server, so there is no port, no socket file and nothing
// that another user of the machine could connect to.
//
// It knows nothing of Kubernetes' API server, so that Kubernetes' own storage suites can
// import it. A Store may be used by any number of goroutines; Close is called once.
package embedded
