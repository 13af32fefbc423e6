// Package apiserver is the federation layer's API server: one generic API server that
// serves the static kinds (clusters, cells, type configurations, ...) and the federated
// kinds, whatever their number.
//
// It is a library: configuration in, Complete, New, and then it is run by itself,
// behind the aggregator of a real host, or as a link in the chain of the embedded host.
// It authenticates and authorizes nobody on its own: the generic configuration that it
// is given does.
package apiserver
