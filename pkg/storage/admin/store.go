package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// Store says where a datastore is. Make one with Parse.
type Store struct {
	datastore datastore.Datastore
	access    Access
	// kine says that what Kine's own drivers have in the database is meant.
	kine bool
}

// Access is how to be let into a datastore.
type Access struct {
	// TLS is for MySQL and etcd.
	TLS datastore.TLS
	// PasswordFile, if not empty, holds the password for MySQL.
	PasswordFile string
}

// kinePrefix is before the scheme of a database that Kine's own drivers have used.
const kinePrefix = "kine+"

// Parse reads the value of --datastore; empty means SQLite in dataDir.
func Parse(value, dataDir string, access Access) (Store, error) {
	where, err := datastore.Parse(value, dataDir)
	if err == nil {
		err = where.CheckPasswordFile(access.PasswordFile)
	}
	return Store{datastore: where, access: access}, err
}

// ParseSource is Parse for what a migration is from, which may also be kine+sqlite:///PATH or
// kine+mysql://….
func ParseSource(value, dataDir string, access Access) (Store, error) {
	rest, kine := strings.CutPrefix(value, kinePrefix)
	store, err := Parse(rest, dataDir, access)
	if err != nil {
		return Store{}, err
	}
	if store.kine = kine; kine && store.datastore.Kind == datastore.Etcd {
		return Store{}, errors.New("kine+etcd:// makes no sense: what Kine keeps in an etcd is etcd's, use etcd://")
	}
	return store, nil
}

// String names the datastore without user and password.
func (s Store) String() string { return s.datastore.String() }

// Path is the database file of SQLite, and empty for others.
func (s Store) Path() string { return s.datastore.Path() }

// log opens the log in a database.
func (s Store) log(ctx context.Context, tables sqllog.Tables) (*sqllog.Log, error) {
	return embedded.OpenLog(ctx, s.datastore, embedded.Config{TLS: s.access.TLS, PasswordFile: s.access.PasswordFile}, tables)
}

func (s Store) etcd(ctx context.Context) (*clientv3.Client, error) {
	return datastore.OpenEtcd(ctx, s.datastore, s.access.TLS, 0)
}

// source opens the contents as they are now. What it returns after the source closes both.
func (s Store) source(ctx context.Context, progress *archive.Progress) (archive.Source, func(), error) {
	if s.datastore.Kind == datastore.Etcd {
		client, err := s.etcd(ctx)
		if err != nil {
			return nil, nil, err
		}
		source, err := archive.FromEtcd(ctx, client, s.String(), progress)
		return closing(source, err, client.Close)
	}
	tables := sqllog.ReadTables
	if s.kine {
		tables = sqllog.ForeignTables
	}
	log, err := s.log(ctx, tables)
	if err != nil {
		return nil, nil, err
	}
	source, err := s.logSource(ctx, log, progress)
	return closing(source, err, log.Close)
}

func (s Store) logSource(ctx context.Context, log *sqllog.Log, progress *archive.Progress) (archive.Source, error) {
	if s.kine {
		return archive.FromKine(ctx, log, progress)
	}
	unfinished, err := log.Unfinished(ctx)
	if err == nil && unfinished {
		err = fmt.Errorf("read from the %s: %w", log, sqllog.ErrUnfinished)
	}
	if err != nil {
		return nil, err
	}
	return archive.FromLog(ctx, log, string(s.datastore.Kind), progress)
}

// closing is a source and what closes it, and what it is from.
func closing(source archive.Source, err error, from func() error) (archive.Source, func(), error) {
	if err != nil {
		_ = from()
		return nil, nil, err
	}
	return source, func() {
		_ = source.Close()
		_ = from()
	}, nil
}

// User is a process that uses a datastore.
type User struct {
	// Address is where a server on a shared database is told of writes. It is empty if PID
	// is known instead.
	Address string `json:"address,omitempty"`
	// Seen is how long ago it was.
	Seen Seconds `json:"lastSeenSeconds"`
	// PID is the process that has a file open.
	PID int `json:"pid,omitempty"`
}

// String says who it is.
func (u User) String() string {
	if u.PID != 0 {
		return fmt.Sprintf("the process %d", u.PID)
	}
	return fmt.Sprintf("the server at %s, seen %d s ago", u.Address, u.Seen)
}

// Seconds is a duration in whole seconds.
type Seconds int64

func seconds(d time.Duration) Seconds { return Seconds(d / time.Second) }

// usersOfFile says who has the file of a SQLite database open. It must be called before this
// process opens it.
func (s Store) usersOfFile() ([]User, error) {
	if s.datastore.Kind != datastore.SQLite {
		return nil, nil
	}
	pid, err := sqllog.InUse(s.Path())
	if err != nil {
		return nil, fmt.Errorf("see who uses the %s: %w", s, err)
	}
	if pid == 0 {
		return nil, nil
	}
	return []User{{PID: pid}}, nil
}

// usersOfDatabase says which servers have said lately that they use a shared database.
func usersOfDatabase(ctx context.Context, log *sqllog.Log) ([]User, error) {
	peers, err := log.Peers(ctx)
	if err != nil {
		return nil, err
	}
	var users []User
	for _, peer := range peers {
		users = append(users, User{Address: peer.Address, Seen: seconds(peer.Seen)})
	}
	return users, nil
}

// list names users in a sentence.
func list(users []User) string {
	var names []string
	for _, user := range users {
		names = append(names, user.String())
	}
	return strings.Join(names, ", ")
}
