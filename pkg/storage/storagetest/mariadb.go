package storagetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

// MariaDB is a database server that can be stopped and started again.
type MariaDB struct {
	// Address is host:port on loopback, the same after each start.
	Address string
	// Dir is where the server keeps everything: its data are in the folder data.
	Dir string
	// args are added to those that every server gets.
	args    []string
	process *Process
	// databases counts those made, for their names.
	databases atomic.Int32
}

// Two users over TCP. The stores connect as the first, who may do everything but write to a
// server that is read-only; DB and Exec are the second, whom nothing stops.
const (
	storeUser = "koinon"
	adminUser = "admin"
	password  = "test-password"
)

const (
	// startTimeout is how long a server on a busy machine may take.
	startTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
)

// StartMariaDB runs mariadbd on an empty directory and a free loopback port, with further
// arguments if there are any. It skips the test when the program is not installed, as
// package mariadb-server has it.
func StartMariaDB(t testing.TB, args ...string) *MariaDB {
	t.Helper()
	m := prepareMariaDB(t, t.TempDir(), args...)
	m.start(t, "--init-file="+m.users(t))
	return m
}

// StartMariaDBIn is StartMariaDB with a directory of its own, which must be empty.
func StartMariaDBIn(t testing.TB, dir string, args ...string) *MariaDB {
	t.Helper()
	m := prepareMariaDB(t, dir, args...)
	m.start(t, "--init-file="+m.users(t))
	return m
}

// prepareMariaDB makes a data directory and starts nothing.
func prepareMariaDB(t testing.TB, dir string, args ...string) *MariaDB {
	t.Helper()
	installer := lookPath("mariadb-install-db")
	if installer == "" || lookPath("mariadbd") == "" {
		t.Skip("mariadbd is not installed: install the package mariadb-server to test against MariaDB")
	}
	m := &MariaDB{Address: freeAddress(t), Dir: dir, args: args}
	install := exec.Command(installer, "--no-defaults", "--datadir="+m.data(), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--user="+userName(t))
	install.Env = m.environment(t)
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("prepare MariaDB: %v\n%s", err, output)
	}
	return m
}

func (m *MariaDB) data() string { return filepath.Join(m.Dir, "data") }

// users writes the statements that make the users, for a server's first start.
func (m *MariaDB) users(t testing.TB) string {
	t.Helper()
	var statements strings.Builder
	for _, name := range []string{storeUser, adminUser} {
		fmt.Fprintf(&statements, "CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s';\n", name, password)
		fmt.Fprintf(&statements, "GRANT ALL ON *.* TO '%s'@'127.0.0.1' WITH GRANT OPTION;\n", name)
	}
	fmt.Fprintf(&statements, "REVOKE READ ONLY ADMIN, SUPER ON *.* FROM '%s'@'127.0.0.1';\n", storeUser)
	file := filepath.Join(m.Dir, "init.sql")
	if err := os.WriteFile(file, []byte(statements.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// command has the arguments of every start.
func (m *MariaDB) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	_, port, _ := net.SplitHostPort(m.Address)
	all := []string{"--no-defaults", "--datadir=" + m.data(), "--bind-address=127.0.0.1", "--port=" + port,
		"--socket=" + filepath.Join(m.Dir, "s"), "--pid-file=" + filepath.Join(m.Dir, "pid"),
		"--log-error=" + m.logFile(), "--skip-name-resolve", "--innodb-buffer-pool-size=32M",
		"--performance-schema=OFF", "--user=" + userName(t)}
	cmd := exec.Command(lookPath("mariadbd"), append(append(all, m.args...), args...)...)
	cmd.Env = m.environment(t)
	return cmd
}

// environment gives the server a folder of its own for temporary tables: one that starts
// removes those that it finds, of whichever server they are.
func (m *MariaDB) environment(t testing.TB) []string {
	t.Helper()
	temporary := filepath.Join(m.Dir, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "TMPDIR="+temporary)
}

func (m *MariaDB) logFile() string { return filepath.Join(m.Dir, "log.err") }

func (m *MariaDB) start(t testing.TB, args ...string) {
	t.Helper()
	m.launch(t, args...)
	if err := m.waitReady(t.Context(), "DO 0"); err != nil {
		m.fatal(t, err)
	}
}

// launch starts the server, and waits for nothing.
func (m *MariaDB) launch(t testing.TB, args ...string) {
	t.Helper()
	m.process = StartProcess(t, m.command(t, args...))
}

// errEnded says that a server ended before it answered.
var errEnded = errors.New("it has ended")

// Start starts a server that was stopped or killed, and returns when it answers.
func (m *MariaDB) Start(t testing.TB) {
	t.Helper()
	m.start(t)
}

// Stop ends the server in good order.
func (m *MariaDB) Stop(t testing.TB) {
	t.Helper()
	m.process.stop(t, stopTimeout)
}

// Kill is kill -9 of the server.
func (m *MariaDB) Kill(t testing.TB) {
	t.Helper()
	m.process.Kill()
}

// Restart is Stop and Start.
func (m *MariaDB) Restart(t testing.TB) {
	t.Helper()
	m.Stop(t)
	m.Start(t)
}

// Pause stops the server as it is, with all its connections; Resume lets it go on.
func (m *MariaDB) Pause(t testing.TB) {
	t.Helper()
	m.process.Pause(t)
}

// Resume ends a Pause.
func (m *MariaDB) Resume(t testing.TB) {
	t.Helper()
	m.process.Resume(t)
}

func (m *MariaDB) fatal(t testing.TB, err error) {
	t.Helper()
	log, _ := os.ReadFile(m.logFile())
	t.Fatalf("MariaDB does not answer: %v\n%s", err, log)
}

// waitReady waits until a statement succeeds.
func (m *MariaDB) waitReady(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := sql.Open("mysql", m.dsn(adminUser, ""))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		if _, err = db.ExecContext(ctx, statement); err == nil {
			return nil
		}
		select {
		case <-m.process.Exited:
			return errEnded
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// NewDatabase returns what follows the scheme in the URL of a database that is not there
// yet.
func (m *MariaDB) NewDatabase(t testing.TB) string {
	t.Helper()
	return m.DSN(fmt.Sprintf("test%d", m.databases.Add(1)))
}

// DSN is what follows the scheme in the URL of a database of this server.
func (m *MariaDB) DSN(database string) string { return m.dsn(storeUser, database) }

func (m *MariaDB) dsn(user, database string) string { return dsn(user, m.Address, database) }

func dsn(user, address, database string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", user, password, address, database)
}

// DB connects as the administrator. It is closed with the test.
func (m *MariaDB) DB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", m.dsn(adminUser, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Exec runs statements as the administrator, one after the other.
func (m *MariaDB) Exec(t testing.TB, statements ...string) {
	t.Helper()
	db, err := sql.Open("mysql", m.dsn(adminUser, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // one session for all of them
	for _, statement := range statements {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// freeAddress finds a port below those that the kernel gives to clients: one of theirs could
// be taken while a server that wants it back is down.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(22_000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("found no free port")
	return ""
}

// lookPath finds a program, also where Debian keeps servers.
func lookPath(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path := filepath.Join("/usr/sbin", name); isFile(path) {
		return path
	}
	return ""
}

// userName is who runs the tests: a server that root starts wants to be told.
func userName(t testing.TB) string {
	t.Helper()
	current, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return current.Username
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
