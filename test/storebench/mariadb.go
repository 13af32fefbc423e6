package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"github.com/koinon-io/koinon/cmd/koinon-playground/ports"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// credentials of the administrator over TCP.
const credentials = "koinon:bench-password"

// databaseTimeout is how long a database server on a busy machine may take to start.
const databaseTimeout = time.Minute

// mariaDB is the way to start database servers, each on a copy of the same empty directory.
type mariaDB struct {
	daemon   string
	template string
	initFile string
}

// errNoMariaDB is when the programs are not there.
var errNoMariaDB = errors.New("mariadbd is not installed: install the package mariadb-server")

// prepareMariaDB makes the directory that databases begin with.
func prepareMariaDB(ctx context.Context, dir string) (*mariaDB, error) {
	m := &mariaDB{daemon: lookPath("mariadbd"), template: filepath.Join(dir, "template"), initFile: filepath.Join(dir, "init.sql")}
	installer := lookPath("mariadb-install-db")
	if m.daemon == "" || installer == "" {
		return nil, errNoMariaDB
	}
	install := exec.CommandContext(ctx, installer, "--no-defaults", "--datadir="+m.template, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--user="+userName())
	if output, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("prepare MariaDB: %w\n%s", err, output)
	}
	name, password, _ := strings.Cut(credentials, ":")
	statements := fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'127.0.0.1' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'127.0.0.1';\n", name, password, name)
	return m, os.WriteFile(m.initFile, []byte(statements), 0o600)
}

// version is what the program says of itself.
func (m *mariaDB) version(ctx context.Context) string {
	output, _ := exec.CommandContext(ctx, m.daemon, "--no-defaults", "--version").Output()
	if _, version, found := strings.Cut(string(output), "Ver "); found {
		return "MariaDB " + strings.Fields(version)[0]
	}
	return "MariaDB of unknown version"
}

// database is a running database server.
type database struct {
	program program
	// source is USER:PASSWORD@tcp(HOST:PORT)/NAME of a database that is not there yet.
	source string
	db     *sql.DB
}

// start starts a server in a directory, synced to disk on every commit, and returns once
// it answers.
func (m *mariaDB) start(ctx context.Context, dir, logFile string) (*database, error) {
	data := filepath.Join(dir, "data")
	if err := os.CopyFS(data, os.DirFS(m.template)); err != nil {
		return nil, fmt.Errorf("copy the empty database: %w", err)
	}
	picked, err := ports.Pick(1)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(picked[0]))
	d := &database{source: fmt.Sprintf("%s@tcp(%s)/koinon", credentials, address)}
	if d.db, err = sql.Open("mysql", fmt.Sprintf("%s@tcp(%s)/", credentials, address)); err != nil {
		return nil, err
	}
	d.program = program{
		Program: process.Program{Name: "mariadbd", PIDFile: filepath.Join(dir, "mariadbd.pid"), LogFile: logFile},
		limit:   databaseTimeout,
		ready:   d.db.PingContext,
	}
	d.program.spec = process.Spec{
		Path: m.daemon,
		Args: []string{"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", picked[0]),
			"--socket=" + filepath.Join(dir, "s"), "--pid-file=" + filepath.Join(dir, "own.pid"), "--init-file=" + m.initFile,
			"--skip-name-resolve", "--performance-schema=OFF", "--user=" + userName(), "--max-connections=500",
			"--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=1"},
		LogFile: logFile, PIDFile: d.program.PIDFile, Tied: true,
	}
	return d, d.program.start(ctx)
}

// stop kills the server: its data is of no use any more.
func (d *database) stop(ctx context.Context) error {
	_ = d.db.Close() // it may have lost its connection long ago
	return process.Stop(ctx, d.program.PIDFile, 0)
}

// questions is how many statements the server was sent so far, this one included.
func (d *database) questions(ctx context.Context) (float64, error) {
	var name string
	var count float64
	if err := d.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &count); err != nil {
		return 0, fmt.Errorf("read how many statements the database was sent: %w", err)
	}
	return count, nil
}

// lookPath finds a program, also where Debian keeps servers; empty if it is not there.
func lookPath(name string) string {
	for _, candidate := range []string{name, filepath.Join("/usr/sbin", name)} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

// userName is who runs this: a server that root starts wants to be told.
func userName() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return os.Getenv("USER")
}
