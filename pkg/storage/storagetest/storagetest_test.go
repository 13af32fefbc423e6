package storagetest

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"
)

// open connects as a store does: several statements in one packet, arguments in the text.
func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn+"?multiStatements=true&interpolateParams=true&readTimeout=1s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func count(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM proxied.rows").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAProxyCutsAtTheChosenStep(t *testing.T) {
	database := StartMariaDB(t)
	database.Exec(t, "CREATE DATABASE proxied", "CREATE TABLE proxied.rows (id INT PRIMARY KEY AUTO_INCREMENT, value LONGBLOB)")
	admin := database.DB(t)
	cases := map[Fault]struct {
		fails bool
		// written is how many rows are there afterwards; -1 means that nobody can know.
		written int
	}{
		CutBeforeQuery:      {fails: true, written: 0},
		CutAfterQuery:       {fails: true, written: -1},
		CutBeforeAnswer:     {fails: true, written: -1},
		CutInAnswer:         {fails: true, written: -1},
		CutBeforeLastAnswer: {fails: true, written: 1},
		LoseAnswer:          {fails: true, written: 1},
		SlowQuery:           {fails: false, written: 1},
	}
	for fault, c := range cases {
		t.Run(string(fault), func(t *testing.T) {
			proxy := StartProxy(t, database.Address)
			db := open(t, proxy.DSN("proxied"))
			if _, err := db.Exec("DELETE FROM proxied.rows"); err != nil {
				t.Fatal(err)
			}
			done := proxy.Arm(fault, "INSERT", "COMMIT")
			_, err := db.Exec("BEGIN; INSERT INTO proxied.rows (value) VALUES (?); COMMIT", "v")
			if c.fails != (err != nil) {
				t.Errorf("got error %v, want one: %v", err, c.fails)
			}
			select {
			case <-done:
			default:
				t.Error("the fault did not happen")
			}
			if got := proxy.Faults()[fault]; got != 1 {
				t.Errorf("counted %d, want 1", got)
			}
			time.Sleep(50 * time.Millisecond) // the server notices, and ends its transaction
			if got := count(t, admin); c.written >= 0 && got != c.written {
				t.Errorf("rows: got %d, want %d", got, c.written)
			}
			count(t, db) // the next statement gets another connection
		})
	}
}

// A proxy that loses its place in an answer would never find its last packet.
func TestAProxyFollowsEveryKindOfAnswer(t *testing.T) {
	database := StartMariaDB(t)
	database.Exec(t, "CREATE DATABASE proxied", "CREATE TABLE proxied.rows (id INT PRIMARY KEY AUTO_INCREMENT, value LONGBLOB)")
	proxy := StartProxy(t, database.Address)
	db := open(t, proxy.DSN("proxied"))
	ctx := t.Context()
	large := strings.Repeat("x", 3<<20)
	prepared, err := db.PrepareContext(ctx, "SELECT id, value FROM proxied.rows WHERE id > ?")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = prepared.Close() }()
	statements := map[string]func() error{
		"an OK": func() error { _, err := db.ExecContext(ctx, "DO 0"); return err },
		"an error": func() error {
			_, err := db.ExecContext(ctx, "SELECT nothing FROM nowhere")
			if err != nil && strings.Contains(err.Error(), "nowhere") {
				return nil
			}
			return context.Canceled
		},
		"a large value": func() error {
			_, err := db.ExecContext(ctx, "INSERT INTO proxied.rows (value) VALUES (?)", large)
			return err
		},
		"several results": func() error {
			return drain(db.QueryContext(ctx, "DO 0; SELECT 1, 2; SELECT * FROM proxied.rows; DO 0"))
		},
		"no rows":            func() error { return drain(db.QueryContext(ctx, "SELECT * FROM proxied.rows WHERE id < 0")) },
		"prepared":           func() error { return drain(prepared.QueryContext(ctx, 0)) },
		"prepared, again":    func() error { return drain(prepared.QueryContext(ctx, 0)) },
		"prepared, no more":  func() error { return drain(prepared.QueryContext(ctx, 1<<30)) },
		"an empty statement": func() error { return drain(db.QueryContext(ctx, "SELECT ''")) },
	}
	// A connection that was cut, and does not know yet, takes the beginning of a large value.
	anew := func() {
		db.SetMaxIdleConns(0)
		db.SetMaxIdleConns(1)
	}
	for name, run := range statements {
		t.Run(name, func(t *testing.T) {
			if err := run(); err != nil {
				t.Fatal(err)
			}
			defer anew()
			done := proxy.Arm(CutBeforeLastAnswer)
			_ = run()
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				t.Fatal("the fault did not happen")
			}
			anew()
			if err := run(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func drain(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
		}
	}
	return rows.Err()
}

func TestAProxyRefusesLosesAndTurnsToAnotherServer(t *testing.T) {
	one, two := StartMariaDB(t, "--server-id=1"), StartMariaDB(t, "--server-id=2")
	proxy := StartProxy(t, one.Address)
	db := open(t, proxy.DSN(""))
	server := func() (id int, err error) {
		err = db.QueryRow("SELECT @@server_id").Scan(&id)
		return id, err
	}
	if id, err := server(); err != nil || id != 1 {
		t.Fatalf("server: got %d, %v, want 1", id, err)
	}
	proxy.Refuse()
	proxy.Cut()
	if _, err := server(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("while connections are refused: got %v", err)
	}
	if err := proxy.Accept(); err != nil {
		t.Fatal(err)
	}
	if _, err := server(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	proxy.Lose()
	if _, err := server(); err == nil {
		t.Error("a statement was answered while all bytes are lost")
	}
	proxy.Find()
	proxy.SetBackend(two.Address)
	proxy.Cut()
	if id, err := server(); err != nil || id != 2 {
		t.Errorf("server after the switch: got %d, %v, want 2", id, err)
	}
}

func TestAServerIsKilledPausedAndStartedAgain(t *testing.T) {
	database := StartMariaDB(t, "--auto-increment-increment=3")
	db := database.DB(t)
	database.Exec(t, "CREATE DATABASE kept")
	database.Kill(t)
	if err := db.Ping(); err == nil {
		t.Error("a killed server answers")
	}
	database.Start(t)
	database.Exec(t, "USE kept")
	if got := database.variable(t, "auto_increment_increment"); got != "3" {
		t.Errorf("auto_increment_increment after a restart: got %s, want 3", got)
	}
	database.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := db.PingContext(ctx); err == nil {
		t.Error("a paused server answers")
	}
	database.Resume(t)
	database.Exec(t, "SET GLOBAL read_only = ON")
	if _, err := open(t, database.DSN("kept")).Exec("CREATE TABLE t (id INT)"); err == nil || !strings.Contains(err.Error(), "1290") {
		t.Errorf("a write to a server that is read-only: got %v, want error 1290", err)
	}
	database.Restart(t)
	database.Exec(t, "USE kept")
}

func TestAReplicaTakesOverWithAllThatWasAcknowledged(t *testing.T) {
	pair := StartReplicated(t)
	pair.Primary.Exec(t, "CREATE DATABASE proxied", "CREATE TABLE proxied.rows (id INT PRIMARY KEY AUTO_INCREMENT)")
	db := open(t, pair.Proxy.DSN("proxied"))
	for range 100 {
		if _, err := db.Exec("INSERT INTO proxied.rows VALUES ()"); err != nil {
			t.Fatal(err)
		}
	}
	pair.Promote(t)
	db.SetMaxIdleConns(0) // the old connection is cut, and may not know it yet
	if got := count(t, db); got != 100 {
		t.Errorf("rows: got %d, want 100", got)
	}
	if _, err := db.Exec("INSERT INTO proxied.rows VALUES ()"); err != nil {
		t.Errorf("the new primary takes no writes: %v", err)
	}
}

func TestAGaleraNodeIsKilledAndComesBack(t *testing.T) {
	cluster := StartGalera(t, 3)
	cluster.Nodes[0].Exec(t, "CREATE DATABASE proxied", "CREATE TABLE proxied.rows (id INT PRIMARY KEY)")
	cluster.Nodes[1].Exec(t, "INSERT INTO proxied.rows VALUES (1)")
	cluster.Nodes[2].Kill(t)
	cluster.Nodes[0].Exec(t, "INSERT INTO proxied.rows VALUES (2)")
	cluster.Rejoin(t, 2, 3)
	for i, node := range cluster.Nodes {
		var n int
		if err := node.DB(t).QueryRow("SELECT COUNT(*) FROM proxied.rows").Scan(&n); err != nil || n != 2 {
			t.Errorf("node %d: got %d rows, %v, want 2", i, n, err)
		}
	}
}
