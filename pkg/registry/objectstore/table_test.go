package objectstore_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

var table = objectstore.Table(
	objectstore.Column[*corev1.ConfigMap]{Name: "Keys", Type: "integer", Description: "How many.",
		Value: func(c *corev1.ConfigMap) any { return int64(len(c.Data)) }},
	objectstore.Age[*corev1.ConfigMap](),
	objectstore.Column[*corev1.ConfigMap]{Name: "Uid", Description: "Identity.", Wide: true,
		Value: func(c *corev1.ConfigMap) any { return string(c.UID) }},
)

func configMap(name string) corev1.ConfigMap {
	return corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u-1", ResourceVersion: "7"},
		Data:       map[string]string{"a": "b"},
	}
}

func TestTable(t *testing.T) {
	remaining := int64(3)
	one := configMap("one")
	aged := configMap("aged")
	aged.CreationTimestamp = metav1.NewTime(time.Now().Add(-3 * 24 * time.Hour))
	for name, test := range map[string]struct {
		object runtime.Object
		rows   [][]any
		meta   metav1.ListMeta
	}{
		"one object is one row": {
			object: &one,
			rows:   [][]any{{"one", int64(1), "<unknown>", "u-1"}},
			meta:   metav1.ListMeta{ResourceVersion: "7"}},
		"a list is a row per item, and passes on its metadata": {
			object: &corev1.ConfigMapList{
				ListMeta: metav1.ListMeta{ResourceVersion: "9", Continue: "next", RemainingItemCount: &remaining},
				Items:    []corev1.ConfigMap{one, aged},
			},
			rows: [][]any{{"one", int64(1), "<unknown>", "u-1"}, {"aged", int64(1), "3d", "u-1"}},
			meta: metav1.ListMeta{ResourceVersion: "9", Continue: "next", RemainingItemCount: &remaining}},
		"an empty list has no rows": {object: &corev1.ConfigMapList{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := table.ConvertToTable(t.Context(), test.object, nil)
			if err != nil {
				t.Fatal(err)
			}
			var rows [][]any
			for _, row := range got.Rows {
				rows = append(rows, row.Cells)
				if row.Object.Object == nil {
					t.Errorf("row %v lacks its object", row.Cells)
				}
			}
			if diff := cmp.Diff(test.rows, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.meta, got.ListMeta); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTableHeadings(t *testing.T) {
	got, err := table.ConvertToTable(t.Context(), &corev1.ConfigMapList{}, &metav1.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	type heading struct {
		Name, Type string
		Priority   int32
	}
	var headings []heading
	for _, column := range got.ColumnDefinitions {
		headings = append(headings, heading{column.Name, column.Type, column.Priority})
		if column.Description == "" {
			t.Errorf("column %s lacks a description", column.Name)
		}
	}
	want := []heading{{"Name", "string", 0}, {"Keys", "integer", 0}, {"Age", "string", 0}, {"Uid", "string", 1}}
	if diff := cmp.Diff(want, headings); diff != "" {
		t.Errorf("headings (-want +got):\n%s", diff)
	}
	got, err = table.ConvertToTable(t.Context(), &corev1.ConfigMapList{}, &metav1.TableOptions{NoHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.ColumnDefinitions != nil {
		t.Errorf("got headings %v, want none", got.ColumnDefinitions)
	}
}

func TestTableRefusesAnotherKind(t *testing.T) {
	_, err := table.ConvertToTable(t.Context(), &corev1.Secret{}, nil)
	if err == nil || err.Error() != "a table of *v1.ConfigMap cannot have a row for *v1.Secret" {
		t.Errorf("got error %v", err)
	}
}
