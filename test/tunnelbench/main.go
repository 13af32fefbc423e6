// Tunnelbench measures the tunnel beside direct connections and beside upstream's konnectivity. Servers, agents and the target are
// processes of their own; clients are in this one, but for those of the in-process dialer, which are in the server's. It prints the tables of
// docs/benchmarks-tunnel.md.
//
//	make bench-tunnel
//	go run ./test/tunnelbench --rows bulk,dial --rounds 5
//	go run ./test/tunnelbench --small
//
// What is compared takes turns in one run, so that whatever else the machine does hits all of it. Our agent is koinon-agent, built here;
// konnectivity is built here too, of the module below this folder. All processes end with this program, however it ends.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/test/bench/runner"
)

func main() {
	if isRole() {
		os.Exit(playRole())
	}
	o := options{}
	flag.StringVar(&o.rows, "rows", "", "what to measure, separated by commas; some of "+strings.Join(runner.Names(rows), ", ")+". The default is all of them.")
	flag.BoolVar(&o.small, "small", false, "small numbers and short times: shows in seconds that it works, and no more")
	flag.IntVar(&o.rounds, "rounds", 3, "how many turns each has")
	flag.BoolVar(&o.konnectivity, "konnectivity", true, "build konnectivity and measure it too")
	flag.StringVar(&o.markdown, "markdown", "", "a file to write the tables to as well")
	flag.StringVar(&o.keepLogs, "keep-logs", "", "a directory to copy the logs of the processes to")
	flag.StringVar(&o.profiles, "profiles", "", "a directory for CPU profiles of our server, one for each row")
	timeout := flag.Duration("timeout", 30*time.Minute, "when to give up")
	flag.Parse()

	klog.LogToStderr(false) // konnectivity's client says that its connections are closed
	klog.SetOutput(io.Discard)
	runner.Main("tunnelbench", *timeout, func(ctx context.Context) error { return run(ctx, o) })
}
