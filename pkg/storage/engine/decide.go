package engine

import (
	"context"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/mvcc"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// kind says what a write does.
type kind int

const (
	// create puts a key that must not be there.
	create kind = iota
	// update puts a key that must be there, with a certain revision.
	update
	// put puts a key whatever is there.
	put
	// remove deletes a key that must have a certain revision, or any if that is 0.
	remove
)

// write is a request to change a key.
type write struct {
	ctx  context.Context
	kind kind
	key  string
	// value and lease are what create, update and put write.
	value []byte
	lease int64
	// revision is what update and remove compare with.
	revision int64
	// operation is the name of this write in the log.
	operation int64
	// committed is set, under the mutex of the state, when the write is found in the log.
	committed *outcome
	// done gets one outcome.
	done chan outcome
}

// outcome is what came of a write.
type outcome struct {
	// revision is that of the store after the write.
	revision int64
	ok       bool
	// version is what update, put and remove found: what was replaced or deleted, or what did
	// not compare equal; nil means that the key was not there.
	version *mvcc.Version
	// value is that of version, if valued is set; otherwise the log has it.
	value  []byte
	valued bool
	err    error
}

// plan is what a batch of writes comes to: the records to append, and for each write its
// outcome once they are appended.
type plan struct {
	records  []sqllog.Record
	outcomes []outcome
}

// pending is a key that an earlier write of the same batch has changed.
type pending struct {
	version *mvcc.Version
	value   []byte
}

// decide says what a batch of writes comes to if it is appended after tail. current returns
// the version of a key at tail, nil if it is not there.
func decide(current func(key string) *mvcc.Version, tail int64, writes []*write, now time.Time) plan {
	p := plan{outcomes: make([]outcome, len(writes))}
	changed := map[string]pending{}
	for i, w := range writes {
		found, again := changed[w.key]
		if !again {
			found.version = current(w.key)
		} else if found.version.Deleted {
			found.version = nil
		}
		p.outcomes[i] = outcome{version: found.version, value: found.value, valued: again}
		if !w.applies(found.version) {
			p.outcomes[i].revision = tail + int64(len(p.records))
			continue
		}
		p.outcomes[i].ok = true
		if w.kind == remove && found.version == nil {
			p.outcomes[i].revision = tail + int64(len(p.records))
			continue // any version is to be deleted, and there is none
		}
		record := w.record(tail+int64(len(p.records))+1, found.version, now)
		p.outcomes[i].revision = record.Revision
		p.records = append(p.records, record)
		changed[w.key] = pending{versionOf(record), record.Value}
	}
	return p
}

// applies says whether a write may be done to a version, nil meaning none.
func (w *write) applies(found *mvcc.Version) bool {
	switch w.kind {
	case create:
		return found == nil
	case update:
		return found != nil && found.Revision == w.revision
	case put:
		return true
	case remove:
		return w.revision == 0 || found != nil && found.Revision == w.revision
	}
	return false
}

// record is what a write that applies appends.
func (w *write) record(revision int64, before *mvcc.Version, now time.Time) sqllog.Record {
	r := sqllog.Record{
		Revision: revision, Key: w.key, Created: revision, Version: 1, Lease: w.lease, Operation: w.operation, Value: w.value,
	}
	if before != nil {
		r.Created, r.Version = before.Created, before.Number+1
	}
	if w.kind == remove {
		r.Deleted, r.Lease, r.Value = true, 0, nil
	}
	if r.Lease > 0 {
		r.Expires = now.Unix() + r.Lease
	}
	return r
}
