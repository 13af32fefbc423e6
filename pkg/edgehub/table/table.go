package table

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
)

// Table is how objects of one resource are shown.
type Table struct {
	kind    schema.GroupVersionKind // Kind is empty if it is not known
	create  func() object
	columns []column
}

// object is what is decoded into.
type object interface {
	metav1.Object
	runtime.Object
}

// column is one of a Table, with what is in it of an object.
type column struct {
	metav1.TableColumnDefinition
	cell func(o object, now time.Time) any
}

// Of returns the Table of a resource, whose group is "" for core, and never nil: of a resource that is not known it has names and ages.
func Of(group, version, resource string) *Table {
	of := schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	if t, ok := known[of]; ok {
		return t
	}
	return tableOf[metav1.PartialObjectMetadata](of.GroupVersion().WithKind(""), name, ageOfCustom)
}

// Columns returns the definitions, in order: those that only `-o wide` shows, with a priority above 0, included.
func (t *Table) Columns() []metav1.TableColumnDefinition {
	columns := make([]metav1.TableColumnDefinition, len(t.columns))
	for i := range t.columns {
		columns[i] = t.columns[i].TableColumnDefinition
	}
	return columns
}

// Row returns the row of an object, given as JSON: its cells, one for each of Columns, a string, an int64, a bool or nil; and of pods that have ended the condition
// that says so. The row's Object is left to the caller. Of an object in a list kind and apiVersion may be missing, as API servers leave them out.
//
// Any error says that it is no object of this resource: there is no row then.
func (t *Table) Row(body []byte, now time.Time) (metav1.TableRow, error) {
	o, err := t.decode(body)
	if err != nil {
		return metav1.TableRow{}, err
	}
	row := metav1.TableRow{Cells: make([]any, len(t.columns)), Conditions: conditions(o)}
	for i := range t.columns {
		row.Cells[i] = t.columns[i].cell(o, now)
	}
	return row, nil
}

func (t *Table) decode(body []byte) (object, error) {
	o := t.create()
	if err := json.Unmarshal(body, o); err != nil {
		return nil, fmt.Errorf("decode an object of %s: %w", t.kind.GroupVersion(), err)
	}
	kind := o.GetObjectKind().GroupVersionKind()
	switch {
	case kind.Kind != "" && t.kind.Kind != "" && kind.Kind != t.kind.Kind, kind.Version != "" && kind.GroupVersion() != t.kind.GroupVersion():
		return nil, fmt.Errorf("an object of another kind: %s, and not %s", kind, t.kind)
	case o.GetName() == "":
		return nil, errors.New("an object without a name")
	}
	return o, nil
}

// tableOf makes the Table of a kind that is decoded into a T.
func tableOf[T any, P interface {
	*T
	object
}](kind schema.GroupVersionKind, columns ...column) *Table {
	return &Table{kind: kind, create: func() object { return P(new(T)) }, columns: columns}
}
