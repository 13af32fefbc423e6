package storefaults

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/storefaults/history"
)

// member is a store with its clients.
type member struct {
	name string
	// client is for requests, watcher for watches.
	client, watcher *clientv3.Client
}

// openMember opens a store in this process.
func openMember(t *testing.T, name, where string) *member {
	t.Helper()
	return openMemberWith(t, name, where, storeConfig)
}

func openMemberWith(t *testing.T, name, where string, config embedded.Config) *member {
	t.Helper()
	parsed, err := datastore.Parse(where, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(t.Context(), parsed, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close store %s: %v", name, err)
		}
	})
	return connect(t, name, store.Dial)
}

// connectServer makes the clients of a server process.
func connectServer(t *testing.T, s *server) *member {
	t.Helper()
	var dialer net.Dialer
	return connect(t, s.name, func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "unix", s.config.Socket) })
}

func connect(t *testing.T, name string, dial func(context.Context) (net.Conn, error)) *member {
	t.Helper()
	m := &member{name: name}
	for _, client := range []**clientv3.Client{&m.client, &m.watcher} {
		var err error
		*client, err = clientv3.New(clientv3.Config{
			Endpoints: []string{embedded.Address}, Logger: zap.NewNop(),
			DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) })},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*client).Close() })
	}
	return m
}

// rig is a load, its watchers and what they see.
type rig struct {
	t        *testing.T
	recorder history.Recorder
	load     *load
	watchers []*watcher
	// faults counts what the test does.
	mu     sync.Mutex
	faults map[string]int
	// proxies count theirs.
	proxies []*storagetest.Proxy
	// compacted is the highest revision that was compacted.
	compacted int64

	stopLoad, stopWatch context.CancelFunc
	loading, watching   sync.WaitGroup
}

// newRig prepares a load on some stores; the test may change it before start.
func newRig(t *testing.T, members ...*member) *rig {
	t.Helper()
	r := &rig{t: t, faults: map[string]int{}}
	r.load = &load{
		recorder: &r.recorder, members: members, clients: 16, hot: 8, wide: 50, generation: time.Second,
		timeout: 10 * time.Second, maxValue: 64 << 10, seed: seed(t),
	}
	return r
}

// start begins two watchers at each store, one of them restless, and the load.
func (r *rig) start() {
	r.t.Helper()
	from := r.revision() + 1
	watching, stop := context.WithCancel(context.WithoutCancel(r.t.Context()))
	r.stopWatch = stop
	for i, m := range r.load.members {
		steady, restless := newWatcher(m, m.name+" steady", from), newWatcher(m, m.name+" restless", from)
		restless.restless, restless.seed = true, r.load.seed+uint64(i)
		r.watchers = append(r.watchers, steady, restless)
	}
	for _, w := range r.watchers {
		r.watching.Go(func() { w.run(watching) }) // ends with finish
	}
	loading, stop := context.WithCancel(context.WithoutCancel(r.t.Context()))
	r.stopLoad = stop
	r.loading.Go(func() { r.load.run(loading) }) // ends with finish
	r.t.Cleanup(func() {
		r.stopLoad()
		r.stopWatch()
		r.loading.Wait()
		r.watching.Wait()
	})
}

// openBehindProxies opens stores on one database of a server, each with a network of its own.
// parameters end the data source name.
func (r *rig) openBehindProxies(backend, parameters string, names ...string) {
	r.t.Helper()
	for _, name := range names {
		proxy := storagetest.StartProxy(r.t, backend)
		r.proxies = append(r.proxies, proxy)
		r.load.members = append(r.load.members, openMember(r.t, name, "mysql://"+proxy.DSN(databaseName)+parameters))
	}
}

// failAtRandom follows a plan at every proxy until the function that it returns is called.
func (r *rig) failAtRandom(plan storagetest.Plan) (heal func()) {
	var stops []func()
	for i, proxy := range r.proxies {
		plan.Seed = r.load.seed + uint64(i)
		stops = append(stops, proxy.Randomly(plan))
	}
	heal = func() {
		failures := 0
		for i, stop := range stops {
			stop()
			failures += len(r.proxies[i].Faults())
		}
		if failures == 0 {
			r.t.Error("no network has failed at all")
		}
	}
	r.t.Cleanup(heal)
	return heal
}

// revision is that of the first store.
func (r *rig) revision() int64 {
	r.t.Helper()
	answer, err := r.load.members[0].client.Get(r.t.Context(), root)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.Header.Revision
}

// wait lets the load run.
func (r *rig) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.t.Context().Done():
	}
}

// fault counts one.
func (r *rig) fault(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[name]++
}

// finish ends the load, waits until all watchers have seen its end, checks everything and
// says what was found. The faults must be over.
func (r *rig) finish() *history.Report {
	r.t.Helper()
	r.letRun()
	r.stopLoad()
	r.loading.Wait()
	end := r.end()
	r.waitWatchers(end)
	for i, m := range r.load.members { // what is left, as every store has it
		last := &client{load: r.load, number: -1 - i, member: m}
		if done := last.list(r.t.Context(), root, 0); done.Outcome != history.Done {
			r.t.Errorf("list at %s after the faults: %s", m.name, done.Err)
		}
	}
	r.stopWatch()
	r.watching.Wait()
	begun := time.Now()
	h := history.History{Operations: r.recorder.Operations(), Compacted: r.compacted}
	for _, w := range r.watchers {
		h.Watchers = append(h.Watchers, w.seen())
	}
	report := history.Check(h)
	r.t.Logf("%v (in %v)", report, time.Since(begun).Round(time.Millisecond))
	r.t.Logf("faults: %s", r.summary())
	r.t.Logf("slowest answers: %s", slowest(h.Operations))
	if errors := failures(h.Operations); errors != "" {
		r.t.Logf("answers that were errors: %s", errors)
	}
	for _, violation := range report.Violations {
		r.t.Errorf("VIOLATION: %s", violation)
	}
	if report.Undecided > 0 {
		r.t.Errorf("%d keys could not be decided", report.Undecided)
	}
	if report.Acknowledged < r.load.clients {
		r.t.Errorf("only %d writes were acknowledged: the load did not run", report.Acknowledged)
	}
	return report
}

// letRun gives the load more time on a machine that is busy: it has run once as many writes were
// acknowledged as there are clients.
func (r *rig) letRun() {
	for begun := time.Now(); time.Since(begun) < 2*recovery; r.wait(100 * time.Millisecond) {
		acknowledged := 0
		for _, o := range r.recorder.Operations() {
			if o.IsWrite() && o.Outcome == history.Done {
				acknowledged++
			}
		}
		if acknowledged >= r.load.clients {
			return
		}
	}
}

// recovery is how long a store may take, once the faults are over, until it takes writes and
// its watchers have everything.
const recovery = 30 * time.Second

// end writes a last key and returns its revision.
func (r *rig) end() int64 {
	r.t.Helper()
	last := &client{load: r.load, number: -1, member: r.load.members[0]}
	var done *history.Operation
	begun := time.Now()
	for try := 0; time.Since(begun) < recovery; try++ {
		name := fmt.Sprintf("end-%d", try)
		if done = last.create(r.t.Context(), root+name, name, false); done.Outcome == history.Done {
			if took := time.Since(begun); took > time.Second {
				r.t.Logf("the store took writes %v after the faults", took.Round(time.Millisecond))
			}
			return done.Revision
		}
		r.wait(50 * time.Millisecond)
	}
	r.t.Fatalf("the store takes no writes %v after the faults: %s", recovery, done.Err)
	return 0
}

func (r *rig) waitWatchers(revision int64) {
	r.t.Helper()
	begun := time.Now()
	for _, w := range r.watchers {
		for w.at() <= revision {
			if time.Since(begun) > recovery {
				r.t.Errorf("VIOLATION: watcher %s stays before revision %d, the last is %d", w.name, w.at(), revision)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if took := time.Since(begun); took > time.Second {
		r.t.Logf("the watchers had everything %v after the end of the load", took.Round(time.Millisecond))
	}
}

// summary is all faults in one line.
func (r *rig) summary() string {
	r.mu.Lock()
	all := maps.Clone(r.faults)
	r.mu.Unlock()
	for _, proxy := range r.proxies {
		for fault, n := range proxy.Faults() {
			all[string(fault)] += n
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, all[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// failures are the errors that clients got, the most frequent first.
func failures(operations []history.Operation) string {
	counts := map[string]int{}
	for _, o := range operations {
		if o.Err != "" {
			counts[o.Err]++
		}
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] })
	var parts []string
	for _, name := range names[:min(len(names), 8)] {
		parts = append(parts, fmt.Sprintf("%d × %q", counts[name], name))
	}
	return strings.Join(parts, ", ")
}

// slowest is the longest time that an answer took, by kind of request.
func slowest(operations []history.Operation) string {
	took := map[string]time.Duration{}
	for _, o := range operations {
		took[o.Kind.String()] = max(took[o.Kind.String()], o.Return-o.Call)
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(took)) {
		parts = append(parts, fmt.Sprintf("%s %v", kind, took[kind].Round(time.Millisecond)))
	}
	return strings.Join(parts, ", ")
}

func sqliteIn(dir string) string { return "sqlite://" + filepath.Join(dir, "koinon.db") }
