package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// DefaultBump is by how much revisions go on above those of a backup: clients have seen the
// ones that were given out after it was made. It is what etcd's documentation recommends, and
// lasts for eleven days at a thousand writes a second.
const DefaultBump = 1_000_000_000

// RestoreOptions say how to restore a backup.
type RestoreOptions struct {
	// Bump is the distance between the last revision that is known and the next.
	Bump int64
	// Force replaces what is there.
	Force bool
	// Begin is called when the backup is known to be one, before the datastore is touched. It
	// may be nil.
	Begin func() error
	// In is what "-" stands for.
	In io.Reader
	// Warn is told what the user should know, a sentence each.
	Warn func(string)
	// Progress may be nil.
	Progress *archive.Progress
}

// Restored is what came of a restore or a migration.
type Restored struct {
	// Keys were copied, of the revision Revision of the source.
	Keys, Revision int64
	// From names the source.
	From string
	// Tail is the revision that the datastore has now; for etcd, which gives its own, 0.
	Tail int64
	// Written is how many revisions were written to the source of a migration meanwhile.
	Written int64
}

// Restore makes the contents of a backup those of a datastore. One that is not empty is left
// as it is without Force.
func Restore(ctx context.Context, store Store, path string, options RestoreOptions) (Restored, error) {
	if err := checkPath(path); err != nil {
		return Restored{}, err
	}
	source, err := openBackup(ctx, path, options)
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = source.Close() }()
	if err := begin(options.Begin); err != nil {
		return Restored{}, err
	}
	if store.datastore.Kind == datastore.Etcd {
		return store.fillEtcd(ctx, source, options)
	}
	tables := sqllog.MakeTablesToFill
	if options.Force {
		tables = sqllog.MakeTablesBesideKine
	}
	users, err := store.usersOfFile()
	if err != nil {
		return Restored{}, err
	}
	log, err := store.log(ctx, tables)
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = log.Close() }()
	return replace(ctx, log, source, users, options)
}

// begin calls what may be nil.
func begin(call func() error) error {
	if call == nil {
		return nil
	}
	return call()
}

func openBackup(ctx context.Context, path string, options RestoreOptions) (archive.Source, error) {
	if path == Stdio {
		return archive.FromReader(ctx, options.In, "from standard input", options.Progress)
	}
	return archive.FromFile(ctx, path, options.Progress)
}

// replace makes the contents of a source those of a log.
func replace(ctx context.Context, log *sqllog.Log, source archive.Source, users []User, options RestoreOptions) (Restored, error) {
	empty, err := log.Empty(ctx)
	if err != nil {
		return Restored{}, err
	}
	replacing := sqllog.ReplaceOptions{Revision: source.Revision(), Bump: options.Bump, Renumber: !empty}
	if !empty {
		if replacing.Rest, err = mayReplace(ctx, log, source, users, options); err != nil {
			return Restored{}, err
		}
	}
	sink, err := archive.ToLog(ctx, log, replacing, options.Progress)
	if err != nil {
		return Restored{}, explain(err)
	}
	defer func() { _ = sink.Close() }()
	if err := archive.Copy(ctx, source, sink, options.Progress); err != nil {
		return Restored{}, explain(err)
	}
	written, err := unchanged(ctx, source, options)
	if err != nil {
		return Restored{}, err
	}
	if err := sink.Commit(ctx); err != nil {
		return Restored{}, explain(err)
	}
	restored := Restored{Keys: source.Len(), Revision: source.Revision(), From: source.String(), Written: written}
	if mark, err := log.Mark(ctx); err == nil { // it is done, whatever this says
		restored.Tail = mark.Tail
	}
	cleanUp(ctx, log, options.Progress)
	return restored, nil
}

// mayReplace says what is lost, or that it must not be, and whether servers use the log.
func mayReplace(ctx context.Context, log *sqllog.Log, source archive.Source, users []User, options RestoreOptions) (inUse bool, err error) {
	snapshot, err := log.Snapshot(ctx, nil)
	if err != nil {
		return false, err
	}
	defer snapshot.Close()
	peers, err := usersOfDatabase(ctx, log)
	if err != nil {
		return false, err
	}
	holds := fmt.Sprintf("the %s holds %d keys at revision %d", log, snapshot.Len(), snapshot.Mark().Tail)
	if users = append(users, peers...); len(users) > 0 {
		holds += " and is in use by " + list(users)
	}
	if !options.Force {
		return false, fmt.Errorf("%s: with --force all of that is replaced by the %d keys of the %s and cannot be had back, so make a backup first", holds, source.Len(), source)
	}
	warning := holds + ", all of which is now replaced"
	if len(users) > 0 {
		warning += "; servers notice when it is done, and their clients list again"
	}
	options.Warn(warning)
	return len(users) > 0, nil
}

// unchanged makes sure that nothing was written to the source since it was read.
func unchanged(ctx context.Context, source archive.Source, options RestoreOptions) (int64, error) {
	written, err := source.Since(ctx)
	if err != nil || written == 0 {
		return 0, err
	}
	what := fmt.Sprintf("%d revisions were written to the %s while it was copied, and are not in the copy", written, source)
	if written < 0 {
		what = fmt.Sprintf("the contents of the %s were replaced while it was copied", source)
	}
	if !options.Force {
		return 0, fmt.Errorf("%s: stop the servers that use it and run it again, or give --force to do without those writes", what)
	}
	options.Warn(what)
	return written, nil
}

// explain says what to do about a replacement that could not go on.
func explain(err error) error {
	switch {
	case errors.Is(err, sqllog.ErrNotEmpty):
		return fmt.Errorf("%w any more: a server has begun to use it, so nothing was changed; stop it and run it again", err)
	case errors.Is(err, sqllog.ErrOvertaken):
		return fmt.Errorf("%w: nothing was changed by this one", err)
	case errors.Is(err, sqllog.ErrReplaced), errors.Is(err, sqllog.ErrOverrun), errors.Is(err, sqllog.ErrIncomplete):
		return fmt.Errorf("%w: nothing was changed; run it again", err)
	}
	return err
}

// deleteAtOnce is how many rows one statement deletes.
const deleteAtOnce = 1000

// cleanUp deletes what was replaced. If that fails or is interrupted, servers do the rest.
func cleanUp(ctx context.Context, log *sqllog.Log, progress *archive.Progress) {
	progress.Begin("Removing what was replaced", 0)
	for {
		n, err := log.DeleteBelowBase(ctx, deleteAtOnce)
		if err != nil || n == 0 {
			break
		}
		progress.Add(n, 0)
	}
	_ = shrink(ctx, log)
}

// shrink gives space back to the file system as long as there is some.
func shrink(ctx context.Context, log *sqllog.Log) error {
	for {
		begun := time.Now()
		more, err := log.Shrink(ctx)
		if err != nil || !more {
			return err
		}
		if err := rest(ctx, begun); err != nil {
			return err
		}
	}
}

// fillEtcd copies a source into an etcd.
func (s Store) fillEtcd(ctx context.Context, source archive.Source, options RestoreOptions) (Restored, error) {
	client, err := s.etcd(ctx)
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = client.Close() }()
	sink, err := archive.ToEtcd(ctx, client, s.String(), source.String(), options.Progress)
	if errors.Is(err, archive.ErrNotEmpty) {
		return Restored{}, fmt.Errorf("%w; what is in an etcd cannot be replaced at once, so use one that is empty", err)
	}
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = sink.Close() }()
	if err := archive.Copy(ctx, source, sink, options.Progress); err != nil {
		return Restored{}, err
	}
	written, err := unchanged(ctx, source, options)
	if err != nil {
		return Restored{}, err
	}
	if err := sink.Commit(ctx); err != nil {
		return Restored{}, err
	}
	return Restored{Keys: source.Len(), Revision: source.Revision(), From: source.String(), Written: written}, nil
}
