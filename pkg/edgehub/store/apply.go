package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

const (
	keyCluster = "cluster"
	keyViews   = "views"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(body []byte) int64 { return int64(crc32.Checksum(body, castagnoli)) }

// hash is the first eight bytes of SHA-256 of parts, none of which has a NUL.
func hash(parts ...string) int64 {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// digest is what an object adds to that of its view.
func digest(name, version string, sum int64) int64 { return hash(name, version, fmt.Sprint(sum)) }

// row is what a file says of a view.
type row struct {
	id                  int64
	name, kind, version string
	count, digest       int64
}

// sum is the digest of a row.
func (r *row) sum() int64 {
	return hash(r.name, r.kind, r.version, fmt.Sprint(r.id, r.count, r.digest))
}

// writing is a view while it is changed.
type writing struct {
	tx *sql.Tx
	row
}

// apply makes one change.
func apply(tx *sql.Tx, c *Change) error {
	if err := c.check(); err != nil {
		return err
	}
	w := &writing{tx, row{name: c.Name, kind: c.Kind}}
	err := tx.QueryRow("SELECT id, kind, count, digest FROM views WHERE name = ?", c.Name).Scan(&w.id, &w.kind, &w.count, &w.digest)
	switch {
	case errors.Is(err, sql.ErrNoRows) && c.Forget:
		return nil
	case errors.Is(err, sql.ErrNoRows) && !c.Whole:
		return errMissing
	case errors.Is(err, sql.ErrNoRows):
		if err := tx.QueryRow("INSERT INTO views (name, kind, version, count, digest, sum) VALUES (?, ?, '', 0, 0, 0) RETURNING id", c.Name, c.Kind).Scan(&w.id); err != nil {
			return err
		}
	case err != nil:
		return err
	case w.kind != c.Kind && !c.Forget:
		return fmt.Errorf("it is of %s, and not of %s", w.kind, c.Kind)
	}
	if c.Whole || c.Forget {
		if err := w.keepOnly(c); err != nil {
			return err
		}
	}
	if c.Forget {
		_, err := tx.Exec("DELETE FROM views WHERE id = ?", w.id)
		return err
	}
	for _, name := range c.Delete {
		if _, err := w.remove(name, nil); err != nil {
			return err
		}
	}
	for i := range c.Put {
		if err := w.put(&c.Put[i]); err != nil {
			return err
		}
	}
	w.version = c.Version
	_, err = tx.Exec("UPDATE views SET version = ?, count = ?, digest = ?, sum = ? WHERE id = ?", w.version, w.count, w.digest, w.sum(), w.id)
	return err
}

// check refuses what digests could not tell apart.
func (c *Change) check() error {
	if c.Name == "" || !c.Forget && c.Kind == "" {
		return errors.New("it needs a name and a kind")
	}
	for _, text := range []string{c.Name, c.Kind, c.Version} {
		if strings.ContainsRune(text, 0) {
			return fmt.Errorf("%q has a character that is not allowed", text)
		}
	}
	for i := range c.Put {
		if o := &c.Put[i]; o.Name == "" || strings.ContainsRune(o.Name, 0) || strings.ContainsRune(o.Version, 0) {
			return fmt.Errorf("the object %q, version %q: a name is needed, and neither may have a NUL", o.Name, o.Version)
		}
	}
	return nil
}

func (w *writing) put(o *Object) error {
	sum := checksum(o.Body)
	same, err := w.remove(o.Name, func(version string, there int64) bool { return version == o.Version && there == sum })
	if err != nil || same {
		return err
	}
	var id int64
	err = w.tx.QueryRow("SELECT id FROM objects WHERE kind = ? AND name = ? AND version = ? AND sum = ?", w.kind, o.Name, o.Version, sum).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		body := o.Body
		if body == nil {
			body = []byte{}
		}
		err = w.tx.QueryRow("INSERT INTO objects (kind, name, version, sum, body) VALUES (?, ?, ?, ?, ?) RETURNING id", w.kind, o.Name, o.Version, sum, body).Scan(&id)
	}
	if err != nil {
		return err
	}
	w.count++
	w.digest += digest(o.Name, o.Version, sum)
	_, err = w.tx.Exec("INSERT INTO members (view, name, object) VALUES (?, ?, ?)", w.id, o.Name, id)
	return err
}

// remove takes an object out, unless it is one to keep, and reports whether it is. keep may be nil.
func (w *writing) remove(name string, keep func(version string, sum int64) bool) (kept bool, err error) {
	var (
		id, sum int64
		version string
	)
	err = w.tx.QueryRow("SELECT o.id, o.version, o.sum FROM members m JOIN objects o ON o.id = m.object WHERE m.view = ? AND m.name = ?", w.id, name).Scan(&id, &version, &sum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case keep != nil && keep(version, sum):
		return true, nil
	}
	w.count--
	w.digest -= digest(name, version, sum)
	if _, err := w.tx.Exec("DELETE FROM members WHERE view = ? AND name = ?", w.id, name); err != nil {
		return false, err
	}
	_, err = w.tx.Exec("DELETE FROM objects WHERE id = ? AND NOT EXISTS (SELECT 1 FROM members WHERE object = ?)", id, id)
	return false, err
}

// keepOnly removes all that a change does not put.
func (w *writing) keepOnly(c *Change) error {
	keep := map[string]bool{}
	if !c.Forget {
		for i := range c.Put {
			keep[c.Put[i].Name] = true
		}
	}
	rows, err := w.tx.Query("SELECT name FROM members WHERE view = ?", w.id)
	if err != nil {
		return err
	}
	var gone []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return errors.Join(err, rows.Close())
		}
		if !keep[name] {
			gone = append(gone, name)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, name := range gone {
		if _, err := w.remove(name, nil); err != nil {
			return err
		}
	}
	return nil
}

// nameViews notes how many views there are, and the digest of their names: one that is not found is missed then.
func nameViews(tx *sql.Tx) error {
	_, named, err := viewNames(tx)
	if err != nil {
		return err
	}
	before, err := metaOf(tx, keyViews)
	if err != nil || before == named {
		return err
	}
	return setMeta(tx, keyViews, named)
}

// querier is a database or a transaction.
type querier interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// viewNames returns names, sorted, and what is noted of them. What it has found it returns beside an error, too.
func viewNames(q querier) (names []string, named string, err error) {
	rows, err := q.Query("SELECT name FROM views ORDER BY name")
	if err != nil {
		return nil, "", err
	}
	var sum int64
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return names, "", errors.Join(err, rows.Close())
		}
		names = append(names, name)
		sum += hash(name)
	}
	return names, fmt.Sprint(len(names), sum), errors.Join(rows.Err(), rows.Close())
}

func metaOf(q querier, key string) (value string, err error) {
	err = q.QueryRow("SELECT value FROM meta WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func setMeta(tx *sql.Tx, key, value string) error {
	_, err := tx.Exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
	return err
}

func clusterOf(db *sql.DB) (string, error) { return metaOf(db, keyCluster) }
