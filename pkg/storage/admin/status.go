package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// Status is how a datastore is. Its JSON form is an interface to other programs: fields are
// only ever added. What a kind of datastore does not have is left out.
type Status struct {
	Datastore string `json:"datastore"`
	// Kind is sqlite, mysql or etcd.
	Kind      string `json:"kind"`
	Reachable bool   `json:"reachable"`
	// Error is why it is not.
	Error string `json:"error,omitempty"`
	// Version is that of the database.
	Version string `json:"version,omitempty"`

	Revision int64 `json:"revision,omitempty"`
	// CompactRevision is the revision below which history is gone.
	CompactRevision int64 `json:"compactRevision,omitempty"`
	// SinceCompaction is how many revisions came after it, LastCompaction how long ago it
	// was raised.
	SinceCompaction int64    `json:"revisionsSinceCompaction"`
	LastCompaction  *Seconds `json:"lastCompactionSeconds,omitempty"`
	// Epoch counts how often the contents were replaced, from 1.
	Epoch int64 `json:"epoch,omitempty"`

	// Keys are the keys that there are, Rows the versions of them that the database has;
	// both are nil when they were not counted.
	Keys *int64 `json:"keys,omitempty"`
	Rows *int64 `json:"rows,omitempty"`
	// ReplacedRows are what a restore has replaced and nobody has deleted yet, StagedRows
	// what a restore has prepared that runs or was interrupted; RestoreUnfinished says that
	// there was one.
	ReplacedRows      int64 `json:"replacedRows,omitempty"`
	StagedRows        int64 `json:"stagedRows,omitempty"`
	RestoreUnfinished bool  `json:"restoreUnfinished,omitempty"`

	// SizeBytes is what it takes on disk, MaxPacketBytes the largest packet that it takes.
	SizeBytes      int64 `json:"sizeBytes,omitempty"`
	MaxPacketBytes int64 `json:"maxAllowedPacketBytes,omitempty"`
	// Users are the processes that use it.
	Users []User `json:"users,omitempty"`
	// Warnings are what should be changed, a sentence each.
	Warnings []string `json:"warnings,omitempty"`
}

// StatusOptions say what to look at.
type StatusOptions struct {
	// Quick leaves out what takes longer the more there is: the numbers of keys and rows.
	Quick bool
	// Progress may be nil.
	Progress *archive.Progress
}

// Inspect looks at a datastore and changes nothing. A Status comes with an error too, and
// says what was found until then.
func Inspect(ctx context.Context, store Store, options StatusOptions) (Status, error) {
	status := Status{Datastore: store.String(), Kind: string(store.datastore.Kind)}
	var err error
	if store.datastore.Kind == datastore.Etcd {
		err = status.etcd(ctx, store, options)
	} else {
		err = status.log(ctx, store, options)
	}
	if err != nil {
		status.Error = err.Error()
	}
	return status, err
}

func (s *Status) log(ctx context.Context, store Store, options StatusOptions) error {
	users, err := store.usersOfFile()
	if err != nil {
		return err
	}
	log, err := store.log(ctx, sqllog.ReadTables)
	s.RestoreUnfinished = errors.Is(err, sqllog.ErrUnfinished)
	s.Reachable = err == nil || s.RestoreUnfinished || errors.Is(err, sqllog.ErrNoTables) || errors.Is(err, sqllog.ErrKine)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	found, err := log.Inspect(ctx)
	if err != nil {
		return err
	}
	s.Version, s.SizeBytes, s.MaxPacketBytes, s.Warnings = found.Version, found.Size, found.MaxPacket, found.Warnings
	s.Revision, s.CompactRevision, s.Epoch = found.Mark.Tail, found.Mark.Compact, found.Mark.Epoch
	s.SinceCompaction, s.RestoreUnfinished = found.Mark.Tail-found.Mark.Compact, found.Staging
	if found.Compacted >= 0 {
		ago := seconds(found.Compacted)
		s.LastCompaction = &ago
	}
	shared, err := usersOfDatabase(ctx, log)
	if err != nil {
		return err
	}
	s.Users = append(users, shared...)
	s.warnOfCompaction(found)
	if options.Quick {
		return nil
	}
	return s.count(ctx, log, options.Progress)
}

// lateCompaction is after how long an API server should have compacted, which it does every
// five minutes, and manyRevisions how many revisions may lie there by then.
const (
	lateCompaction = 20 * time.Minute
	manyRevisions  = 10_000
)

func (s *Status) warnOfCompaction(found sqllog.Inspection) {
	if len(s.Users) == 0 || s.SinceCompaction < manyRevisions || found.Compacted >= 0 && found.Compacted < lateCompaction {
		return
	}
	s.Warnings = append(s.Warnings, fmt.Sprintf("%d revisions are not compacted, which API servers do every five minutes: look into their logs, or run koinon datastore compact", s.SinceCompaction))
}

func (s *Status) count(ctx context.Context, log *sqllog.Log, progress *archive.Progress) error {
	progress.Begin("Counting keys", 0)
	rows := 0
	snapshot, err := log.Snapshot(ctx, func(n int) {
		progress.Add(int64(n-rows), 0)
		rows = n
	})
	if err != nil {
		return err
	}
	defer snapshot.Close()
	keys, all := int64(snapshot.Len()), int64(rows)
	s.Keys, s.Rows = &keys, &all
	s.ReplacedRows, s.StagedRows, err = log.Rows(ctx)
	return err
}

func (s *Status) etcd(ctx context.Context, store Store, options StatusOptions) error {
	client, err := store.etcd(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	s.Reachable = true
	unfinished, err := client.Get(ctx, datastore.UnfinishedKey)
	if err != nil {
		return fmt.Errorf("read from the %s: %w", store, err)
	}
	s.Revision = unfinished.Header.Revision
	if s.RestoreUnfinished = len(unfinished.Kvs) > 0; s.RestoreUnfinished {
		s.Warnings = append(s.Warnings, "it has only a part of what was to be copied into it: run the command again that did it")
	}
	for _, endpoint := range client.Endpoints() {
		s.etcdMember(ctx, client, endpoint)
	}
	if s.CompactRevision, err = compactRevision(ctx, client); err != nil {
		return fmt.Errorf("read from the %s: %w", store, err)
	}
	s.SinceCompaction = s.Revision - s.CompactRevision
	if options.Quick {
		return nil
	}
	all, err := client.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("read from the %s: %w", store, err)
	}
	s.Keys = &all.Count
	return nil
}

// memberTimeout is how long one member of an etcd may take to answer.
const memberTimeout = 5 * time.Second

// etcdMember adds what one member of the cluster says.
func (s *Status) etcdMember(ctx context.Context, client *clientv3.Client, endpoint string) {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	member, err := client.Status(ctx, endpoint)
	if err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the member %s does not answer", endpoint))
		return
	}
	s.Version = "etcd " + member.Version
	s.SizeBytes = max(s.SizeBytes, member.DbSize)
	for _, problem := range member.Errors {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the member %s reports %s", endpoint, problem))
	}
}

// compactRevision asks etcd for the revision below which history is gone: it only says so to
// a watcher that comes too late.
func compactRevision(ctx context.Context, client *clientv3.Client) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	for answer := range client.Watch(ctx, datastore.UnfinishedKey, clientv3.WithRev(1), clientv3.WithCreatedNotify()) {
		if answer.CompactRevision != 0 || answer.Err() == nil && !answer.Created {
			return answer.CompactRevision, nil
		}
		if err := answer.Err(); err != nil {
			return 0, err
		}
		if answer.Created {
			// Nothing is compacted, unless that is said at once.
			time.AfterFunc(200*time.Millisecond, cancel)
		}
	}
	return 0, nil
}
