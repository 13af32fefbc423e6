package objectstore

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Object is a pointer to an API object.
type Object interface {
	runtime.Object
	metav1.Object
}

// Column is one column of a table of objects.
type Column[T Object] struct {
	// Name is the heading; kubectl shows it in capitals.
	Name string
	// Description says what the column holds.
	Description string
	// Type is string (default), integer or boolean.
	Type string
	// Wide columns appear with -o wide only.
	Wide bool
	// Value returns the cell of an object, in the Go type for Type.
	Value func(T) any
}

// Table returns a table of objects: their names, then the given columns.
func Table[T Object](columns ...Column[T]) rest.TableConvertor {
	return table[T](columns)
}

// Age is the column that says how old an object is.
func Age[T Object]() Column[T] {
	return Column[T]{Name: "Age", Description: "Time since the object was created.", Value: func(object T) any {
		created := object.GetCreationTimestamp()
		if created.IsZero() {
			return "<unknown>"
		}
		return duration.HumanDuration(time.Since(created.Time))
	}}
}

// ConditionStatus returns the status of the condition of a type, or "" without one.
func ConditionStatus(conditions []metav1.Condition, conditionType string) string {
	if condition := meta.FindStatusCondition(conditions, conditionType); condition != nil {
		return string(condition.Status)
	}
	return ""
}

type table[T Object] []Column[T]

// ConvertToTable makes a table of one object or a list.
func (t table[T]) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	result := &metav1.Table{}
	if !headless(options) {
		result.ColumnDefinitions = t.definitions()
	}
	add := func(item runtime.Object) error {
		row, err := t.row(item)
		result.Rows = append(result.Rows, row)
		return err
	}
	if list, err := meta.ListAccessor(object); err == nil {
		result.ResourceVersion = list.GetResourceVersion()
		result.Continue = list.GetContinue()
		result.RemainingItemCount = list.GetRemainingItemCount()
		return result, meta.EachListItem(object, add)
	}
	if common, err := meta.CommonAccessor(object); err == nil {
		result.ResourceVersion = common.GetResourceVersion()
	}
	return result, add(object)
}

func headless(options runtime.Object) bool {
	o, ok := options.(*metav1.TableOptions)
	return ok && o.NoHeaders
}

func (t table[T]) definitions() []metav1.TableColumnDefinition {
	definitions := []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	}
	for _, column := range t {
		definition := metav1.TableColumnDefinition{Name: column.Name, Type: column.Type, Description: column.Description}
		if definition.Type == "" {
			definition.Type = "string"
		}
		if column.Wide {
			definition.Priority = 1
		}
		definitions = append(definitions, definition)
	}
	return definitions
}

func (t table[T]) row(item runtime.Object) (metav1.TableRow, error) {
	object, ok := item.(T)
	if !ok {
		return metav1.TableRow{}, fmt.Errorf("a table of %T cannot have a row for %T", *new(T), item)
	}
	cells := []any{object.GetName()}
	for _, column := range t {
		cells = append(cells, column.Value(object))
	}
	return metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: item}}, nil
}
