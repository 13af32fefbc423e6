package sqllog

import (
	"context"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

const (
	// firstRevision is the revision of an empty store, as it is in etcd.
	firstRevision = 1
	// layout is the version of the tables. A later one that this program cannot read has a
	// higher number.
	layout = 1
)

// prepare makes the tables if they are not there, and checks that they are ours. A user who
// may not make tables is fine where somebody else has made them.
func (l *Log) prepare(ctx context.Context, schema []string, insertNew string) error {
	found, err := l.layout(ctx)
	if noTable(err) {
		if err := l.create(ctx, schema, insertNew); err != nil {
			return err
		}
		found, err = l.layout(ctx)
	}
	if err != nil {
		return l.failed("open", err)
	}
	if found != layout {
		return fmt.Errorf("%w: the %s has tables of layout %d, and this program knows %d; use the version of Koinon that wrote them, or a newer one", errUnsuitable, l.name, found, layout)
	}
	return nil
}

func (l *Log) layout(ctx context.Context) (int, error) {
	var found int
	err := l.writes.QueryRowContext(ctx, "SELECT layout FROM koinon_meta WHERE id = 1").Scan(&found)
	return found, err
}

// create makes the tables. Two processes may do it at the same time: the row of koinon_meta
// comes last, and one of them makes it.
func (l *Log) create(ctx context.Context, schema []string, insertNew string) error {
	for _, statement := range schema {
		if _, err := l.writes.ExecContext(ctx, statement); err != nil {
			return l.failed("make the tables of", err)
		}
	}
	_, err := l.writes.ExecContext(ctx, insertNew+" koinon_meta (id, layout, tail, compact, epoch, probe, secret) VALUES (1, ?, ?, 0, 1, 0, ?)",
		layout, firstRevision, newSecret())
	if err != nil {
		return l.failed("make the tables of", err)
	}
	return nil
}

// noTable says that the tables are not there, or not yet complete.
func noTable(err error) bool {
	if err == nil {
		return false
	}
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return lite.Code == sqlite3.ErrError // "no such table": there is nothing else to be wrong with the statement
	}
	return hasNumber(err, 1146) || isNoRows(err)
}
