package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// quote returns text as a JSON string.
func quote(text string) string {
	data, _ := json.Marshal(text) // cannot fail
	return string(data)
}

// item is one object of a page, or one row of a table.
type item struct {
	object
	// cells of a row; nil if the member sent no table.
	cells []byte
}

// page is one answer to a list.
type page struct {
	kind, apiVersion string // of the list
	version          string
	next             string // the token to continue; "" if there is no more
	remaining        *int64 // how many there are behind this page, if the member says so
	columns          []column
	items            []item
	data             []byte
	converted        bool // into rows of a table
}

const (
	tableKind   = "Table"
	partialKind = "PartialObjectMetadata"
	metaVersion = "meta.k8s.io/v1"
)

// itemKind is the kind of the list's items: "" for tables.
func (p *page) itemKind() string {
	kind, _ := strings.CutSuffix(p.kind, "List")
	if p.kind == tableKind {
		return ""
	}
	return kind
}

func (p *page) isTable() bool { return p.kind == tableKind }

// scanPage reads a list or a table. What is returned shares data.
func scanPage(data []byte) (*page, error) {
	s, p := &scanner{data: data}, &page{data: data}
	err := s.object(func(key []byte) (err error) {
		switch string(key) {
		case "kind":
			p.kind, err = word(s)
		case "apiVersion":
			p.apiVersion, err = word(s)
		case "metadata":
			err = p.scanMetadata(s)
		case "columnDefinitions":
			p.columns, err = scanColumns(s)
		case "items":
			err = p.scanItems(s, scanItem)
		case "rows":
			err = p.scanItems(s, scanRow)
		default:
			err = s.value()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	if !p.isTable() && !strings.HasSuffix(p.kind, "List") {
		return nil, fmt.Errorf("a list was asked for, and the kind of the answer is %.100q", p.kind)
	}
	return p, nil
}

func (p *page) scanMetadata(s *scanner) error {
	return s.object(func(key []byte) (err error) {
		switch string(key) {
		case "resourceVersion":
			p.version, err = word(s)
		case "continue":
			p.next, err = word(s)
		case "remainingItemCount":
			var value span
			if value, err = s.spanOf(); err == nil {
				err = json.Unmarshal(value.of(s.data), &p.remaining)
			}
			if p.remaining != nil && (*p.remaining < 0 || *p.remaining > math.MaxInt32) {
				p.remaining = nil
			}
		default:
			err = s.value()
		}
		return err
	})
}

func (p *page) scanItems(s *scanner, scan func(*scanner) (item, error)) error {
	if p.items != nil {
		return errors.New("a list has its items twice")
	}
	if s.next() == 'n' {
		return s.literal("null")
	}
	p.items = []item{}
	return s.array(func() error {
		i, err := scan(s)
		p.items = append(p.items, i)
		return err
	})
}

func scanItem(s *scanner) (item, error) {
	o, err := scanObject(s)
	return item{object: o}, err
}

func scanRow(s *scanner) (item, error) {
	var i item
	found := false
	err := s.object(func(key []byte) (err error) {
		switch string(key) {
		case "cells":
			var cells span
			if s.next() != '[' {
				return s.bad("cells")
			}
			cells, err = s.spanOf()
			i.cells = cells.of(s.data)
		case "object":
			found = true
			i.object, err = scanObject(s)
		default: // conditions, of which no client makes anything
			err = s.value()
		}
		return err
	})
	switch {
	case err != nil:
		return item{}, err
	case !found || i.cells == nil:
		return item{}, errors.New("a row of a table has no cells, or no object")
	}
	return i, nil
}

// order checks the order of the page, which begins behind a key. A member that has no pages may
// send all it has in no order: it is sorted.
func (p *page) order(after string, whole bool) error {
	sorted := slices.IsSortedFunc(p.items, func(a, b item) int { return strings.Compare(a.key, b.key) })
	if !sorted && whole {
		slices.SortStableFunc(p.items, func(a, b item) int { return strings.Compare(a.key, b.key) })
	}
	for i := range p.items {
		if key := p.items[i].key; key <= after {
			return fmt.Errorf("its list is out of order: %.300q comes after %.300q", key, after)
		} else {
			after = key
		}
	}
	return nil
}

// belong checks that every item is what was asked for.
func (p *page) belong(namespace string) error {
	kind := p.itemKind()
	for i := range p.items {
		if err := p.items[i].belongs(namespace, kind); err != nil {
			return err
		}
	}
	return nil
}

func (i *item) belongs(namespace, kind string) error {
	switch {
	case namespace != "" && i.namespace() != namespace:
		return fmt.Errorf("it sent an object of the namespace %.100q where %q was asked for", i.namespace(), namespace)
	case kind != "" && i.kind != "" && i.kind != kind && i.kind != partialKind:
		return fmt.Errorf("it sent a %.100s among items of kind %.100s", i.kind, kind)
	}
	return nil
}

// maxColumns is how many columns a member's table may have, and one of the fleet, since each row has
// a cell for each.
const maxColumns = 100

// column is one of a table.
type column struct {
	name string
	raw  []byte // the definition
	// isName: it holds the names of objects.
	isName bool
}

func (c column) equal(other column) bool { return bytes.Equal(c.raw, other.raw) }

func scanColumns(s *scanner) ([]column, error) {
	if s.next() == 'n' {
		return nil, s.literal("null")
	}
	columns := []column{}
	err := s.array(func() error {
		c := column{}
		s.next()
		from := s.at
		err := s.object(func(key []byte) (err error) {
			switch string(key) {
			case "name":
				c.name, err = word(s)
			case "format":
				var format string
				format, err = word(s)
				c.isName = format == "name"
			default:
				err = s.value()
			}
			return err
		})
		c.raw = bytes.Clone(s.data[from:s.at])
		if columns = append(columns, c); len(columns) > maxColumns {
			return fmt.Errorf("a table has more than %d columns", maxColumns)
		}
		return err
	})
	return columns, err
}
