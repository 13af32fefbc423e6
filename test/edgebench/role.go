package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
)

// roleVariable has a process of this program be hubs: it is the name of a file with their options.
const roleVariable = "KOINON_EDGEBENCH_HUBS"

func isRole() bool { return os.Getenv(roleVariable) != "" }

// role is hubs in one process.
type role struct {
	Hubs []*app.Options
	// Profile is where a heap profile goes on SIGUSR1, and beside it that of the processor until then; empty for none.
	Profile string
}

// playRole runs hubs until the process is told to end.
func playRole() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runHubs(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "edgebench:", err)
		return 1
	}
	return 0
}

func runHubs(ctx context.Context) error {
	var r role
	text, err := os.ReadFile(os.Getenv(roleVariable))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return err
	}
	if r.Profile != "" {
		go app.KeepSmall(ctx)                                                                                // as koinon-edgehub does; ends with ctx
		if cpu, err := os.OpenFile(r.Profile+".cpu", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil { // of the first start
			if err := pprof.StartCPUProfile(cpu); err != nil {
				return err
			}
		}
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		go func() { // ends with the process
			for range asked {
				pprof.StopCPUProfile()
				if err := writeProfile(r.Profile); err != nil {
					fmt.Fprintln(os.Stderr, "edgebench:", err)
				}
			}
		}()
	}
	errs := make([]error, len(r.Hubs))
	var running sync.WaitGroup
	for i, o := range r.Hubs {
		running.Go(func() { // ends with ctx
			if errs[i] = errors.Join(o.Validate(), o.Run(ctx)); errs[i] != nil {
				fmt.Fprintln(os.Stderr, "edgebench: hub of", o.Node, errs[i])
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// writeProfile writes what is on the heap after a garbage collection: whole or not at all.
func writeProfile(path string) error {
	runtime.GC()
	file, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	err = errors.Join(pprof.WriteHeapProfile(file), file.Close(), writeClasses(path+".classes"))
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// writeClasses writes what memory is used for, as Go's runtime knows it, and of what goroutines are.
func writeClasses(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, d := range metrics.All() {
		if sample := []metrics.Sample{{Name: d.Name}}; strings.HasPrefix(d.Name, "/memory/classes/") || d.Name == "/sched/goroutines:goroutines" {
			metrics.Read(sample)
			if _, err := fmt.Fprintf(file, "%12d %s\n", sample[0].Value.Uint64(), d.Name); err != nil {
				return err
			}
		}
	}
	return pprof.Lookup("goroutine").WriteTo(file, 1)
}
