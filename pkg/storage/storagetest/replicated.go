package storagetest

import (
	"database/sql"
	"fmt"
	"net"
	"testing"
	"time"
)

// Replicated is a primary and its replica. Clients reach whichever is the primary through
// the proxy.
type Replicated struct {
	Primary, Replica *MariaDB
	Proxy            *Proxy
}

// StartReplicated runs a pair whose commits are acknowledged once the replica has them
// (semi-synchronous, after sync), however long that takes.
func StartReplicated(t testing.TB) *Replicated {
	t.Helper()
	primary := StartMariaDB(t, "--server-id=1", "--log-bin=binlog", "--binlog-format=ROW", "--gtid-strict-mode=ON",
		"--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-timeout=3600000", "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
		"--rpl-semi-sync-master-wait-no-slave=OFF")
	replica := StartMariaDB(t, "--server-id=2", "--log-bin=binlog", "--binlog-format=ROW", "--read-only=ON",
		"--rpl-semi-sync-slave-enabled=ON")
	host, port, _ := net.SplitHostPort(primary.Address)
	replica.Exec(t,
		"SET GLOBAL gtid_slave_pos = '"+primary.variable(t, "gtid_binlog_pos")+"'",
		fmt.Sprintf("CHANGE MASTER TO master_host = '%s', master_port = %s, master_user = '%s', master_password = '%s', master_use_gtid = slave_pos, master_connect_retry = 1",
			host, port, adminUser, password),
		"START SLAVE")
	r := &Replicated{Primary: primary, Replica: replica, Proxy: StartProxy(t, primary.Address)}
	r.waitSemiSync(t)
	return r
}

// waitSemiSync waits until the primary waits for the replica.
func (r *Replicated) waitSemiSync(t testing.TB) {
	t.Helper()
	db := r.Primary.DB(t)
	deadline := time.Now().Add(startTimeout)
	for {
		var clients int
		err := db.QueryRow("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Rpl_semi_sync_master_clients'").Scan(&clients)
		if err == nil && clients > 0 {
			break
		}
		if time.Now().After(deadline) {
			r.Replica.fatal(t, fmt.Errorf("the replica does not replicate: %v", err))
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.Primary.Exec(t, "SET GLOBAL rpl_semi_sync_master_wait_no_slave = ON")
}

// Promote kills the primary and makes the replica take its place, with all that it was sent.
func (r *Replicated) Promote(t testing.TB) {
	t.Helper()
	r.Primary.Kill(t)
	r.Proxy.SetBackend(r.Replica.Address)
	r.Replica.Exec(t, "STOP SLAVE IO_THREAD")
	r.Replica.Exec(t,
		fmt.Sprintf("DO MASTER_GTID_WAIT('%s', 60)", r.slaveStatus(t, "Gtid_IO_Pos")),
		"STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF")
}

// slaveStatus is one column of what the replica says of its replication.
func (r *Replicated) slaveStatus(t testing.TB, column string) string {
	t.Helper()
	rows, err := r.Replica.DB(t).Query("SHOW SLAVE STATUS")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("the replica has no status: %v", err)
	}
	values := make([]sql.NullString, len(names))
	pointers := make([]any, len(names))
	for i := range values {
		pointers[i] = &values[i]
	}
	if err := rows.Scan(pointers...); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if name == column {
			return values[i].String
		}
	}
	t.Fatalf("the status of a replica has no %s", column)
	return ""
}

func (m *MariaDB) variable(t testing.TB, name string) string {
	t.Helper()
	var value string
	if err := m.DB(t).QueryRow("SELECT @@GLOBAL." + name).Scan(&value); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return value
}
