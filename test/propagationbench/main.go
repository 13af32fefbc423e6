// Propagationbench measures what propagation costs: the whole control plane, standalone on
// SQLite, a process of its own, with members that are simulated in this process, and with two
// real ones. It prints the table of docs/benchmarks-propagation.md.
//
//	make build && go run ./test/propagationbench
//	go run ./test/propagationbench --rows update,flap --scale 0.1
//
// Processor time is that of the server's process alone. All processes end with this program,
// however it ends.
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
	flag.Float64Var(&o.scale, "scale", 1, "by how much to multiply members, objects and cells; 0.02 shows in a few minutes that it works")
	flag.IntVar(&o.rounds, "rounds", 20, "how often each change is made; 99th percentiles of fewer than 100 are the slowest")
	flag.StringVar(&o.json, "json", "", "a file to write the figures to as well")
	flag.StringVar(&o.before, "before", "", "files that --json wrote, separated by commas, for a column beside")
	flag.StringVar(&o.markdown, "markdown", "", "a file to write the table to as well")
	flag.StringVar(&o.keepLogs, "keep-logs", "", "a directory to copy the server's logs to")
	timeout := flag.Duration("timeout", 2*time.Hour, "when to give up")
	flag.Parse()

	runner.Main("propagationbench", *timeout, func(ctx context.Context) error { return run(ctx, o) })
}
