// Command kubectl is the stock kubectl of another minor version than that which Koinon is built
// of, for tests of what people have on their machines. MINOR.mod says of what it is built:
//
//	go build -modfile=1.28.mod .
//
// It is a module of its own, with a file of requirements for each version, as no two versions
// of Kubernetes' libraries fit into one.
package main

import (
	"os"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // exits
		os.Exit(1)
	}
}
