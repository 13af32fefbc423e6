// Package storagetest starts databases for tests. It is not linked into any binary. What it
// starts belongs to one test and ends with it; the functions may be called from any test at
// the same time.
package storagetest

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
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

// MariaDB is a running database server.
type MariaDB struct {
	// Address is host:port on loopback.
	Address string
	// databases counts those made, for their names.
	databases atomic.Int32
}

// user and password of the administrator over TCP.
const credentials = "koinon:test-password"

// startTimeout is how long a server on a busy machine may take.
const startTimeout = 2 * time.Minute

// StartMariaDB runs mariadbd on an empty directory and a free loopback port. It skips the
// test when the program is not installed, as package mariadb-server has it.
func StartMariaDB(t *testing.T) *MariaDB {
	t.Helper()
	daemon, installer := lookPath("mariadbd"), lookPath("mariadb-install-db")
	if daemon == "" || installer == "" {
		t.Skip("mariadbd is not installed: install the package mariadb-server to test against MariaDB")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	install := exec.Command(installer, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--user="+userName(t))
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("prepare MariaDB: %v\n%s", err, output)
	}
	initFile := filepath.Join(dir, "init.sql")
	name, password, _ := strings.Cut(credentials, ":")
	statements := fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'127.0.0.1';\n", name, password, name)
	if err := os.WriteFile(initFile, []byte(statements), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &MariaDB{Address: freeAddress(t)}
	m.run(t, daemon, dir, data, initFile)
	return m
}

func (m *MariaDB) run(t *testing.T, daemon, dir, data, initFile string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(m.Address)
	cmd := exec.Command(daemon, "--no-defaults", "--datadir="+data, "--bind-address=127.0.0.1", "--port="+port,
		"--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(dir, "pid"), "--init-file="+initFile,
		"--log-error="+filepath.Join(dir, "log"), "--skip-name-resolve", "--innodb-buffer-pool-size=32M",
		"--performance-schema=OFF", "--user="+userName(t))
	if err := cmd.Start(); err != nil {
		t.Fatalf("start MariaDB: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	if err := m.waitReady(t.Context(), exited); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("MariaDB does not answer: %v\n%s", err, log)
	}
}

func (m *MariaDB) waitReady(ctx context.Context, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := sql.Open("mysql", m.dsn(""))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-exited:
			return errors.New("it has ended")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// NewDatabase returns what follows the scheme in the URL of a database that is not there
// yet.
func (m *MariaDB) NewDatabase(t *testing.T) string {
	t.Helper()
	return m.dsn(fmt.Sprintf("test%d", m.databases.Add(1)))
}

func (m *MariaDB) dsn(database string) string {
	return fmt.Sprintf("%s@tcp(%s)/%s", credentials, m.Address, database)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
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
func userName(t *testing.T) string {
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
