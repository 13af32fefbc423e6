package storefaults

import (
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
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
	r.openBehindProxies(database.Address, "one", "two")
	r.start()
	heal := r.failAtRandom(storagetest.Plan{Mean: 200 * time.Millisecond})
	r.wait(duration(6 * time.Second))
	heal()
	r.finish()
}
