package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// gone is set when one of its processes ended by itself.
	gone bool
}

// server is a process that serves the store, and the connections to it.
type server struct {
	program process.Program
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
	program := process.Program{Name: s.name, PIDFile: filepath.Join(s.dir, fmt.Sprintf("server%d.pid", n)), LogFile: logFile}
	err := process.Start(process.Spec{Path: b.binary, Args: args, LogFile: logFile, PIDFile: program.PIDFile, Tied: true})
	if err != nil {
		return server{}, err
	}
	// A client that connects too early would wait a while before it tries again.
	listens := func(context.Context) error { _, err := os.Stat(socket); return err }
	if err := process.Await(ctx, serverTimeout, listens, program); err != nil {
		return server{}, errors.Join(err, process.Stop(ctx, program.PIDFile, 0))
	}
	target, err := load.Connect(socket, b.connections, b.valueBytes)
	if err != nil {
		return server{}, errors.Join(err, process.Stop(ctx, program.PIDFile, 0))
	}
	return server{program, target}, process.Await(ctx, serverTimeout, target.Ready, program)
}

func (s *side) programs() []process.Program {
	var programs []process.Program
	for _, server := range s.servers {
		programs = append(programs, server.program)
	}
	if s.database != nil {
		programs = append(programs, s.database.program)
	}
	return programs
}

// processorTime is what all its processes have used so far, in seconds.
func (s *side) processorTime() float64 {
	var pids []int
	for _, program := range s.programs() {
		pid, _ := process.Find(program.PIDFile)
		pids = append(pids, pid)
	}
	return processorTime(pids)
}

// lost names a program of the side that has ended; nil if all run.
func (s *side) lost() *process.Program {
	for _, program := range s.programs() {
		if _, running := process.Find(program.PIDFile); !running {
			return &program
		}
	}
	return nil
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
