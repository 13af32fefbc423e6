// Command koinon-edgehub is what kubelet, kube-proxy and pods of an edge node use as their API server, with and without the cloud. See "koinon-edgehub --help".
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
)

func main() {
	ctx := app.UntilTold(context.Background())
	go app.KeepSmall(ctx) // ends with ctx
	if err := app.NewCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "koinon-edgehub: %v\n", err)
		os.Exit(1)
	}
}
