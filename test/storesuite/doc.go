// Package storesuite runs Kubernetes' own storage tests, those of the packages
// k8s.io/apiserver/pkg/storage/etcd3 and …/cacher, against the embedded store:
//
//	go test -timeout 30m ./test/storesuite -run TestKubernetesSuites/SQLite -v
//
// With KOINON_LONG=1 it runs against more stores ("make test-store"); KOINON_SUITE_DATASTORE
// names one that is there already, KOINON_SUITE_RUN chooses tests as -run does. Each store
// takes about two minutes, almost all of it waiting, as with etcd.
//
// The tests are the original ones, of the version in go.mod. They start an etcd through a
// package named testserver, and the only thing that is exchanged is this package: a
// Workspace is a copy of k8s.io/apiserver with ./testserver in its place, and a go.mod that
// points to the copy. Both test binaries are compiled once and run against any number of
// stores.
//
// Every test must pass that passes with etcd. What does not is listed in exceptions.go with
// the reason; an exception whose test passes is an error too, so the list can only be true.
//
// A Workspace may be used by several goroutines, and several processes may prepare theirs
// at the same time.
package storesuite
