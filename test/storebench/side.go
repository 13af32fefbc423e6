package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/storebench/load"
	"github.com/koinon-io/koinon/test/storebench/serve"
)

// titles are what tables call the stores.
var titles = map[string]string{
	serve.KoinonSQLite:  "koinon, SQLite",
	serve.KoinonMariaDB: "koinon, MariaDB",
	serve.KineSQLite:    "kine, SQLite",
	serve.KineMariaDB:   "kine, MariaDB",
	serve.Etcd:          "etcd",
}

// side is what runs of one store: empty at first, and only for one part of the benchmark.
type side struct {
	name string
	// dir is for its data.
	dir string
	// database is nil for stores that need none.
	database *database
	servers  []server
	// gone is set when it can not be measured any more.
	gone bool
	// pending adds the figures of a measurement, which count if all processes survive it.
	pending []func()
}

// program is a process of a side, and how to start it.
type program struct {
	process.Program
	spec  process.Spec
	limit time.Duration
	ready func(context.Context) error
}

// start starts it, also again, and returns once it is ready.
func (p program) start(ctx context.Context) error {
	if err := process.Start(p.spec); err != nil {
		return err
	}
	return process.Await(ctx, p.limit, p.ready, p.Program)
}

// server is a process that serves the store, and the connections to it.
type server struct {
	program program
	target  *load.Target
}

func (s *side) title() string { return titles[s.name] }

// target is the first server.
func (s *side) target() *load.Target { return s.servers[0].target }

// serverTimeout is how long a server may take to start.
const serverTimeout = 30 * time.Second

// startSide starts the processes of a store, on empty directories.
func (b *bench) startSide(ctx context.Context, part string, s *side, servers int) (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make a directory for the store: %w", err)
	}
	if serve.NeedsDatabase(s.name) {
		if s.database, err = b.mariadb.start(ctx, s.dir, b.logFile(part, s.name, "mariadbd")); err != nil {
			return err
		}
	}
	for n := range servers {
		started, err := b.startServer(ctx, s, n, b.logFile(part, s.name, fmt.Sprint(n)))
		if err != nil {
			return err
		}
		s.servers = append(s.servers, started)
	}
	return nil
}

func (b *bench) logFile(part, name, process string) string {
	return filepath.Join(b.dir, "logs", part+"-"+name+"-"+process+".log")
}

func (b *bench) startServer(ctx context.Context, s *side, n int, logFile string) (server, error) {
	socket := filepath.Join(s.dir, fmt.Sprintf("s%d", n))
	args := []string{"--serve=" + s.name, "--socket=" + socket, "--data=" + s.dir}
	if s.database != nil {
		args = append(args, "--database="+s.database.source)
	}
	p := program{Program: process.Program{Name: s.name, PIDFile: filepath.Join(s.dir, fmt.Sprintf("server%d.pid", n)), LogFile: logFile}, limit: serverTimeout}
	p.spec = process.Spec{Path: b.binary, Args: args, LogFile: logFile, PIDFile: p.PIDFile, Tied: true}
	// A client that connects too early would wait a while before it tries again.
	p.ready = func(context.Context) error { _, err := os.Stat(socket); return err }
	if err := p.start(ctx); err != nil {
		return server{}, errors.Join(err, process.Stop(ctx, p.PIDFile, 0))
	}
	target, err := load.Connect(socket, b.connections, b.valueBytes)
	if err != nil {
		return server{}, errors.Join(err, process.Stop(ctx, p.PIDFile, 0))
	}
	p.ready = target.Ready
	return server{p, target}, process.Await(ctx, serverTimeout, target.Ready, p.Program)
}

// programs are the database first.
func (s *side) programs() []program {
	var programs []program
	if s.database != nil {
		programs = append(programs, s.database.program)
	}
	for _, server := range s.servers {
		programs = append(programs, server.program)
	}
	return programs
}

// lost are the programs that have ended.
func (s *side) lost() []program {
	return slices.DeleteFunc(s.programs(), func(p program) bool {
		_, running := process.Find(p.PIDFile)
		return running
	})
}

// revive starts programs that have ended on the data that they left, and returns once all
// servers answer.
func (s *side) revive(ctx context.Context, programs []program) error {
	for _, p := range programs {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	for _, server := range s.servers {
		if err := process.Await(ctx, serverTimeout, server.target.Ready, server.program.Program); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is what all its processes have used so far, in seconds.
func (s *side) processorTime() float64 {
	total := 0.0
	for _, program := range s.programs() {
		if pid, running := process.Find(program.PIDFile); running {
			total += process.ProcessorTime(pid)
		}
	}
	return total
}

// stop kills all that runs and removes the data.
func (s *side) stop(ctx context.Context) error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.target.Close(), process.Stop(ctx, server.program.PIDFile, 0))
	}
	if s.database != nil {
		errs = append(errs, s.database.stop(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
