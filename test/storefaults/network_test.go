package storefaults

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/storefaults/history"
)

func TestSQLiteUnderLoadIsLinearizableAndWatched(t *testing.T) {
	r := newRig(t, openMember(t, "one", ""))
	r.start()
	r.wait(duration(4 * time.Second))
	r.finish()
}

func TestTwoStoresOnMariaDBAreOne(t *testing.T) {
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	r := newRig(t, openMember(t, "one", datastore), openMember(t, "two", datastore))
	r.start()
	r.wait(duration(4 * time.Second))
	r.finish()
}

func TestConnectionsToTheDatabaseFailAtRandom(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	r := newRig(t)
	r.openBehindProxies(database.Address, "", "one", "two")
	r.start()
	heal := r.failAtRandom(storagetest.Plan{Mean: 200 * time.Millisecond})
	r.wait(duration(6 * time.Second))
	heal()
	r.finish()
}

// The worst of networks: what is sent is lost, and nobody is told.
func TestTheNetworkLosesBytesWithoutAWord(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	r := newRig(t)
	r.openBehindProxies(database.Address, "?readTimeout=1s", "one", "two")
	r.start()
	heal := r.failAtRandom(storagetest.Plan{
		Mean: time.Second, Faults: []storagetest.Fault{storagetest.LoseAll, storagetest.LoseAnswer}, Patterns: []string{"COMMIT"},
	})
	r.wait(duration(7 * time.Second))
	heal()
	r.finish()
}

func TestAWriteHappensOnceWhereverTheConnectionIsCut(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	r := newRig(t)
	r.openBehindProxies(database.Address, "?readTimeout=2s", "one")
	r.load.clients = 0 // one request at a time, by hand
	r.start()
	ctx := t.Context()
	c := &client{load: r.load, member: r.load.members[0], random: rand.New(rand.NewPCG(r.load.seed, 1))}
	faults := []storagetest.Fault{
		storagetest.CutBeforeQuery, storagetest.CutAfterQuery, storagetest.CutBeforeAnswer, storagetest.CutInAnswer,
		storagetest.CutBeforeLastAnswer, storagetest.LoseAnswer, storagetest.SlowQuery,
	}
	for i, fault := range faults {
		key := root + string(fault)
		steps := map[string]func(revision int64) *history.Operation{
			"create": func(int64) *history.Operation { return c.create(ctx, key, c.value(), i%2 == 0) },
			"update": func(revision int64) *history.Operation { return c.update(ctx, key, c.value(), revision) },
			"delete": func(revision int64) *history.Operation { return c.delete(ctx, key, revision) },
		}
		revision := int64(0)
		for _, step := range []string{"create", "update", "delete"} {
			done := r.proxies[0].Arm(fault, "COMMIT")
			o := steps[step](revision)
			if o.Outcome != history.Done {
				t.Errorf("%s, %s: %v", step, fault, o)
			}
			select {
			case <-done:
			default:
				t.Errorf("%s, %s: it did not happen", step, fault)
			}
			revision = o.Revision
		}
	}
	r.finish()
}

// A server is cut off, or stopped, when the database has given it the lock. Others wait until
// the database takes it away.
func TestAServerThatIsCutOffDoesNotKeepTheLock(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	one := openMember(t, "one", "mysql://"+database.DSN(databaseName))
	proxy := storagetest.StartProxy(t, database.Address)
	two := openMember(t, "two", "mysql://"+proxy.DSN(databaseName)+"?readTimeout=30s")
	createKey(t, two, root+"first", "1")
	done := proxy.Arm(storagetest.LoseAnswer, "INSERT INTO koinon_log")
	// A write that the server has not heard of, so that its own has to begin anew.
	database.Exec(t, "USE "+databaseName, "BEGIN", "SELECT tail FROM koinon_meta FOR UPDATE",
		"INSERT INTO koinon_log (rev, name, create_rev, version, lease, expires, deleted, op, value) SELECT tail + 1, 'elsewhere', tail + 1, 1, 0, 0, 0, 1, '' FROM koinon_meta",
		"UPDATE koinon_meta SET tail = tail + 1, op = 1", "COMMIT")
	go func() { // ends with its store
		_, _ = two.client.Put(t.Context(), root+"second", "2")
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the server was not cut off")
	}
	begun := time.Now()
	c := &client{load: &load{recorder: &history.Recorder{}, timeout: time.Minute}, member: one}
	o := c.create(t.Context(), root+"third", "3", false)
	took := time.Since(begun).Round(time.Millisecond)
	for o.Outcome != history.Done && time.Since(begun) < time.Minute {
		o = c.create(t.Context(), root+"third", "3", false)
	}
	t.Logf("the first answer came after %v, the others write again after %v", took, time.Since(begun).Round(time.Millisecond))
	if time.Since(begun) > lockedOut {
		t.Errorf("VIOLATION: a server that was cut off kept others from writing for %v, want at most %v: %v", time.Since(begun), lockedOut, o)
	}
}
