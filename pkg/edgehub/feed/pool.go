package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const (
	// FlushEvery is how often it is looked for what has changed and should not wait to be written to disk.
	FlushEvery = time.Second
	// sweepEvery is how often it is looked for what nobody wants any more.
	sweepEvery = time.Minute
	// DefaultIdle is how long a view is filled that nobody wants any more. What is in it stays, for the next one who wants it, or for when the cloud is away.
	DefaultIdle = 10 * time.Minute
	// DefaultFeeds is how many views are filled at most, and DefaultFeedsOf how many of them for one who is not of the node itself. Who wants more has those of his own forgotten
	// that he has not wanted for longest: what is kept for others has to stay.
	DefaultFeeds, DefaultFeedsOf = 4096, 512
	// DefaultViews is how many views are kept. Of more, those that nobody has wanted for longest are forgotten.
	DefaultViews = 8192
	// wakeWithin is how long feeds that are to try again may wait: all hubs of a site lose and find the API server together.
	wakeWithin = 2 * time.Second
)

// Asker is as whom upstream is asked for a view.
type Asker struct {
	Client Doer
	// Owner is who is counted for it; empty for the node itself.
	Owner string
}

// PoolConfig says how a Pool works. Cache, Disk and Asker are required.
type PoolConfig struct {
	Cache *view.Cache
	Disk  view.Disk
	// Asker returns as whom upstream is asked for the view that a request wants. It is called for each request that wants one, and what was returned for the first is used
	// until the feed ends: so it has to know of the others by itself. Neither it nor Ended may call the pool.
	Asker func(key view.Key, r *http.Request) Asker
	// Heard returns when what the disk had of a view was heard last, by a pool that ran before; zero if that is not known. It may wait, and is asked once. Nil knows nothing.
	Heard func(ctx context.Context, key view.Key) time.Time
	// Ended is told that a view is not filled any more, or not after all. It may be nil.
	Ended func(key view.Key)
	// Idle, Feeds, FeedsOf and Views are the constants' by default.
	Idle                  time.Duration
	Feeds, FeedsOf, Views int
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Pool runs a Feed for each view that somebody wants, and writes to disk what they bring.
type Pool struct {
	config PoolConfig
	// turns are those of lists; large and largeOfPods those of large ones.
	turns, large, largeOfPods turns
	looks                     Looks
	// failing: what has changed could not be written the last time.
	failing atomic.Bool

	mu sync.Mutex
	// What follows is guarded by mu.

	ctx   context.Context // of Run; nil before
	ended bool
	feeds map[view.Key]*filled
	// wanted is when somebody wanted a view last.
	wanted map[view.Key]time.Time
	// fromDisk are views that nobody has wanted since the disk was read.
	fromDisk map[view.Key]bool
	all      sync.WaitGroup
}

// filled is a view that has a feed, or that is read from a wider one, which has.
type filled struct {
	// Feed is that of the wider one, if there is one; wide is nil if there is not.
	*Feed
	wide *filled
	path string
	Asker
	end context.CancelFunc
	// users is how many want it now; guarded by the pool's mu.
	users int
	// shared: others than its owner have wanted it, too; guarded by the pool's mu.
	shared bool
	// local: the node itself has wanted it; guarded by the pool's mu.
	local bool
}

// NewPool returns a pool that has not begun.
func NewPool(config PoolConfig) (*Pool, error) {
	if config.Cache == nil || config.Disk == nil || config.Asker == nil {
		return nil, errors.New("a pool needs a cache, a disk and whoever is asked as")
	}
	if config.Ended == nil {
		config.Ended = func(view.Key) {}
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	config.Idle = orDefault(config.Idle, DefaultIdle)
	config.Feeds, config.FeedsOf, config.Views = orDefault(config.Feeds, DefaultFeeds), orDefault(config.FeedsOf, DefaultFeedsOf), orDefault(config.Views, DefaultViews)
	p := &Pool{
		config: config, turns: turns{all: lists, others: listsOfPods, each: listsOf}, large: turns{all: 1}, largeOfPods: turns{all: 1},
		feeds: map[view.Key]*filled{}, wanted: map[view.Key]time.Time{}, fromDisk: map[view.Key]bool{},
	}
	for _, v := range config.Cache.Views() {
		p.wanted[v.Key], p.fromDisk[v.Key] = time.Now(), true
	}
	return p, nil
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// Run fills views until ctx ends, and writes what there is then.
func (p *Pool) Run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	for _, f := range p.feeds {
		if f.wide == nil {
			p.run(f)
		}
	}
	p.mu.Unlock()
	flush, sweep := time.NewTicker(FlushEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer sweep.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-flush.C:
			p.flush()
		case <-sweep.C:
			p.sweep()
		}
	}
	p.mu.Lock()
	p.ended = true // nobody adds a feed after this
	p.mu.Unlock()
	p.all.Wait()
	p.write(p.config.Cache.Flush)
}

// flush writes what should not wait.
func (p *Pool) flush() {
	p.write(func(disk view.Disk) error { return p.config.Cache.FlushDue(disk, time.Now()) })
}

// write has something written. That it cannot is said when that begins, and when it ends: a disk may be full for days.
func (p *Pool) write(write func(view.Disk) error) {
	err := write(p.config.Disk)
	switch before := p.failing.Swap(err != nil); {
	case err != nil && !before:
		p.config.Logger.Error("Failed to keep views on disk: it is tried again each second", "err", err)
	case err == nil && before:
		p.config.Logger.Info("Kept views on disk again")
	}
}

// Failing reports whether what has changed cannot be written to disk.
func (p *Pool) Failing() bool { return p.failing.Load() }

// errEnded: it is not filled any more.
var errEnded = errors.New("it is not read any more")

// Find implements serving's Views. Of a resource that upstream has not any more there is no view, as long as it says so.
func (p *Pool) Find(key view.Key) (*view.View, *view.Filter, bool) {
	p.mu.Lock()
	f := p.feeds[key]
	gone := f != nil && f.isGone()
	p.mu.Unlock()
	if gone {
		return nil, nil, false
	}
	return p.config.Cache.Find(key)
}

// state is how a view is filled: settled is whether what it has is as new as can be had now, as upstream tells of changes, or cannot, and err is what hinders it.
func (p *Pool) state(f *filled) (settled bool, err error) {
	p.mu.Lock()
	feed := f.Feed // another one, once a wider view cannot be had any more
	p.mu.Unlock()
	status := feed.Status()
	return status.Connected || status.Err != nil, status.Err
}

// Want implements serving's Views. What upstream has refused is asked again. What of a wider view that the node itself wants is read from that.
func (p *Pool) Want(key view.Key, path string, r *http.Request) (state func() (settled bool, err error), done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asker := p.config.Asker(key, r)
	f := p.feeds[key]
	if f == nil {
		var err error
		if f, err = p.begin(key, path, &asker); err != nil {
			p.config.Ended(key)
			return func() (bool, error) { return true, err }, func() {}
		}
	}
	if f.wide != nil && p.config.Cache.IsGlobal(key) { // which was not known before the wider one was read
		p.alone(key, f)
	}
	if asker.Owner == "" && !f.local {
		p.ofNode(key, f)
	}
	f.shared = f.shared || f.Owner != asker.Owner
	f.users++
	p.wanted[key] = time.Now()
	f.again()
	return func() (bool, error) { return p.state(f) }, func() { p.done(key, f) }
}

// done notes that one does not want a view any more.
func (p *Pool) done(key view.Key, f *filled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.users--
	p.wanted[key] = time.Now()
}

// begin has a view filled. mu must be held.
func (p *Pool) begin(key view.Key, path string, asker *Asker) (*filled, error) {
	if p.ended {
		return nil, errEnded
	}
	if err := p.room(asker.Owner); err != nil {
		return nil, err
	}
	f := &filled{path: path, Asker: *asker, local: asker.Owner == "", end: func() {}}
	if f.wide = p.wider(key); f.wide != nil {
		f.Feed = f.wide.Feed
		f.wide.users++
		p.config.Cache.Forget(key) // what it has is older
	} else if err := p.fill(key, f, nil); err != nil {
		return nil, err
	}
	p.feeds[key] = f
	return f, nil
}

// fill has a view have a feed of its own. moved has those list, if it is not nil, who have read it from there until it is listed. mu must be held.
func (p *Pool) fill(key view.Key, f *filled, moved *view.View) error {
	var once sync.Once
	listed := func(context.Context) {
		p.flush()
		if moved != nil {
			once.Do(moved.Expire)
		}
	}
	feed, err := New(Config{
		Looks: &p.looks,
		View:  p.config.Cache.View(key), Path: f.path, Client: f.Client, Listed: listed, Refused: func() { p.refused(f) }, Logger: p.config.Logger,
		Turn:  func(ctx context.Context) (func(), error) { return p.turn(ctx, f) },
		Large: func(ctx context.Context) (func(), error) { return p.largeTurn(ctx, f) },
		Heard: p.heardBefore(key),
	})
	if err != nil {
		return err
	}
	f.Feed, f.wide = feed, nil
	if p.ctx != nil {
		p.run(f)
	}
	return nil
}

// ofNode has a view be one that the node itself wants: it does not wait where lists of pods do. mu must be held.
func (p *Pool) ofNode(key view.Key, f *filled) {
	f.local = true
	if _, complete := p.config.Cache.View(key).Version(); complete || f.wide != nil {
		return
	}
	f.end()
	if err := p.fill(key, f, nil); err != nil {
		p.config.Logger.Error("Failed to fill a view anew", "view", key.String(), "err", err) // it was filled before: this does not happen
	}
}

// heardBefore returns Heard of what the disk had of a view, nil if it is not that any more. mu must be held.
func (p *Pool) heardBefore(key view.Key) func(context.Context) time.Time {
	if !p.fromDisk[key] || p.config.Heard == nil {
		return nil
	}
	delete(p.fromDisk, key)
	return func(ctx context.Context) time.Time { return p.config.Heard(ctx, key) }
}

// Heard returns when each view was heard last that can be gone on from. Run must have returned.
func (p *Pool) Heard() map[view.Key]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[view.Key]time.Time{}
	for key, f := range p.feeds {
		if _, complete := p.config.Cache.View(key).Version(); f.wide == nil && complete && !f.mustList {
			all[key] = f.Status().Heard
		}
	}
	return all
}

// wider returns what is filled and has all that a key selects: what the node itself wants, and upstream does not refuse. One object is asked for by itself, as it is little, and not to depend on whether all may
// be read. So is what is known of it alone, or better. mu must be held.
func (p *Pool) wider(key view.Key) *filled {
	if key.IsOne() {
		return nil
	}
	narrow, known := p.config.Cache.View(key).Version()
	for of, f := range p.feeds {
		if f.wide != nil || f.Owner != "" || of == key || IsRefused(f.Status().Err) {
			continue
		}
		if _, ok := view.Narrow(of, key); !ok {
			continue
		}
		at, complete := p.config.Cache.View(of).Version()
		if complete && p.config.Cache.IsGlobal(key) { // what has no namespace is not read by one: upstream says so
			continue
		}
		if !known || complete && at >= narrow {
			return f
		}
	}
	return nil
}

// refused has those that are read from a view that upstream refuses have feeds of their own.
func (p *Pool) refused(wide *filled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	for key, f := range p.feeds {
		if f.wide == wide {
			p.alone(key, f)
		}
	}
}

// alone has a view that is read from a wider one have a feed of its own. mu must be held.
func (p *Pool) alone(key view.Key, f *filled) {
	wide := f.wide
	if err := p.fill(key, f, wide.config.View); err != nil {
		p.config.Logger.Error("Failed to fill a view by itself", "view", key.String(), "err", err) // it was filled by another: this does not happen
		return
	}
	wide.users--
}

// run has a feed run. mu must be held.
func (p *Pool) run(f *filled) {
	ctx, end := context.WithCancel(p.ctx)
	f.end = end
	p.all.Go(func() { f.Run(ctx) }) // ends with ctx
}

// room sees to it that there may be one more, for whoever owns it. mu must be held.
func (p *Pool) room(owner string) error {
	own := 0
	for _, f := range p.feeds {
		if f.Owner == owner {
			own++
		}
	}
	switch {
	case owner != "" && own >= p.config.FeedsOf && !p.endIdlest(func(f *filled) bool { return f.Owner == owner }):
		return fullError(fmt.Sprintf("%s reads %d different lists already, which is as many as one may", owner, own))
	case len(p.feeds) >= p.config.Feeds && !p.endIdlest(func(*filled) bool { return true }):
		return fullError(fmt.Sprintf("%d different lists are read already, which is as many as there may be", len(p.feeds)))
	}
	return nil
}

// fullError is why no view more is filled.
type fullError string

func (e fullError) Error() string { return string(e) }

// Full tells serving that it is no matter of time.
func (fullError) Full() bool { return true }

// endIdlest ends, of those that nobody wants now, the one that nobody has wanted for longest; false if there is none. mu must be held.
func (p *Pool) endIdlest(of func(*filled) bool) bool {
	var (
		idlest view.Key
		since  time.Time
		found  bool
	)
	for key, f := range p.feeds {
		if at := p.wanted[key]; f.users == 0 && of(f) && (!found || at.Before(since)) {
			idlest, since, found = key, at, true
		}
	}
	if found {
		forget := p.feeds[idlest].Owner != "" && !p.feeds[idlest].shared
		if p.end(idlest); forget {
			p.forget(idlest)
		}
	}
	return found
}

// end has a view be filled no more. What was never complete is forgotten. mu must be held.
func (p *Pool) end(key view.Key) {
	f := p.feeds[key]
	f.end()
	delete(p.feeds, key)
	if f.wide != nil {
		f.wide.users--
	}
	if _, complete := p.config.Cache.View(key).Version(); !complete {
		p.forget(key)
	}
	p.config.Ended(key)
}

// forget forgets a view that has no feed. mu must be held.
func (p *Pool) forget(key view.Key) {
	p.config.Cache.Forget(key)
	delete(p.wanted, key)
	delete(p.fromDisk, key)
}

// sweep ends feeds that nobody wants any more, and forgets views when there are too many.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, f := range p.feeds {
		if f.users == 0 && time.Since(p.wanted[key]) > p.config.Idle {
			p.end(key)
		}
	}
	for len(p.wanted) > p.config.Views && p.forgetOldest() {
	}
}

// ForgetAll has all views be unknown, and those filled anew that somebody wants now: they are of another cluster.
func (p *Pool) ForgetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, f := range p.feeds {
		if f.users == 0 {
			p.end(key)
		}
	}
	clear(p.fromDisk)
	for _, v := range p.config.Cache.Views() {
		if p.feeds[v.Key] == nil {
			p.forget(v.Key)
		} else {
			p.config.Cache.Forget(v.Key)
		}
	}
	for key, f := range p.feeds {
		f.end()
		if f.wide != nil {
			f.wide.users--
		}
		if err := p.fill(key, f, nil); err != nil {
			p.config.Logger.Error("Failed to fill a view anew", "view", key.String(), "err", err) // it was filled before: this does not happen
		}
	}
}

// forgetOldest forgets, of the views that have no feed, the one that nobody has wanted for longest; false if there is none. mu must be held.
func (p *Pool) forgetOldest() bool {
	var (
		oldest view.Key
		since  time.Time
		found  bool
	)
	for key, at := range p.wanted {
		if p.feeds[key] == nil && (!found || at.Before(since)) {
			oldest, since, found = key, at, true
		}
	}
	if found {
		p.forget(oldest)
	}
	return found
}

// Wake has those that upstream does not tell of changes try again soon, as it is back.
func (p *Pool) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.feeds {
		f.wake(wakeWithin)
	}
}

// Status returns how the feeds of views are.
func (p *Pool) Status() map[view.Key]Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[view.Key]Status, len(p.feeds))
	for key, f := range p.feeds {
		all[key] = f.Status()
	}
	return all
}
