package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's authentication plugins
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as in the stock programs
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// programs are the stock programs that this binary is, by name. Each runs on os.Args and
// returns the exit code.
var programs = map[string]func() int{
	"kube-apiserver":          command(func() *cobra.Command { return apiserver.NewAPIServerCommand() }),
	"kube-controller-manager": command(controllermanager.NewControllerManagerCommand),
	"etcd":                    func() int { etcdmain.Main(os.Args); return 0 },
	"kubectl":                 runKubectl,
}

// selectProgram picks the program by the name the binary was called by, or else by the
// first argument, which is then taken off args so that the program sees its own name.
func selectProgram(args *[]string) (func() int, bool) {
	if program, ok := programs[filepath.Base((*args)[0])]; ok {
		return program, true
	}
	if len(*args) < 2 {
		return nil, false
	}
	program, ok := programs[(*args)[1]]
	if ok {
		*args = (*args)[1:]
	}
	return program, ok
}

// command makes a program of a component's cobra command. It is built only when it is
// run: building one registers global flags.
func command(build func() *cobra.Command) func() int {
	return func() int { return cli.Run(build()) }
}

func runKubectl() int {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
		return 1
	}
	return 0
}
