package storefaults

import (
	"slices"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// outage is the time during which a store could not answer.
type outage struct {
	store    string
	from, to time.Duration
}

func TestServersAreKilledInTurn(t *testing.T) {
	datastore := "mysql://" + storagetest.StartMariaDB(t).DSN(databaseName)
	servers := []*server{
		startServer(t, "one", serverConfig{Datastore: datastore}),
		startServer(t, "two", serverConfig{Datastore: datastore}),
	}
	r := newRig(t, connectServer(t, servers[0]), connectServer(t, servers[1]))
	r.killInTurn(servers)
}

func TestAServerOnSQLiteIsKilled(t *testing.T) {
	servers := []*server{startServer(t, "one", serverConfig{})}
	r := newRig(t, connectServer(t, servers[0]))
	r.killInTurn(servers)
}

// killInTurn kills one server after the other under a load. Whatever was acknowledged is
// there, and only requests that were under way may fail.
func (r *rig) killInTurn(servers []*server) {
	t := r.t
	r.load.clients = 64
	r.start()
	var outages []outage
	for end, turn := time.Now().Add(duration(5*time.Second)), 0; time.Now().Before(end); turn++ {
		r.wait(time.Second)
		killed := servers[turn%len(servers)]
		from := r.recorder.Now()
		killed.Kill()
		r.fault("server " + killed.name + " killed")
		killed.start(t)
		outages = append(outages, outage{killed.name, from, r.recorder.Now()})
	}
	r.wait(time.Second)
	r.finish()
	r.checkErrorsWithin(outages)
}

// reconnect is how long a client may take to notice that a store is there again.
const reconnect = 2 * time.Second

// checkErrorsWithin finds errors of requests that were not under way during an outage.
func (r *rig) checkErrorsWithin(outages []outage) {
	r.t.Helper()
	failed, unexpected := 0, 0
	for _, o := range r.recorder.Operations() {
		if o.Err == "" {
			continue
		}
		failed++
		within := slices.ContainsFunc(outages, func(each outage) bool {
			return each.store == o.Store && o.Return >= each.from && o.Call <= each.to+reconnect
		})
		if within {
			continue
		}
		if unexpected++; unexpected <= 5 {
			r.t.Errorf("VIOLATION: a request failed though its server was there: %v", o)
		}
	}
	r.t.Logf("%d requests failed, of %d, %d of them outside of an outage", failed, len(r.recorder.Operations()), unexpected)
}

// A server is stopped while others write and compact what it knows. When it goes on, it must
// neither write into the past nor leave out events.
func TestAServerSleepsThroughACompaction(t *testing.T) {
	datastore := "mysql://" + storagetest.StartMariaDB(t).DSN(databaseName)
	servers := []*server{
		startServer(t, "one", serverConfig{Datastore: datastore}),
		startServer(t, "two", serverConfig{Datastore: datastore}),
	}
	r := newRig(t, connectServer(t, servers[0]), connectServer(t, servers[1]))
	r.load.timeout = 12 * time.Second
	r.start()
	var outages []outage
	for end := time.Now().Add(duration(0)); ; {
		r.wait(time.Second)
		from := r.recorder.Now()
		servers[1].Pause(t)
		r.fault("server two stopped")
		// If it has the lock, writes wait until the database ends its transaction.
		outages = append(outages, outage{"one", from, from + lockedOut})
		r.wait(lockedOut + reconnect + 500*time.Millisecond)
		r.compact(r.revision() - 5)
		servers[1].Resume(t)
		r.fault("server two went on")
		outages = append(outages, outage{"two", from, r.recorder.Now()})
		r.wait(2 * time.Second)
		if time.Now().After(end) {
			break
		}
	}
	report := r.finish()
	r.checkErrorsWithin(outages)
	if r.relists() == 0 {
		t.Errorf("no watcher had to read anew: the compaction came too late (%v)", report)
	}
}

// lockedOut is how long a server that was stopped may keep others from writing.
const lockedOut = 6 * time.Second

// relists is how often watchers had to read anew.
func (r *rig) relists() int {
	n := 0
	for _, w := range r.watchers {
		w.mu.Lock()
		n += w.relists
		w.mu.Unlock()
	}
	return n
}
