package sqllog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// badSettings are those of a database, or of a data source name, that would make statements do
// or return something else.
var badSettings = map[string]string{
	"sql_select_limit": "2",
	"max_join_size":    "1",
	"sql_big_selects":  "0",
	"sql_safe_updates": "1",
	"autocommit":       "0",
	"completion_type":  "'CHAIN'",
	"tx_isolation":     "'SERIALIZABLE'",
	"sql_mode":         "'ORACLE'",
	"unique_checks":    "0",
}

func TestSettingsOfADatabaseChangeNothing(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	for name, value := range badSettings {
		t.Run(name+" of the database", func(t *testing.T) {
			server.Exec(t, fmt.Sprintf("SET GLOBAL %s = %s", name, value))
			defer server.Exec(t, fmt.Sprintf("SET GLOBAL %s = DEFAULT", name))
			writesAndReads(t, mysqlOpener(t, server))
		})
		t.Run(name+" of the data source name", func(t *testing.T) {
			dsn := server.NewDatabase(t) + "?" + name + "=" + url.QueryEscape(value)
			writesAndReads(t, func(t *testing.T) *Log {
				l, err := OpenMySQL(t.Context(), MySQLConfig{DSN: dsn, Addresses: []string{server.Address}, Name: "test database"})
				return opened(t, l, err)
			})
		})
	}
	t.Run("what the database does to each connection", func(t *testing.T) {
		server.Exec(t, "SET GLOBAL init_connect = 'SET NAMES gbk, sql_select_limit = 2, autocommit = 0'")
		defer server.Exec(t, "SET GLOBAL init_connect = ''")
		writesAndReads(t, mysqlOpener(t, server))
	})
}

// writesAndReads appends, compacts and deletes in one process, and reads in others.
func writesAndReads(t *testing.T, open opener) {
	t.Helper()
	l := open(t)
	mustAppend(t, l, "a", "b", "c", "\xbf'", "\xbf\\", "", "g")
	mark := mustMark(t, l)
	if _, err := l.Compact(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(t.Context(), mark.Epoch, []int64{2}); err != nil {
		t.Fatal(err)
	}
	want := []string{"b", "c", "\xbf'", "\xbf\\", "", "g"}
	for range 2 {
		other := open(t)
		var got []string
		if err := other.Scan(t.Context(), mustMark(t, other), func(r Record) { got = append(got, r.Key) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
		values := map[int64]string{}
		err := other.Values(t.Context(), []int64{3, 4, 5, 6, 7, 8}, func(revision int64, value []byte) { values[revision] = string(value) })
		if err != nil {
			t.Fatal(err)
		}
		for i, value := range want {
			if got, there := values[int64(i)+3]; got != value || !there {
				t.Errorf("value of revision %d: %q, %v, want %q", i+3, got, there, value)
			}
		}
	}
}

// TestEveryConnectionHasTheSettings: the first is set up one by one, later ones at once.
func TestEveryConnectionHasTheSettings(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	server.Exec(t, "SET GLOBAL sql_select_limit = 2")
	l := mysqlOpener(t, server)(t)
	var conns []*sql.Conn
	for range 4 {
		conn, err := l.reads.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		var limit uint64
		var charset, mode string
		if err := conn.QueryRowContext(t.Context(), "SELECT @@sql_select_limit, @@character_set_client, @@sql_mode").Scan(&limit, &charset, &mode); err != nil {
			t.Fatal(err)
		}
		if limit < 1<<62 || charset != "binary" || !strings.Contains(mode, "STRICT_ALL_TABLES") {
			t.Errorf("connection %d: limit %d, character set %s, mode %s", i, limit, charset, mode)
		}
	}
}

// TestAScanThatIsCutShortIsAnError has a limit that the settings have not prevented.
func TestAScanThatIsCutShortIsAnError(t *testing.T) {
	l := mysqlOpener(t, storagetest.StartMariaDB(t))(t)
	mustAppend(t, l, "a", "b", "c", "d")
	l.reads.SetMaxOpenConns(1)
	for _, compact := range []int64{0, 3, 5} {
		if compact > 0 {
			if _, err := l.Compact(t.Context(), compact); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.reads.ExecContext(t.Context(), "SET SESSION sql_select_limit = 2"); err != nil {
			t.Fatal(err)
		}
		if err := l.Scan(t.Context(), mustMark(t, l), func(Record) {}); !errors.Is(err, ErrShort) {
			t.Errorf("compacted at %d: %v, want that it is too short", compact, err)
		}
	}
}

// refusing is a connection whose server does not let a setting be made.
type refusing struct {
	what string
	code uint16
}

func (r refusing) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	if strings.Contains(statement, r.what) {
		return nil, &mysql.MySQLError{Number: r.code, Message: "no"}
	}
	return nil, nil
}

func TestAServerThatRefusesASettingIsRefused(t *testing.T) {
	cases := map[string]struct {
		server     refusing
		unsuitable bool
		fails      bool
	}{
		"a limit that may not be lifted":                  {refusing{"sql_select_limit", 1227}, true, true},
		"a value that it does not take":                   {refusing{"completion_type", 1231}, true, true},
		"a variable that it does not know":                {refusing{"ob_read_consistency", 1193}, false, false},
		"one that nobody may change who has not set it":   {refusing{"sql_log_bin", 1227}, false, false},
		"a server that shuts down, which says nothing":    {refusing{"sql_select_limit", 1053}, false, true},
		"a node that is no part of a cluster at a moment": {refusing{"sql_select_limit", 1047}, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := (&sessionSettings{}).apply(t.Context(), c.server)
			if (err != nil) != c.fails || fault.KindOf(err) == fault.Unfit != c.unsuitable {
				t.Errorf("got %v", err)
			}
			if c.unsuitable && !strings.Contains(err.Error(), c.server.what) {
				t.Errorf("got %q, want that it names %s", err, c.server.what)
			}
		})
	}
}
