package admin

import (
	"context"
	"fmt"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// MigrateOptions say how to move from one datastore to another.
type MigrateOptions struct {
	// Force does without writes to the source that come too late, and replaces what is in
	// the target.
	Force bool
	// Begin is called when the source is open, before the target is touched. It may be nil.
	Begin func() error
	// Warn is told what the user should know, a sentence each.
	Warn func(string)
	// Progress may be nil.
	Progress *archive.Progress
}

// Migrate copies everything from one datastore into another, which must be empty. Keys keep
// their revisions, so that clients notice nothing, except in etcd, which gives its own.
func Migrate(ctx context.Context, from, to Store, options MigrateOptions) (Restored, error) {
	same := from.datastore.Same(to.datastore)
	if same && !from.kine {
		return Restored{}, fmt.Errorf("the source and the target are both the %s", to)
	}
	// Before this process opens the files.
	users, err := from.usersOfFile()
	if err != nil {
		return Restored{}, err
	}
	if err := options.mayBeUsed("source", from, users); err != nil {
		return Restored{}, err
	}
	if !same {
		if users, err = to.usersOfFile(); err == nil {
			err = options.mayBeUsed("target", to, users)
		}
		if err != nil {
			return Restored{}, err
		}
	}
	if same {
		return options.fromKine(ctx, from, to)
	}
	source, close, err := options.source(ctx, from)
	if err != nil {
		return Restored{}, err
	}
	defer close()
	if err := begin(options.Begin); err != nil {
		return Restored{}, err
	}
	if to.datastore.Kind == datastore.Etcd {
		return to.fillEtcd(ctx, source, options.restore()) // nobody knows who uses an etcd
	}
	return options.toLog(ctx, source, from, to)
}

// mayBeUsed refuses a datastore that is in use.
func (o MigrateOptions) mayBeUsed(role string, store Store, users []User) error {
	if len(users) == 0 {
		return nil
	}
	means := "what is written to it from now on is lost"
	if role == "target" {
		means = "what they have written is replaced"
	}
	if o.Force {
		o.Warn(fmt.Sprintf("the %s, the %s, is in use by %s: %s", role, store, list(users), means))
		return nil
	}
	return fmt.Errorf("the %s, the %s, is in use by %s: stop all servers first (one that was killed is forgotten after a minute), or give --force, and %s", role, store, list(users), means)
}

// source opens the source, if nobody uses it.
func (o MigrateOptions) source(ctx context.Context, from Store) (archive.Source, func(), error) {
	if from.datastore.Kind == datastore.MySQL && !from.kine {
		log, err := from.log(ctx, sqllog.ReadTables)
		if err != nil {
			return nil, nil, err
		}
		users, err := usersOfDatabase(ctx, log)
		if err == nil {
			err = o.mayBeUsed("source", from, users)
		}
		_ = log.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	return from.source(ctx, o.Progress)
}

// toLog copies into a database. Only what is from Kine may come to where Kine's data is.
func (o MigrateOptions) toLog(ctx context.Context, source archive.Source, from, to Store) (Restored, error) {
	tables := sqllog.MakeTablesToFill
	if from.kine || o.Force {
		tables = sqllog.MakeTablesBesideKine
	}
	log, err := to.log(ctx, tables)
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = log.Close() }()
	return o.replace(ctx, log, source, to)
}

func (o MigrateOptions) replace(ctx context.Context, log *sqllog.Log, source archive.Source, to Store) (Restored, error) {
	users, err := usersOfDatabase(ctx, log)
	if err == nil {
		err = o.mayBeUsed("target", to, users)
	}
	if err != nil {
		return Restored{}, err
	}
	return replace(ctx, log, source, nil, o.restore())
}

// restore are the options for the second half, which is that of a restore.
func (o MigrateOptions) restore() RestoreOptions {
	return RestoreOptions{Force: o.Force, Warn: o.Warn, Progress: o.Progress}
}

// fromKine copies what Kine has left in a database into our tables in the same one, which is
// opened once.
func (o MigrateOptions) fromKine(ctx context.Context, from, to Store) (Restored, error) {
	log, err := to.log(ctx, sqllog.ForeignTables)
	if err != nil {
		return Restored{}, err
	}
	_, err = log.KineTail(ctx) // before tables are made
	_ = log.Close()
	if err == nil {
		err = begin(o.Begin)
	}
	if err != nil {
		return Restored{}, err
	}
	if log, err = to.log(ctx, sqllog.MakeTablesBesideKine); err != nil {
		return Restored{}, err
	}
	defer func() { _ = log.Close() }()
	source, err := from.logSource(ctx, log, o.Progress)
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = source.Close() }()
	return o.replace(ctx, log, source, to)
}
