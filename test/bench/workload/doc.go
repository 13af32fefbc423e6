// Package workload is what the benchmarks do to a server: create, list, get and watch
// federated Deployments over plain HTTP, so that the client's decoding is not part of the
// figures.
//
// A Target may be used concurrently.
package workload
