package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/k3s-io/kine/pkg/server"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// Log is the log under an engine; *sqllog.Log says what its methods do. It is one interface,
// and not several small ones, because everything in it is the same log.
type Log interface {
	fmt.Stringer
	Mark(ctx context.Context) (sqllog.Mark, error)
	Append(ctx context.Context, mark sqllog.Mark, records []sqllog.Record, rebase sqllog.Rebase) error
	Follow(ctx context.Context, known, mark sqllog.Mark, limit, limitBytes int) ([]sqllog.Record, error)
	Read(ctx context.Context, after, upTo int64, limit, limitBytes int) ([]sqllog.Record, error)
	Scan(ctx context.Context, mark sqllog.Mark, each func(sqllog.Record)) error
	Values(ctx context.Context, revisions []int64, each func(revision int64, value []byte)) error
	Compact(ctx context.Context, revision int64) (sqllog.Mark, error)
	Delete(ctx context.Context, epoch int64, revisions []int64) error
	DeleteBelowBase(ctx context.Context, limit int) (int64, error)
	Renew(ctx context.Context, revision int64) error
	Probe(ctx context.Context) error
	Shrink(ctx context.Context) (more bool, err error)
	Size(ctx context.Context) (int64, error)
	BatchBytes() int
}

// Options tune an engine; zero values mean the defaults.
type Options struct {
	// Store is what clients are told that this is, such as "mysql datastore", without where:
	// "datastore".
	Store string
	// Patience is how long requests wait for a database that does not answer, before they
	// fail: 5 s.
	Patience time.Duration
	// Poll is how often a quiet log is asked for other processes' writes: every second.
	Poll time.Duration
	// CacheBytes bounds the values that are kept in memory: 16 MiB. API servers have all
	// objects in their watch caches already, and come for a single value: see BenchmarkValues
	// for what it then saves.
	CacheBytes int
	// EventBytes bounds the recent events that are kept in memory for watchers: 16 MiB.
	EventBytes int
	// Notices tell of other processes' writes; nil if there are no other processes.
	Notices Notices
}

const (
	defaultStore      = "datastore"
	defaultPatience   = 5 * time.Second
	defaultPoll       = time.Second
	defaultCacheBytes = 16 << 20
	defaultEventBytes = 16 << 20
)

// Engine is an open store. Make one with Open.
type Engine struct {
	log     Log
	options Options
	logger  klog.Logger

	state   *state
	values  *values
	sync    *syncer
	health  *health
	leases  *leases
	metrics *metrics

	writes chan *write
	// operation numbers the writes of this process. It begins at random, so that no two
	// processes use the same numbers.
	operation      atomic.Int64
	firstOperation int64
	// foreign counts the records that other processes have written.
	foreign atomic.Int64
	// lostSince is when the log was first found to have lost revisions, in nanoseconds
	// since began; 0 means that it has not.
	lostSince atomic.Int64
	began     time.Time
	// reloading has room for the one who reads everything anew.
	reloading chan struct{}
	// compacted has revisions that can be deleted.
	compacted *garbage

	// ctx ends with Close; running counts the goroutines.
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ server.Backend = (*Engine)(nil)

// Open reads the state from the log and starts the engine. The context is for that alone.
func Open(ctx context.Context, log Log, options Options) (*Engine, error) {
	options.setDefaults()
	lifetime, stop := context.WithCancel(context.WithoutCancel(ctx))
	e := &Engine{
		log: log, options: options, logger: klog.FromContext(ctx).WithName("store"),
		writes: make(chan *write, maxBatchWrites), ctx: lifetime, stop: stop,
		began: time.Now(), reloading: make(chan struct{}, 1),
	}
	e.firstOperation = rand.Int64N(1 << 62)
	e.operation.Store(e.firstOperation)
	e.values = newValues(log, options.CacheBytes)
	e.leases = newLeases()
	e.compacted = newGarbage()
	e.state = newState(e.values, e.leases, options.EventBytes)
	e.health = newHealth(log.String(), options.Store)
	e.sync = newSyncer(e)
	e.metrics = newMetrics(e)
	if err := e.load(ctx); err != nil {
		stop()
		return nil, err
	}
	for _, run := range []func(context.Context){e.runWriter, e.runPoll, e.runProbe, e.runGarbage, e.runLeases, e.runSize} {
		e.running.Go(func() { run(lifetime) }) // Close ends it
	}
	return e, nil
}

func (o *Options) setDefaults() {
	set(&o.Store, defaultStore)
	set(&o.Patience, defaultPatience)
	set(&o.Poll, defaultPoll)
	set(&o.CacheBytes, defaultCacheBytes)
	set(&o.EventBytes, defaultEventBytes)
}

func set[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Start implements server.Backend. Open has done it.
func (e *Engine) Start(context.Context) error { return nil }

// Close stops the engine, but not the log. Requests that are waiting fail.
func (e *Engine) Close() {
	e.stop()
	e.running.Wait()
}

// Health says why the store cannot be used: nil means that it can.
func (e *Engine) Health() error { return e.health.Err() }

// Readable is Health for reads alone, which go on while the database refuses writes.
func (e *Engine) Readable() error { return e.health.readError() }

// DbSize implements server.Backend.
func (e *Engine) DbSize(ctx context.Context) (int64, error) {
	size, err := e.log.Size(ctx)
	if err != nil {
		return 0, e.health.cannotRead(err)
	}
	return size, nil
}

// CurrentRevision implements server.Backend. It is what this process knows: whoever must
// know more has made a linearizable read before.
func (e *Engine) CurrentRevision(context.Context) (int64, error) {
	return e.state.index().Revision(), nil
}

// CompactRevision is the revision below which this process knows that nothing can be read.
func (e *Engine) CompactRevision() int64 { return e.state.mark().Compact }

// ours says whether a record was written by this process.
func (e *Engine) ours(operation int64) bool {
	return operation > e.firstOperation && operation <= e.operation.Load()
}
