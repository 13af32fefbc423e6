package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// ErrReadOnly is why nothing is written: the file cannot be opened for that.
var ErrReadOnly = errors.New("the file cannot be opened for writing")

// ErrDamaged is why nothing was written: the file has not what it had. The next Apply has to be given everything, and to forget again what it was to forget. A file that cannot be
// read was put aside, and there will be a new one.
var ErrDamaged = errors.New("the file is damaged")

// errMissing: a view is changed that is not there. A part of it would pass for all of it.
var errMissing = fmt.Errorf("%w: it has not what is to be changed", ErrDamaged)

// errTaken: another process has it.
var errTaken = errors.New("another process has it")

// Object is one of a view.
type Object struct {
	// Name is unique in its view, and the same in all views of a kind.
	Name string
	// Version is the object's; with another body it has another one, as a rule.
	Version string
	// Body is not changed by anybody.
	Body []byte
}

// View is what is known of one.
type View struct {
	// Name says which it is; Kind is what Objects of several views have in common.
	Name, Kind string
	// Version is the one that the view has come to.
	Version string
	// Objects are sorted by name.
	Objects []Object
}

// Change is what becomes of a view.
type Change struct {
	// Name and Kind are the view's. A view has one kind, always.
	Name, Kind string
	// Version is the one that the view has come to.
	Version string
	// Whole: there is nothing in the view but Put.
	Whole bool
	// Put are objects that are new or changed, each name once, and Delete the names of those that are gone. A name that is not there may be deleted.
	Put    []Object
	Delete []string
	// Forget: the view is gone, and nothing else of this counts.
	Forget bool
}

// Damage is what was lost when a file was opened.
type Damage struct {
	// Views are the names of those that could not be read. More is whether there were others, whose names could not.
	Views []string
	More  bool
	// Err is why.
	Err error
	// Aside is where the file is that has them; empty if it could not be kept.
	Aside string
	// Unsaved: the views that were read are in no file, as the disk is full: they have to be applied whole.
	Unsaved bool
}

// Store is an open file.
type Store struct {
	path string

	mu sync.Mutex
	// What follows is guarded by mu.

	db     *sql.DB // nil after Close, and while the file cannot be written
	closed bool
	// cluster is of which one the views are that were read, and that are written: a file that is made in place of another has it, too.
	cluster string
}

// Open opens the file, or makes it, and returns what is in it. damage is nil if nothing was lost. Errors are for a person: another
// process has the file, or it is of another version.
func Open(path string) (s *Store, views []View, damage *Damage, err error) {
	s = &Store{path: path}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = removeAll(path + suffixNew) // of a process that was killed
	if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
		views, damage, err = s.begin()
	}
	if err != nil {
		if s.db != nil {
			_ = s.db.Close()
		}
		return nil, nil, nil, fmt.Errorf("open the cache %s: %w", path, err)
	}
	return s, views, damage, nil
}

// begin opens the file and reads it. mu must be held.
func (s *Store) begin() (views []View, damage *Damage, err error) {
	s.db, err = open(s.path)
	if err == nil {
		_ = syncDir(filepath.Dir(s.path)) // for a file that is new
	}
	db := s.db
	if errors.Is(err, ErrReadOnly) { // what there is has to be served: a copy is read
		var remove func()
		if db, remove, err = openCopy(s.path); err == nil {
			defer remove()
		}
	}
	switch {
	case isDamage(err):
		damage = &Damage{More: true, Err: err}
	case err != nil:
		return nil, nil, err
	default:
		s.cluster, _ = clusterOf(db)
		views, damage = load(db)
	}
	if damage != nil {
		s.salvage(views, damage)
	}
	return views, damage, nil
}

// Cluster returns whatever SetCluster was given last, empty if nothing.
func (s *Store) Cluster() (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return s.cluster, nil
	}
	return clusterOf(s.db)
}

// SetCluster notes which cluster the views are of. Those that there are, of another one, are gone, and have to be applied whole; those that are there before any cluster was noted are of this one.
func (s *Store) SetCluster(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.update(func(tx *sql.Tx) error {
		before, err := metaOf(tx, keyCluster)
		if err != nil || before == id {
			return err
		}
		if before == "" {
			return setMeta(tx, keyCluster, id)
		}
		for _, table := range []string{"members", "objects", "views"} {
			if _, err := tx.Exec("DELETE FROM " + table); err != nil {
				return err
			}
		}
		return setMeta(tx, keyCluster, id)
	})
	if err == nil {
		s.cluster = id
	}
	return err
}

// Apply makes all changes, or none.
func (s *Store) Apply(changes ...Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.update(func(tx *sql.Tx) error {
		for i := range changes {
			if err := apply(tx, &changes[i]); err != nil {
				return fmt.Errorf("view %s: %w", changes[i].Name, err)
			}
		}
		return nil
	})
}

// update changes the file. mu must be held.
func (s *Store) update(change func(*sql.Tx) error) error {
	err := s.writable()
	if err == nil {
		err = transact(s.db, change)
	}
	if isDamage(err) {
		_ = s.putAside()
		err = fmt.Errorf("%w, and was put aside: %w", ErrDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("write the cache %s: %w", s.path, err)
	}
	return nil
}

func transact(db *sql.DB, change func(*sql.Tx) error) error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after Commit
	if err := change(tx); err != nil {
		return err
	}
	if err := nameViews(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// writable sees to it that the file can be written, if it can. mu must be held.
func (s *Store) writable() (err error) {
	if s.closed {
		return os.ErrClosed
	}
	if s.db != nil {
		return nil
	}
	db, err := open(s.path)
	if err == nil && s.cluster != "" {
		err = transact(db, func(tx *sql.Tx) error { return setMeta(tx, keyCluster, s.cluster) })
		if err != nil {
			_ = db.Close()
		}
	}
	if err == nil {
		s.db = db
	}
	return err
}

// Close lets go of the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// Size is how many bytes there are on disk.
func (s *Store) Size() (bytes int64) {
	for _, name := range files(s.path) {
		if info, err := os.Stat(name); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// syncDir has names of a directory on the disk.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // which has no such thing
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
