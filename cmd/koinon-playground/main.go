// Command koinon-playground runs real Kubernetes clusters on this machine, without
// containers and without root, and a Koinon quickstart on top of them.
//
//	koinon-playground up --dir .playground     Koinon, two members, three cells, examples
//	koinon-playground status --dir .playground what runs
//	koinon-playground down --dir .playground   remove all of it
//	koinon-playground cluster up --dir d       one plain cluster
//
// It is also the programs that a cluster consists of, so that nothing needs to be
// installed: called through a link named kube-apiserver, kube-controller-manager, etcd or
// kubectl, or with that name as first argument, it is that program, unmodified. One
// program under several names links once, and its processes share their code pages.
//
// It is for trying things and for tests. It is no way to run a cluster that matters:
// everything listens on loopback, stores are not synced to disk, and pods only pretend
// to run.
package main

import (
	"os"

	"github.com/koinon-io/koinon/cmd/koinon-playground/app"
	"github.com/koinon-io/koinon/cmd/koinon-playground/multicall"
)

func main() {
	if program, ok := multicall.Select(programs, &os.Args); ok {
		os.Exit(program())
	}
	os.Exit(app.Main())
}
