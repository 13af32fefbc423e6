// Command koinon-ipam is a CNI IPAM plugin that keeps a pod's addresses over restarts of its sandbox and of the node, and the commands to look at what it keeps. See
// "koinon-ipam --help".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/koinon-io/koinon/cmd/koinon-ipam/app"
	"github.com/koinon-io/koinon/pkg/edgehub/ipam"
	"github.com/koinon-io/koinon/pkg/version"
)

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		ipam.Main("koinon-ipam " + version.String())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := app.NewCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "koinon-ipam: %v\n", err)
		os.Exit(1)
	}
}
