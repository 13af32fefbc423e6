// Bench compares Koinon with the same objects as custom resources in a stock
// kube-apiserver, in one run on one machine, and prints the tables of docs/benchmarks.md.
//
//	make build && go run ./test/bench
//
// All servers are processes on loopback in a temporary directory; they end with this
// program, however it ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.IntVar(&o.objects, "objects", 10_000, "how many federated Deployments")
	flag.IntVar(&o.template, "template-bytes", 4<<10, "about how large each template is")
	flag.IntVar(&o.repeats, "repeats", 5, "how often each measurement is made; medians are compared")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "how long each GET measurement takes")
	flag.IntVar(&o.watchers, "watchers", 100, "how many clients watch")
	flag.IntVar(&o.updates, "updates", 200, "how many updates they watch")
	flag.StringVar(&o.markdown, "markdown", "", "a file to write the tables to as well")
	flag.StringVar(&o.keepLogs, "keep-logs", "", "a directory to copy the servers' logs to")
	timeout := flag.Duration("timeout", 45*time.Minute, "when to give up")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
