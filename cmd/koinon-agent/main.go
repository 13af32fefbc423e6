// Command koinon-agent makes a cluster or a node reachable through Koinon's tunnel, by an outgoing connection. See
// "koinon-agent --help".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/koinon-io/koinon/cmd/koinon-agent/app"
)

func main() {
	// The first SIGTERM or SIGINT drains, the second ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := app.NewCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "koinon-agent: %v\n", err)
		os.Exit(1)
	}
}
