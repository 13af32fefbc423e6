// Command koinon is the control plane of a federation: API server, embedded store and
// controllers in one process. See "koinon server --help".
package main

import (
	"fmt"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"

	"github.com/koinon-io/koinon/cmd/koinon/app"
)

func main() {
	// The first SIGTERM or SIGINT drains, the second ends the process at once.
	ctx := genericapiserver.SetupSignalContext()
	if err := app.NewCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "koinon: %v\n", err)
		os.Exit(1)
	}
}
