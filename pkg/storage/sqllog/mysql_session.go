package sqllog

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// driverConn is what a connection of the driver can do, all of which a session passes on.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// session is a connection that keeps what was prepared on it. Reading 4 KiB as a literal
// costs MariaDB more than all else it does with a row; as an argument of a prepared statement
// it is copied.
type session struct {
	driverConn
	prepared map[string]driver.Stmt
	// bytes is the length of the texts of all that is prepared.
	bytes int
}

// maxPreparedBytes bounds the texts of what is prepared on a session: there is a statement
// for each size of a batch. MariaDB takes 230 times as much memory for what it prepares, so
// this is 15 MB.
const maxPreparedBytes = 64 << 10

// notPrepared are the codes of a server that prepares nothing like this, or has too many
// statements already.
var notPrepared = []uint16{1064, 1295, 1461}

// execPrepared runs a statement on the session under a connection.
func execPrepared(ctx context.Context, conn *sql.Conn, query string, args []any) error {
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return conn.Raw(func(under any) error {
		s := under.(*session)
		statement, err := s.prepare(ctx, query)
		if hasNumber(err, notPrepared...) {
			_, err = s.ExecContext(ctx, query, named)
			return err
		}
		if err != nil {
			return err
		}
		_, err = statement.(driver.StmtExecContext).ExecContext(ctx, named)
		return err
	})
}

func (s *session) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if statement, found := s.prepared[query]; found {
		return statement, nil
	}
	if s.bytes+len(query) > maxPreparedBytes {
		for _, statement := range s.prepared {
			_ = statement.Close() // the connection will say if it is broken
		}
		clear(s.prepared)
		s.bytes = 0
	}
	statement, err := s.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.prepared[query] = statement
	s.bytes += len(query)
	return statement, nil
}
