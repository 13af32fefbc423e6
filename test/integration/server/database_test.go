package server_test

import (
	"database/sql"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// database is a MariaDB that fails as it is told.
type database struct {
	*testing.T
	address string
	// dsn is that of the server's user, as the driver takes it, without a database; root is
	// for who may do everything.
	dsn, root string
	// process and args are of the server as it runs now.
	process *os.Process
	args    []string
}

func startDatabase(t *testing.T) *database {
	t.Helper()
	server := storagetest.StartMariaDB(t)
	dsn := server.NewDatabase(t)
	d := &database{T: t, address: server.Address, dsn: dsn[:strings.LastIndex(dsn, "/")+1]}
	var pidFile, socket string
	if err := d.connect(d.dsn).QueryRow("SELECT @@pid_file, @@socket").Scan(&pidFile, &socket); err != nil {
		t.Fatal(err)
	}
	d.root = "root@unix(" + socket + ")/"
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	command, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	d.args = strings.Split(strings.TrimSuffix(string(command), "\x00"), "\x00")
	if d.process, err = os.FindProcess(pid); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *database) connect(dsn string) *sql.DB {
	d.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = db.Close() })
	return db
}

// exec runs statements as root.
func (d *database) exec(statements ...string) {
	d.Helper()
	db := d.connect(d.root)
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			d.Fatalf("%s: %v", statement, err)
		}
	}
}

func (d *database) signal(signal syscall.Signal) {
	d.Helper()
	if err := d.process.Signal(signal); err != nil {
		d.Fatalf("send %s to MariaDB: %v", signal, err)
	}
}

// kill is kill -9.
func (d *database) kill() { d.signal(syscall.SIGKILL) }

// restart starts it again on the same data and port.
func (d *database) restart() {
	d.Helper()
	args := slices.DeleteFunc(slices.Clone(d.args[1:]), func(arg string) bool { return strings.HasPrefix(arg, "--init-file=") })
	cmd := exec.Command(d.args[0], args...)
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	d.process = cmd.Process
	d.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	db := d.connect(d.dsn)
	for deadline := time.Now().Add(patience); db.Ping() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.Fatal("MariaDB does not start again")
		}
	}
}
