// Package serve is the inside of the processes that the benchmark of the store compares:
// each serves one store with etcd's API on a Unix socket.
//
// Koinon's own stores, the drivers of upstream Kine with the defaults of its command, and
// etcd. All are fully synchronous: a write is on disk before it is answered. Nothing
// compacts by itself.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
)

// The stores that can be served.
const (
	KoinonSQLite  = "koinon-sqlite"
	KoinonMariaDB = "koinon-mariadb"
	KineSQLite    = "kine-sqlite"
	KineMariaDB   = "kine-mariadb"
	Etcd          = "etcd"
)

// Names are all of them, in the order of tables.
var Names = []string{KoinonSQLite, KineSQLite, KoinonMariaDB, KineMariaDB, Etcd}

// NeedsDatabase tells whether a store keeps its data in a database server.
func NeedsDatabase(name string) bool {
	return slices.Contains([]string{KoinonMariaDB, KineMariaDB}, name)
}

// Options say what to serve, and where.
type Options struct {
	// Name is one of Names.
	Name string
	// Socket is the path of the Unix socket to listen on.
	Socket string
	// Dir is the directory for the data of stores that need no database server.
	Dir string
	// Database is USER:PASSWORD@tcp(HOST:PORT)/NAME for those that do.
	Database string
}

// Run serves until the context is done or the server fails.
func Run(ctx context.Context, o Options) error {
	serve, known := map[string]func(context.Context, Options) error{
		KoinonSQLite:  koinon,
		KoinonMariaDB: koinon,
		KineSQLite:    kine,
		KineMariaDB:   kine,
		Etcd:          etcd,
	}[o.Name]
	if !known {
		return fmt.Errorf("there is no store %q: it must be one of %q", o.Name, Names)
	}
	return serve(ctx, o)
}

// listen takes the place of a process that left its socket behind.
func listen(o Options) (net.Listener, error) {
	if err := os.Remove(o.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of the process before: %w", err)
	}
	listener, err := net.Listen("unix", o.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	return listener, nil
}
