package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/mvcc"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// DefaultKeep is how many revisions a compaction leaves, so that those who watch or read page
// by page at this moment do not have to begin anew.
const DefaultKeep = 1000

// CompactOptions say how to compact.
type CompactOptions struct {
	// Keep is how many of the latest revisions stay.
	Keep int64
	// DiscardStaged deletes what a restore has prepared that was interrupted. One that runs
	// fails.
	DiscardStaged bool
	// Warn is told what the user should know, a sentence each.
	Warn func(string)
	// Progress may be nil.
	Progress *archive.Progress
}

// Compacted is what came of a compaction.
type Compacted struct {
	// Revision is the compact revision, Raised says that it is a new one.
	Revision int64
	Raised   bool
	// Deleted counts rows. SizeBefore and SizeAfter are in bytes; of an etcd, none of them is
	// known.
	Deleted               int64
	SizeBefore, SizeAfter int64
}

// Compact forgets history and deletes what is of no use any more.
func Compact(ctx context.Context, store Store, options CompactOptions) (Compacted, error) {
	if options.Keep < 0 {
		return Compacted{}, fmt.Errorf("--keep is %d: it must be 0 or more", options.Keep)
	}
	if store.datastore.Kind == datastore.Etcd {
		return store.compactEtcd(ctx, options)
	}
	users, err := store.usersOfFile()
	if err != nil {
		return Compacted{}, err
	}
	log, err := store.log(ctx, sqllog.NeedTables)
	if options.DiscardStaged && errors.Is(err, sqllog.ErrUnfinished) {
		log, err = store.log(ctx, sqllog.MakeTablesToFill) // what was interrupted has not come so far
	}
	if err != nil {
		return Compacted{}, err
	}
	defer func() { _ = log.Close() }()
	c := compaction{log: log, options: options}
	if c.done.SizeBefore, err = log.Size(ctx); err != nil {
		return c.done, err
	}
	for _, step := range []func(context.Context) error{c.raise, c.deleteHistory, c.deleteReplaced, c.discardStaged} {
		if err := step(ctx); err != nil {
			return c.done, err
		}
	}
	if err := c.giveBack(ctx, len(users) > 0); err != nil {
		return c.done, err
	}
	c.done.SizeAfter, err = log.Size(ctx)
	return c.done, err
}

// compaction is one that is under way.
type compaction struct {
	log     *sqllog.Log
	options CompactOptions
	mark    sqllog.Mark
	done    Compacted
}

// raise makes history unreadable.
func (c *compaction) raise(ctx context.Context) error {
	before, err := c.log.Mark(ctx)
	if err != nil {
		return err
	}
	c.mark = before
	if revision := before.Tail - c.options.Keep; revision > before.Compact {
		if c.mark, err = c.log.Compact(ctx, revision); err != nil {
			return err
		}
	}
	c.done.Revision, c.done.Raised = c.mark.Compact, c.mark.Compact > before.Compact
	return nil
}

// deleteHistory deletes what nobody can read any more. It begins with all rows, and so finds
// what others have left behind as well.
func (c *compaction) deleteHistory(ctx context.Context) error {
	c.options.Progress.Begin("Looking for versions that nobody can read any more", 0)
	index := mvcc.New(0, 0)
	err := c.log.Scan(ctx, c.mark, func(r sqllog.Record) {
		c.options.Progress.Add(1, 0)
		index.Apply([]*mvcc.Version{{Key: r.Key, Revision: r.Revision, Created: r.Created, Number: r.Version, Deleted: r.Deleted}})
	})
	if err != nil {
		return err
	}
	// Rows of another epoch are not what these were; their revisions are not these either.
	gone := index.Compact(c.mark.Compact)
	c.options.Progress.Begin("Deleting versions that nobody can read any more", int64(len(gone)))
	for len(gone) > 0 {
		n := min(deleteAtOnce, len(gone))
		begun := time.Now()
		if err := c.log.Delete(ctx, c.mark.Epoch, gone[:n]); err != nil {
			return err
		}
		c.deleted(int64(n))
		gone = gone[n:]
		if err := rest(ctx, begun); err != nil {
			return err
		}
	}
	return nil
}

func (c *compaction) deleted(n int64) {
	c.done.Deleted += n
	c.options.Progress.Add(n, 0)
}

// rest waits as long as something took that was begun at a time, so that servers have the
// database for themselves at least half of the time.
func rest(ctx context.Context, begun time.Time) error {
	select {
	case <-time.After(time.Since(begun)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *compaction) deleteReplaced(ctx context.Context) error {
	c.options.Progress.Begin("Deleting what a restore has replaced", 0)
	for {
		begun := time.Now()
		n, err := c.log.DeleteBelowBase(ctx, deleteAtOnce)
		if err != nil || n == 0 {
			return err
		}
		c.deleted(n)
		if err := rest(ctx, begun); err != nil {
			return err
		}
	}
}

func (c *compaction) discardStaged(ctx context.Context) error {
	if !c.options.DiscardStaged {
		return nil
	}
	c.options.Progress.Begin("Deleting what an interrupted restore has prepared", 0)
	return c.log.DiscardStaged(ctx, c.deleted)
}

// giveBack gives space back to the file system.
func (c *compaction) giveBack(ctx context.Context, inUse bool) error {
	c.options.Progress.Begin("Giving space back", 0)
	if err := shrink(ctx, c.log); err != nil {
		return err
	}
	shrinks, err := c.log.Shrinks(ctx)
	if err != nil || shrinks {
		return err
	}
	if inUse {
		c.options.Warn(fmt.Sprintf("the %s was made by another program, in a way that gives no space back while it is in use: compact it once more when no server uses it", c.log))
		return nil
	}
	c.options.Progress.Begin("Rewriting the file", 0)
	return c.log.Rewrite(ctx)
}

func (s Store) compactEtcd(ctx context.Context, options CompactOptions) (Compacted, error) {
	client, err := s.etcd(ctx)
	if err != nil {
		return Compacted{}, err
	}
	defer func() { _ = client.Close() }()
	now, err := client.Get(ctx, datastore.UnfinishedKey)
	if err != nil {
		return Compacted{}, fmt.Errorf("read from the %s: %w", s, err)
	}
	options.Progress.Begin("Waiting for etcd to compact", 0)
	done := Compacted{Revision: now.Header.Revision - options.Keep}
	if done.Revision <= 0 {
		return Compacted{}, nil
	}
	_, err = client.Compact(ctx, done.Revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return Compacted{}, fmt.Errorf("compact the %s: %w", s, err)
	}
	done.Raised = err == nil
	options.Warn("etcd gives space back to the file system only when it is defragmented, which stops a member meanwhile: run etcdctl defrag for one after the other")
	return done, nil
}
