package table

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// What is not there.
const (
	none    = "<none>"
	unset   = "<unset>"
	unknown = "<unknown>"
)

// Columns that all have.
var (
	metaDoc = metav1.ObjectMeta{}.SwaggerDoc()

	name = column{
		metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metaDoc["name"]},
		func(o object, _ time.Time) any { return o.GetName() },
	}
	age = column{
		metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: metaDoc["creationTimestamp"]},
		func(o object, now time.Time) any { return since(o.GetCreationTimestamp().Time, now) },
	}
	// ageOfCustom is the same of custom resources.
	ageOfCustom = column{
		metav1.TableColumnDefinition{Name: "Age", Type: "date", Description: metaDoc["creationTimestamp"]},
		func(o object, now time.Time) any {
			if created := o.GetCreationTimestamp(); !created.IsZero() {
				return since(created.Time, now)
			}
			return nil
		},
	}
	// createdAt is of built-in kinds for which nobody has written columns.
	createdAt = column{
		metav1.TableColumnDefinition{Name: "Created At", Type: "date", Description: metaDoc["creationTimestamp"]},
		func(o object, _ time.Time) any { return o.GetCreationTimestamp().UTC().Format(time.RFC3339) },
	}
)

// text, integer and boolean are columns of objects that are decoded into a T. The type is what the definition says: some columns have other cells, as kube-apiserver
// has them.
func text[T any](name, description string, cell func(*T) any) column {
	return typed("string", name, description, cell)
}

func integer[T any](name, description string, cell func(*T) any) column {
	return typed("integer", name, description, cell)
}

func boolean[T any](name, description string, cell func(*T) any) column {
	return typed("boolean", name, description, cell)
}

func typed[T any](kind, name, description string, cell func(*T) any) column {
	return column{
		metav1.TableColumnDefinition{Name: name, Type: kind, Description: description},
		func(o object, _ time.Time) any { return cell(any(o).(*T)) },
	}
}

// formatted gives a column a format.
func formatted(format string, c column) column {
	c.Format = format
	return c
}

// timed is a column of text that depends on the time.
func timed[T any](name, description string, cell func(*T, time.Time) any) column {
	return column{
		metav1.TableColumnDefinition{Name: name, Type: "string", Description: description},
		func(o object, now time.Time) any { return cell(any(o).(*T), now) },
	}
}

// wide has a column shown with `-o wide` only, and allWide some.
func wide(c column) column {
	c.Priority = 1
	return c
}

func allWide(columns ...column) []column {
	wided := slices.Clone(columns)
	for i := range wided {
		wided[i].Priority = 1
	}
	return wided
}

// nameOfDefault is the column of a name that says which is the default: one of annotations is "true".
func nameOfDefault(annotations ...string) column {
	c := name
	c.cell = func(o object, _ time.Time) any {
		if slices.ContainsFunc(annotations, func(a string) bool { return o.GetAnnotations()[a] == "true" }) {
			return o.GetName() + " (default)"
		}
		return o.GetName()
	}
	return c
}

// since is how long ago something was.
func since(then, now time.Time) string {
	if then.IsZero() {
		return unknown
	}
	return duration.HumanDuration(now.Sub(then))
}

// or is what a pointer points to, or else a value.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// orNone is a text, or that there is none.
func orNone[S ~string](s S) string { return cmp.Or(string(s), none) }
