package storefaults

import (
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/storefaults/history"
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
	failed := 0
	for _, o := range r.recorder.Operations() {
		if o.Err == "" {
			continue
		}
		failed++
		within := false
		for _, each := range outages {
			within = within || each.store == o.Store && o.Return >= each.from && o.Call <= each.to+reconnect
		}
		if !within {
			r.t.Errorf("VIOLATION: a request failed though its server was there: %v", o)
		}
	}
	r.t.Logf("%d requests failed, of %d", failed, len(r.recorder.Operations()))
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
	r.load.timeout = 3 * time.Second
	r.start()
	for end := time.Now().Add(duration(0)); ; {
		r.wait(time.Second)
		servers[1].Pause(t)
		r.fault("server two stopped")
		r.wait(3 * time.Second)
		r.compact(r.revision())
		r.wait(4 * time.Second) // its transaction, if it had one, is ended by the database
		r.compact(r.revision() - 5)
		servers[1].Resume(t)
		r.fault("server two went on")
		r.wait(2 * time.Second)
		if time.Now().After(end) {
			break
		}
	}
	report := r.finish()
	for _, o := range r.recorder.Operations() {
		if o.Store == "one" && o.Outcome == history.Unknown {
			t.Errorf("VIOLATION: a request to the server that was not stopped failed: %v", o)
		}
	}
	if r.relists() == 0 {
		t.Errorf("no watcher had to read anew: the compaction came too late (%v)", report)
	}
}

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
