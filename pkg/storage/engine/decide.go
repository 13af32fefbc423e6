package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/koinon-io/koinon/pkg/storage/mvcc"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// kind says what a write does.
type kind int

const (
	// put puts a value under a key.
	put kind = iota
	// remove deletes a key; one that is not there stays as it is.
	remove
)

// condition compares a number of a key's version with another one, in the terms of etcd: target
// is VERSION, CREATE or MOD.
type condition struct {
	target etcdserverpb.Compare_CompareTarget
	result etcdserverpb.Compare_CompareResult
	number int64
}

// modifiedAt is the condition that a key has a certain revision; 0 means that it is not there.
func modifiedAt(revision int64) []condition {
	return []condition{{etcdserverpb.Compare_MOD, etcdserverpb.Compare_EQUAL, revision}}
}

// holds says whether the condition is true of a version, nil meaning none. Of a key that is
// not there, all numbers are 0.
func (c condition) holds(found *mvcc.Version) bool {
	var number int64
	if found != nil {
		switch c.target {
		case etcdserverpb.Compare_VERSION:
			number = found.Number
		case etcdserverpb.Compare_CREATE:
			number = found.Created
		case etcdserverpb.Compare_MOD:
			number = found.Revision
		}
	}
	switch order := cmp.Compare(number, c.number); c.result {
	case etcdserverpb.Compare_EQUAL:
		return order == 0
	case etcdserverpb.Compare_NOT_EQUAL:
		return order != 0
	case etcdserverpb.Compare_GREATER:
		return order > 0
	case etcdserverpb.Compare_LESS:
		return order < 0
	}
	return false
}

// write is a request to change a key.
type write struct {
	ctx  context.Context
	kind kind
	key  string
	// value and lease are what a put writes.
	value []byte
	lease int64
	// conditions must all be true of the key; without one, it is written whatever is there.
	conditions []condition
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
	// version is what was found: what was replaced or deleted, or what the conditions are not
	// true of; nil means that the key was not there.
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
			continue // there is nothing to be deleted
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
	return !slices.ContainsFunc(w.conditions, func(c condition) bool { return !c.holds(found) })
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
