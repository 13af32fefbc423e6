// Proxybench measures what a member costs through the proxies beside the member itself: the whole
// control plane, standalone on SQLite, and a stock kube-apiserver with etcd are processes of their
// own; the fleet's members are simulated in this process. It prints the tables of
// docs/benchmarks-proxy.md.
//
//	make build && go run ./test/proxybench
//	go run ./test/proxybench --rows get,list --scale 0.1
//
// What is compared takes turns in one run, so that whatever else the machine does hits all of it. A
// row that gets a wrong answer fails: nothing is measured of it. All processes end with this
// program, however it ends.
package main

import (
	"context"
	"flag"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/runner"
)

func main() {
	o := options{}
	flag.StringVar(&o.rows, "rows", "", "what to measure, separated by commas; some of "+strings.Join(runner.Names(rows), ", ")+". The default is all of them.")
	flag.Float64Var(&o.scale, "scale", 1, "by how much to multiply objects, watches, members and times; 0.02 shows in a few minutes that it works")
	flag.IntVar(&o.rounds, "rounds", 20, "how many turns each has; 99th percentiles of fewer than 100 are the slowest")
	flag.StringVar(&o.markdown, "markdown", "", "a file to write the tables to as well")
	flag.StringVar(&o.keepLogs, "keep-logs", "", "a directory to copy the servers' logs to")
	timeout := flag.Duration("timeout", 2*time.Hour, "when to give up")
	flag.Parse()

	runner.Main("proxybench", *timeout, func(ctx context.Context) error { return run(ctx, o) })
}
