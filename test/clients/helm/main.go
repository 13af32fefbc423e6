// Command helm is the stock helm of its Go library, for tests of what helm does in a member and in a
// cell. It is a module of its own: what helm brings along shall not decide what Koinon is built of.
// What both have is of the same version, so that little is compiled for it.
package main

import (
	"errors"
	"os"

	helm "helm.sh/helm/v4/pkg/cmd"
)

func main() {
	command, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
	if err == nil {
		err = command.Execute()
	}
	if err == nil {
		return
	}
	var exit helm.CommandError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode)
	}
	os.Exit(1)
}
