// Edgebench measures what the edge hub costs, and what it costs to read through it, beside the API server itself: koinon-edgehub and a stock kube-apiserver with etcd are processes of
// their own, the node's programs are client-go's reflectors in this one, with the lists and selectors of kubelet, kube-proxy, CoreDNS and flannel. It prints the tables of
// docs/benchmarks-edge.md.
//
//	make bench-edge
//	go run ./test/edgebench --rows reads --rounds 5
//	go run ./test/edgebench --small
//
// What is compared takes turns in one run, so that whatever else the machine does hits all of it. All processes end with this program, however it ends.
package main

import (
	"context"
	"flag"
	"os"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/runner"
)

func main() {
	if isRole() {
		os.Exit(playRole())
	}
	o := options{}
	flag.StringVar(&o.rows, "rows", "", "what to measure, separated by commas; some of "+strings.Join(runner.Names(rows), ", ")+". The default is all of them.")
	flag.BoolVar(&o.small, "small", false, "small numbers and short times: shows in a minute that it works, and no more")
	flag.IntVar(&o.rounds, "rounds", 3, "how many turns each has")
	flag.IntVar(&o.services, "services", 10000, "the most Services that the footprint is measured with")
	flag.DurationVar(&o.lookFor, "look-for", time.Minute, "how long each hub of the footprint is looked at while little happens")
	flag.StringVar(&o.markdown, "markdown", "", "a file to write the tables to as well")
	flag.StringVar(&o.keepLogs, "keep-logs", "", "a directory to copy the logs of the processes to")
	flag.StringVar(&o.profiles, "profiles", "", "a directory for heap profiles of the hub, which is a part of this program then: its resident set is larger")
	timeout := flag.Duration("timeout", time.Hour, "when to give up")
	flag.Parse()

	quiet()
	runner.Main("edgebench", *timeout, func(ctx context.Context) error { return run(ctx, o) })
}
