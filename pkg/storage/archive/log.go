package archive

import (
	"context"
	"fmt"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// logSource is the contents of a log.
type logSource struct {
	log      *sqllog.Log
	kind     string
	snapshot *sqllog.Snapshot
	// tail is the last revision now.
	tail func(ctx context.Context) (sqllog.Mark, error)
}

// FromLog returns the contents of a log as they are now; kind is what to call it in a
// header. The log is not closed.
func FromLog(ctx context.Context, log *sqllog.Log, kind string, progress *Progress) (Source, error) {
	progress.Begin(fmt.Sprintf("Reading the keys of the %s", log), 0)
	snapshot, err := log.Snapshot(ctx, counted(progress))
	if err != nil {
		return nil, err
	}
	return &logSource{log: log, kind: kind, snapshot: snapshot, tail: log.Mark}, nil
}

// FromKine returns what Kine's own drivers have in a database. Their versions are not
// counted: a key that was ever changed has the version 2.
func FromKine(ctx context.Context, log *sqllog.Log, progress *Progress) (Source, error) {
	progress.Begin(fmt.Sprintf("Reading the keys of Kine in the %s", log), 0)
	snapshot, err := log.SnapshotKine(ctx, counted(progress))
	if err != nil {
		return nil, err
	}
	tail := func(ctx context.Context) (sqllog.Mark, error) {
		tail, err := log.KineTail(ctx)
		return sqllog.Mark{Tail: tail}, err
	}
	return &logSource{log: log, kind: "kine", snapshot: snapshot, tail: tail}, nil
}

// counted makes of a number of rows so far the rows that are new.
func counted(progress *Progress) func(int) {
	before := 0
	return func(rows int) {
		progress.Add(int64(rows-before), 0)
		before = rows
	}
}

// String implements Source.
func (s *logSource) String() string { return s.log.String() }

// Kind implements Source.
func (s *logSource) Kind() string { return s.kind }

// Revision implements Source.
func (s *logSource) Revision() int64 { return s.snapshot.Mark().Tail }

// Len implements Source.
func (s *logSource) Len() int64 { return int64(s.snapshot.Len()) }

// Each implements Source.
func (s *logSource) Each(ctx context.Context, each func(KeyValue) error) error {
	return s.snapshot.Each(ctx, func(r sqllog.Record) error {
		return each(KeyValue{Key: []byte(r.Key), Value: r.Value, Created: r.Created, Revision: r.Revision, Version: r.Version, Lease: r.Lease})
	})
}

// Since implements Source.
func (s *logSource) Since(ctx context.Context) (int64, error) {
	mark, err := s.tail(ctx)
	if err != nil {
		return 0, err
	}
	if mark.Epoch != s.snapshot.Mark().Epoch {
		return -1, nil
	}
	return mark.Tail - s.snapshot.Mark().Tail, nil
}

// Close implements Source.
func (s *logSource) Close() error {
	s.snapshot.Close()
	return nil
}

// logSink replaces the contents of a log.
type logSink struct {
	log         *sqllog.Log
	replacement *sqllog.Replacement
	progress    *Progress
}

// ToLog returns a sink that replaces the contents of a log, which is not closed.
func ToLog(ctx context.Context, log *sqllog.Log, options sqllog.ReplaceOptions, progress *Progress) (Sink, error) {
	progress.Begin("Removing what was left behind when a restore was interrupted", 0)
	replacement, err := log.Replace(ctx, options, func(removed int64) { progress.Add(removed, 0) })
	if err != nil {
		return nil, err
	}
	return &logSink{log: log, replacement: replacement, progress: progress}, nil
}

// String implements Sink.
func (s *logSink) String() string { return s.log.String() }

// Add implements Sink.
func (s *logSink) Add(ctx context.Context, kv KeyValue) error {
	return s.replacement.Add(ctx, sqllog.Record{
		Revision: kv.Revision, Key: string(kv.Key), Created: kv.Created, Version: kv.Version, Lease: kv.Lease, Value: kv.Value,
	})
}

// Commit implements Sink.
func (s *logSink) Commit(ctx context.Context) error {
	s.progress.Begin("Checking what was prepared, and putting it in its place", 0)
	_, err := s.replacement.Commit(ctx)
	return err
}

// Close implements Sink. What was prepared and not committed harms nobody, and is removed by
// the next one.
func (s *logSink) Close() error { return nil }
