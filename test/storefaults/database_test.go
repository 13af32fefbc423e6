package storefaults

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/storefaults/history"
)

// newMariaDBRig has two stores in this process on one MariaDB.
func newMariaDBRig(t *testing.T, args ...string) (*rig, *storagetest.MariaDB) {
	t.Helper()
	database := storagetest.StartMariaDB(t, args...)
	datastore := "mysql://" + database.DSN(databaseName)
	return newRig(t, openMember(t, "one", datastore), openMember(t, "two", datastore)), database
}

// databaseName is that of the database in which the stores keep their tables.
const databaseName = "koinon"

// Without its binary log, InnoDB shows others what was committed before that is on the disk (bugs.mysql.com 74303, 119759): what the other store has read is gone then
// if the database is killed within these milliseconds. See docs/store.md.
func TestTheDatabaseIsKilledAndStartedAgain(t *testing.T) {
	r, database := newMariaDBRig(t, "--log-bin", "--sync-binlog=1")
	r.start()
	for end := time.Now().Add(duration(5 * time.Second)); time.Now().Before(end); {
		r.wait(1500 * time.Millisecond)
		database.Kill(t)
		r.fault("database killed")
		r.wait(200 * time.Millisecond)
		database.Start(t)
	}
	r.wait(time.Second)
	r.finish()
}

func TestTheDatabaseIsPaused(t *testing.T) {
	r, database := newMariaDBRig(t)
	r.start()
	for end := time.Now().Add(duration(0)); ; {
		for _, pause := range []time.Duration{500 * time.Millisecond, 7 * time.Second} { // less and more than stores wait
			r.wait(700 * time.Millisecond)
			database.Pause(t)
			r.fault(fmt.Sprintf("database paused for %v", pause))
			r.wait(pause)
			database.Resume(t)
		}
		if time.Now().After(end) {
			break
		}
	}
	r.wait(time.Second)
	r.finish()
}

// Other sessions get into the way: they hold locks in both orders, so that some of what they
// do is a deadlock, and now and then lock the tables as a backup does.
func TestOtherSessionsHoldTheLocks(t *testing.T) {
	r, database := newMariaDBRig(t)
	db := database.DB(t)
	r.start()
	ctx, stop := context.WithTimeout(t.Context(), duration(6*time.Second))
	defer stop()
	var running sync.WaitGroup
	for i := range 3 {
		running.Go(func() {
			random := rand.New(rand.NewPCG(r.load.seed, uint64(i)))
			for ctx.Err() == nil {
				r.wait(time.Duration(50+random.IntN(300)) * time.Millisecond)
				disturb := disturbances[random.IntN(len(disturbances))]
				if err := session(ctx, db, time.Duration(10+random.IntN(400))*time.Millisecond, disturb.statements...); err != nil {
					r.fault(disturb.name + " (ended by a deadlock or lock wait)")
				} else {
					r.fault(disturb.name)
				}
			}
		})
	}
	running.Wait()
	r.finish()
}

// A lock is held longer than a statement of the store waits for it.
func TestALockIsHeldForLong(t *testing.T) {
	r, database := newMariaDBRig(t)
	db := database.DB(t)
	r.start()
	r.wait(500 * time.Millisecond)
	for end := time.Now().Add(duration(0)); ; {
		r.fault("counter locked for 7s")
		if err := session(t.Context(), db, 7*time.Second, "BEGIN", "SELECT * FROM koinon_meta WHERE id = 1 FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		r.wait(time.Second)
		if time.Now().After(end) {
			break
		}
	}
	r.finish()
}

type disturbance struct {
	name       string
	statements []string
}

var disturbances = []disturbance{
	{"counter locked", []string{"BEGIN", "SELECT * FROM koinon_meta WHERE id = 1 FOR UPDATE"}},
	{"end of the log locked", []string{"BEGIN", "SELECT rev FROM koinon_log WHERE rev > (SELECT tail FROM koinon_meta) FOR UPDATE"}},
	{"log locked, then counter", []string{
		"BEGIN", "SELECT rev FROM koinon_log WHERE rev > (SELECT tail - 5 FROM koinon_meta) FOR UPDATE", "DO SLEEP(0.02)",
		"UPDATE koinon_meta SET probe = probe + 1 WHERE id = 1"}},
	{"counter locked, then log", []string{
		"BEGIN", "UPDATE koinon_meta SET probe = probe + 1 WHERE id = 1", "SELECT rev FROM koinon_log WHERE rev > 0 FOR UPDATE"}},
	{"tables locked", []string{"LOCK TABLES koinon_log WRITE, koinon_meta WRITE"}},
	{"tables locked for reading", []string{"FLUSH TABLES koinon_log, koinon_meta WITH READ LOCK"}},
	{"insert rolled back", []string{
		"BEGIN",
		"INSERT INTO koinon_log (rev, name, create_rev, version, lease, expires, deleted, op, value) SELECT tail + 1, 'x', 0, 0, 0, 0, 0, 0, '' FROM koinon_meta"}},
}

// session runs statements in a connection of its own, rests, and takes everything back.
func session(ctx context.Context, db *sql.DB, hold time.Duration, statements ...string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	after := context.WithoutCancel(ctx)
	defer func() {
		_, _ = conn.ExecContext(after, "ROLLBACK")
		_, _ = conn.ExecContext(after, "UNLOCK TABLES")
	}()
	for _, statement := range append([]string{"USE " + databaseName, "SET innodb_lock_wait_timeout = 1", "SET lock_wait_timeout = 1"}, statements...) {
		if _, err := conn.ExecContext(after, statement); err != nil {
			return err
		}
	}
	select {
	case <-time.After(hold):
	case <-ctx.Done():
	}
	return nil
}

func TestAReadOnlyDatabaseServesReadsAndRefusesWrites(t *testing.T) {
	r, database := newMariaDBRig(t)
	r.start()
	for end := time.Now().Add(duration(0)); ; {
		r.wait(time.Second)
		database.Exec(t, "SET GLOBAL read_only = ON")
		r.fault("database made read-only")
		begin := r.recorder.Now()
		r.wait(8 * time.Second) // longer than stores are patient
		r.checkRefusing(begin+7*time.Second, "read-only", time.Second)
		database.Exec(t, "SET GLOBAL read_only = OFF")
		if time.Now().After(end) {
			break
		}
	}
	r.wait(time.Second)
	r.finish()
}

// checkRefusing checks the requests since a time: reads are answered, and writes fail within
// another, with a reason that holds a word.
func (r *rig) checkRefusing(since time.Duration, word string, within time.Duration) {
	r.t.Helper()
	reads, refusals := 0, 0
	for _, o := range r.recorder.Operations() {
		if o.Call < since {
			continue
		}
		took := o.Return - o.Call
		switch {
		case o.Kind >= history.Get && o.Outcome == history.Done:
			reads++
		case o.Kind >= history.Get:
			r.t.Errorf("a read failed: %v", o)
		case o.Outcome == history.Unknown && (!strings.Contains(o.Err, word) || took > within):
			r.t.Errorf("a write took %v to fail, want less than %v and %q in the reason: %v", took, within, word, o)
		case o.Outcome == history.Unknown:
			refusals++
		}
	}
	r.t.Logf("while writes were refused: %d reads answered, %d writes failed", reads, refusals)
	if reads == 0 || refusals == 0 {
		r.t.Errorf("no reads were answered or no writes failed meanwhile")
	}
}

func TestAFullDiskUnderSQLiteServesReadsAndRefusesWrites(t *testing.T) {
	dir := storagetest.SmallDisk(t, 64<<20)
	r := newRig(t, openMember(t, "one", sqliteIn(dir)))
	r.fullDisk(dir, patience)
}

func TestAFullDiskUnderMariaDBServesReadsAndRefusesWrites(t *testing.T) {
	dir := storagetest.SmallDisk(t, 256<<20)
	database := storagetest.StartMariaDBIn(t, dir, "--innodb-log-file-size=16M")
	datastore := "mysql://" + database.DSN(databaseName)
	r := newRig(t, openMember(t, "one", datastore), openMember(t, "two", datastore))
	r.fullDisk(dir, patience)
}

// patience is for how long a store waits for a database that may come back. For room on a
// disk it does not wait.
const patience = 5 * time.Second

// fullDisk fills the disk under a load. Once writes fail, they fail within the given time.
func (r *rig) fullDisk(dir string, within time.Duration) {
	r.load.maxValue = 1 << 20 // it takes a while until what was allocated before is used up
	r.start()
	r.wait(time.Second)
	free := storagetest.FillDisk(r.t, dir)
	r.fault("disk full")
	full := r.waitFull()
	r.wait(3 * time.Second)
	r.checkRefusing(full, "full", within)
	free()
	r.wait(2 * time.Second)
	r.finish()
}

// waitFull waits until a write has failed, and returns when that was.
func (r *rig) waitFull() time.Duration {
	r.t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; r.wait(50 * time.Millisecond) {
		for _, o := range r.recorder.Operations() {
			if o.Outcome == history.Unknown {
				r.t.Logf("the first write failed %v after the disk was full", time.Since(begun).Round(time.Millisecond))
				return o.Return
			}
		}
	}
	r.t.Fatal("no write failed on a full disk")
	return 0
}

func TestAReplicaTakesOver(t *testing.T) {
	pair := storagetest.StartReplicated(t)
	datastore := "mysql://" + pair.Proxy.DSN(databaseName)
	r := newRig(t, openMember(t, "one", datastore), openMember(t, "two", datastore))
	r.proxies = append(r.proxies, pair.Proxy)
	r.start()
	r.wait(duration(2 * time.Second))
	pair.Promote(t)
	r.fault("primary killed, replica promoted")
	r.wait(3 * time.Second)
	r.finish()
}

// What other databases do to auto-increment columns means nothing to a log that has none.
func TestJumpsOfAutoIncrementDoNoHarm(t *testing.T) {
	r, database := newMariaDBRig(t, "--auto-increment-increment=3", "--auto-increment-offset=2")
	db := database.DB(t)
	r.start()
	ctx, stop := context.WithTimeout(t.Context(), duration(5*time.Second))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			if session(ctx, db, 0, disturbances[len(disturbances)-1].statements...) == nil {
				r.fault("insert rolled back")
			}
			r.wait(5 * time.Millisecond)
		}
	})
	for _, jump := range []string{"1", "1000", "1000000"} {
		r.wait(time.Second)
		err := session(ctx, db, 0,
			"SET @next = (SELECT tail FROM koinon_meta) + "+jump,
			"EXECUTE IMMEDIATE CONCAT('ALTER TABLE koinon_log AUTO_INCREMENT = ', @next)",
			"SET GLOBAL auto_increment_increment = "+fmt.Sprint(1+len(jump)))
		if err != nil {
			r.fault("jump of " + jump + " refused")
		} else {
			r.fault("jump of " + jump)
		}
	}
	running.Wait()
	r.finish()
}
