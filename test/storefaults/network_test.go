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
