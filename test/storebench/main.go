// Storebench compares Koinon's stores with upstream Kine's drivers and with etcd: all on one
// machine, in one run, under the same load through etcd's client.
//
//	go run ./test/storebench
//
// Every store is a process of its own, and so is every MariaDB, in a temporary directory;
// they end with this program, however it ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/koinon-io/koinon/test/storebench/serve"
)

const intro = `Storebench compares Koinon's stores with upstream Kine's drivers and with etcd,
and prints tables of what it measured and of the aims that were met.

    go run ./test/storebench --quick                      # see that it works, about a minute
    go run ./test/storebench --markdown tables.md         # the real thing, under 20 minutes
    go run ./test/storebench --parts reads --stores koinon-sqlite,etcd

It needs mariadbd (package mariadb-server) to compare stores on MariaDB; without it, these
are left out. Nothing else should run on the machine meanwhile.

Flags:
`

func main() {
	o := options{}
	inside := serve.Options{}
	flag.Func("stores", "comma-separated list of what to compare: "+strings.Join(serve.Names, ", ")+" (default all)", list(&o.stores))
	flag.Func("parts", "comma-separated list of what to measure: "+strings.Join(partNames(), ", ")+" (default all)", list(&o.parts))
	flag.IntVar(&o.repeats, "repeats", 3, "how often each measurement is made; tables show the median and the range")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "how long one measurement takes")
	flag.DurationVar(&o.sparse, "sparse", 11*time.Second, "how long the measurement takes in which another process writes now and then")
	flag.DurationVar(&o.idle, "idle", 20*time.Second, "how long statements of an idle database are counted")
	flag.IntVar(&o.keys, "keys", 10_000, "how many keys a filled store has; a multiple of 200")
	flag.IntVar(&o.valueBytes, "value-bytes", 4<<10, "how large each value is")
	flag.IntVar(&o.connections, "connections", 8, "how many connections the clients share")
	flag.IntVar(&o.watchers, "watchers", 20, "how many watchers there are while writers are at full speed")
	flag.IntVar(&o.versions, "versions", 100_000, "how many versions a key has that is watched from its first one on")
	flag.DurationVar(&o.replay, "replay", 30*time.Second, "how long such a watch is waited for")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where data is written; it should be on the disk that is meant, not in memory")
	flag.StringVar(&o.markdown, "markdown", "", "a file to write the tables to as well")
	flag.StringVar(&o.keepLogs, "keep-logs", "", "a directory to copy the servers' logs to")
	quick := flag.Bool("quick", false, "measure once, shortly and with 1,000 keys: to see that it works, not for figures")
	timeout := flag.Duration("timeout", 45*time.Minute, "when to give up")
	flag.StringVar(&inside.Name, "serve", "", "used by the program itself: serve this store until ended")
	flag.StringVar(&inside.Socket, "socket", "", "with --serve: the Unix socket to listen on")
	flag.StringVar(&inside.Dir, "data", "", "with --serve: the directory for data")
	flag.StringVar(&inside.Database, "database", "", "with --serve: USER:PASSWORD@tcp(HOST:PORT)/NAME of the database")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), intro)
		flag.PrintDefaults()
	}
	flag.Parse()
	if *quick {
		o = o.quick()
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, o, inside, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, "storebench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, o options, inside serve.Options, timeout time.Duration) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("there are flags only, and %q is none", flag.Arg(0))
	}
	if inside.Name != "" {
		return serve.Run(ctx, inside)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return run(ctx, o)
}

// list is the value of a flag with commas.
func list(into *[]string) func(string) error {
	return func(value string) error {
		*into = strings.Split(value, ",")
		return nil
	}
}
