// Command kubernetes-1.34 is kube-apiserver and kube-controller-manager of an older minor version,
// for tests with members and hosts that are not of the version that Koinon is built of. It
// is a module of its own: no two versions of Kubernetes fit into one.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as in the stock programs
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// programs are built only when they are run: building one registers global flags.
var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          func() *cobra.Command { return apiserver.NewAPIServerCommand() },
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
}

func main() {
	if len(os.Args) > 1 {
		if build, ok := programs[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			os.Exit(cli.Run(build()))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: kubernetes-1.34 kube-apiserver|kube-controller-manager [flags]")
	os.Exit(2)
}
