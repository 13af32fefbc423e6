package store

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// What is put behind the name of a file that has what could not be read, and of one that is being made.
const (
	suffixDamaged = ".damaged"
	suffixNew     = ".new"
)

// load reads everything.
func load(db *sql.DB) (views []View, damage *Damage) {
	lost := func(err error) *Damage {
		if damage == nil {
			damage = &Damage{}
		}
		damage.Err = errors.Join(damage.Err, err)
		return damage
	}
	names, named, err := viewNames(db)
	if noted, metaErr := metaOf(db, keyViews); err == nil && (metaErr != nil || noted != named && len(names)+len(noted) > 0) {
		err = damaged("of its views some have other names, or are gone")
	}
	if err != nil {
		lost(err).More = true
	}
	read := &reading{db: db, bodies: map[int64][]byte{}}
	for _, name := range names {
		view, err := read.view(name)
		if err != nil {
			of := lost(fmt.Errorf("view %s: %w", name, err))
			of.Views = append(of.Views, name)
			continue
		}
		views = append(views, *view)
	}
	return views, damage
}

// reading reads views.
type reading struct {
	db *sql.DB
	// bodies are those that were read, by the object's id.
	bodies map[int64][]byte
}

// view reads one, and checks it.
func (r *reading) view(name string) (*View, error) {
	head := row{name: name}
	var sum int64
	if err := r.db.QueryRow("SELECT id, kind, version, count, digest, sum FROM views WHERE name = ?", name).
		Scan(&head.id, &head.kind, &head.version, &head.count, &head.digest, &sum); err != nil {
		return nil, err
	}
	if sum != head.sum() {
		return nil, damaged("what is said of it")
	}
	v := &View{Name: name, Kind: head.kind, Version: head.version}
	found, err := r.objects(v, head.id)
	if err != nil {
		return nil, err
	}
	if int64(len(v.Objects)) != head.count || found != head.digest {
		return nil, damaged("it has %d objects of %d, or others", len(v.Objects), head.count)
	}
	return v, nil
}

// objects reads those of a view, and returns their digest.
func (r *reading) objects(v *View, id int64) (found int64, err error) {
	rows, err := r.db.Query(`SELECT m.name, o.id, o.kind, o.name, o.version, o.sum, o.body
		FROM members m JOIN objects o ON o.id = m.object WHERE m.view = ? ORDER BY m.name`, id)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			at, sum    int64
			kind, name string
			o          Object
		)
		if err := rows.Scan(&o.Name, &at, &kind, &name, &o.Version, &sum, &o.Body); err != nil {
			return 0, err
		}
		if kind != v.Kind || name != o.Name || checksum(o.Body) != sum {
			return 0, damaged("the object %s", o.Name)
		}
		if before, ok := r.bodies[at]; ok {
			o.Body = before
		}
		r.bodies[at] = o.Body
		found += digest(o.Name, o.Version, sum)
		v.Objects = append(v.Objects, o)
	}
	return found, rows.Err()
}

// salvage puts a damaged file aside, and what was read of it into a new one. mu must be held.
func (s *Store) salvage(views []View, damage *Damage) {
	err := writeNew(s.path+suffixNew, s.cluster, views)
	damage.Aside = s.putAside()
	if err == nil {
		err = os.Rename(s.path+suffixNew, s.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(s.path))
	}
	if err == nil {
		s.db, err = open(s.path)
	}
	if err != nil {
		_ = removeAll(s.path + suffixNew)
		damage.Unsaved = len(views) > 0
		damage.Err = errors.Join(damage.Err, fmt.Errorf("what could be read is in no file: %w", err))
	}
}

// writeNew writes a file with views.
func writeNew(path, cluster string, views []View) error {
	db, err := open(path)
	if err != nil {
		return err
	}
	fresh := &Store{path: path, db: db}
	changes := make([]Change, 0, len(views))
	for _, v := range views {
		changes = append(changes, Change{Name: v.Name, Kind: v.Kind, Version: v.Version, Whole: true, Put: v.Objects})
	}
	err = fresh.SetCluster(cluster)
	if err == nil {
		err = fresh.Apply(changes...)
	}
	return errors.Join(err, fresh.Close()) // which leaves one file, without a log
}

// putAside closes the file, and keeps it under another name. mu must be held.
func (s *Store) putAside() (aside string) {
	if s.db != nil {
		_ = s.db.Close()
		s.db = nil
	}
	aside = s.path + suffixDamaged
	_ = removeAll(aside)
	_ = os.Rename(s.path+"-wal", aside+"-wal") // first: it must not be another file's
	if os.Rename(s.path, aside) != nil {
		return ""
	}
	return aside
}

// openCopy opens a copy of a database that cannot be written: reading one takes writing, after a crash.
func openCopy(path string) (db *sql.DB, remove func(), err error) {
	dir, err := os.MkdirTemp("", "koinon-edgehub-")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	to := filepath.Join(dir, filepath.Base(path))
	if err := copyFile(path, to); err != nil {
		return nil, nil, err
	}
	if err := copyFile(path+"-wal", to+"-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	if db, err = open(to); err != nil {
		return nil, nil, err
	}
	return db, func() { _ = db.Close(); _ = os.RemoveAll(dir) }, nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
