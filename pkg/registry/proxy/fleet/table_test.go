package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/test/simulation"
)

const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// tables is a member that sends tables. Columns that begin with "name" hold the name.
func tables(name string, columns []string, keys ...string) Member {
	table := metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: "meta.k8s.io/v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	for _, column := range columns {
		definition := metav1.TableColumnDefinition{Name: column, Type: "string"}
		if column == "Name" {
			definition.Format = "name"
		}
		table.ColumnDefinitions = append(table.ColumnDefinitions, definition)
	}
	for _, key := range keys {
		namespace, object, _ := strings.Cut(key, "/")
		row := metav1.TableRow{}
		for _, column := range columns {
			if column == "Name" {
				row.Cells = append(row.Cells, object)
			} else {
				row.Cells = append(row.Cells, column+" of "+name)
			}
		}
		row.Object.Raw = []byte(fmt.Sprintf(`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"namespace":%q,"name":%q,"resourceVersion":"5"}}`, namespace, object))
		table.Rows = append(table.Rows, row)
	}
	return served(name, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("watch") {
			<-r.Context().Done()
			return
		}
		_ = json.NewEncoder(w).Encode(table)
	})
}

func (a asked) table(t *testing.T) (table metav1.Table, rows []string) {
	t.Helper()
	if err := json.Unmarshal(a.body, &table); err != nil || a.code != http.StatusOK || table.Kind != "Table" {
		t.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	return table, rowsOf(t, table)
}

// rowsOf are the columns, and the cells of each row.
func rowsOf(t *testing.T, table metav1.Table) (rows []string) {
	t.Helper()
	var names []string
	for _, c := range table.ColumnDefinitions {
		names = append(names, c.Name)
	}
	rows = append(rows, strings.Join(names, "|"))
	for _, row := range table.Rows {
		var cells []string
		for _, cell := range row.Cells {
			cells = append(cells, fmt.Sprint(cell))
		}
		rows = append(rows, strings.Join(cells, "|"))
	}
	return rows
}

func TestTablesAreUnited(t *testing.T) {
	w := newWorld(t, 1, Config{})
	put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "c", "")) // which sends no tables
	members, _ := w.List(t.Context())
	w.set(append(members,
		tables("m2", []string{"Name", "Data", "Age"}, "shop/a", "shop/c"),
		tables("m3", []string{"Name", "Data", "New", "Age"}, "shop/b"))...)
	table, rows := ask(t, w, "/api/v1/namespaces/shop/configmaps", asTable).table(t)
	want := []string{
		"Name|Cluster|Data|New|Age",
		"a|m2|Data of m2|<nil>|Age of m2",
		"b|m3|Data of m3|New of m3|Age of m3",
		"c|m1|<nil>|<nil>|0s",
		"c|m2|Data of m2|<nil>|Age of m2",
	}
	if diff := cmp.Diff(want, rows); diff != "" && !strings.Contains(rows[3], "c|m1|<nil>|<nil>|") {
		t.Error(diff)
	}
	for _, row := range table.Rows {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(row.Object.Raw, &o); err != nil || o.Kind != "PartialObjectMetadata" || o.Annotations[ClusterAnnotation] != row.Cells[1] {
			t.Errorf("%v: the row of %v has %s", err, row.Cells, row.Object.Raw)
		}
	}
	t.Run("without objects", func(t *testing.T) {
		table, _ := ask(t, w, "/api/v1/namespaces/shop/configmaps", asTable, "includeObject", "None").table(t)
		for _, row := range table.Rows {
			if string(row.Object.Raw) != "null" && row.Object.Raw != nil {
				t.Errorf("a row has %s", row.Object.Raw)
			}
		}
	})
	t.Run("in chunks, with the same columns in each", func(t *testing.T) {
		var got []string
		for token := ""; ; {
			table, rows := ask(t, w, "/api/v1/namespaces/shop/configmaps", asTable, "limit", "1", "continue", token).table(t)
			if rows[0] != want[0] {
				t.Errorf("the columns are %s", rows[0])
			}
			got = append(got, rows[1:]...)
			if token = table.Continue; token == "" {
				break
			}
		}
		if len(got) != 4 {
			t.Errorf("got %v", got)
		}
	})
}

func TestAnObjectIsAskedForByItsName(t *testing.T) {
	w := newWorld(t, 3, Config{})
	put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "one", ""))
	put(t, w.simulated[1], simulation.ConfigMaps, configMap("shop", "two", ""))
	put(t, w.simulated[2], simulation.ConfigMaps, configMap("shop", "two", ""))
	path := "/api/v1/namespaces/shop/configmaps/"
	t.Run("one cluster has it", func(t *testing.T) {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(ask(t, w, path+"one", "").body, &o); err != nil || o.Name != "one" || o.Kind != "ConfigMap" || o.Annotations[ClusterAnnotation] != "m1" {
			t.Errorf("%v: %+v", err, o)
		}
	})
	t.Run("several have it", func(t *testing.T) {
		status := ask(t, w, path+"two", "").status(t, http.StatusConflict)
		if !strings.Contains(status.Message, "in 2 clusters (m2, m3)") {
			t.Error(status.Message)
		}
	})
	t.Run("several have it, as a table", func(t *testing.T) {
		_, rows := ask(t, w, path+"two", asTable).table(t)
		if len(rows) != 3 || !strings.HasPrefix(rows[1], "two|m2|") || !strings.HasPrefix(rows[2], "two|m3|") {
			t.Error(rows)
		}
	})
	t.Run("nobody has it", func(t *testing.T) {
		if status := ask(t, w, path+"none", "").status(t, http.StatusNotFound); status.Details == nil || status.Details.Name != "none" {
			t.Errorf("%+v", status)
		}
	})
	t.Run("nobody has it that answers", func(t *testing.T) {
		w.simulated[1].SetFaults(simulation.Fault{Cut: true})
		status := ask(t, w, path+"none", "").status(t, http.StatusServiceUnavailable)
		if !strings.Contains(status.Message, "m2: ") {
			t.Error(status.Message)
		}
	})
	t.Run("one has it, and another is away", func(t *testing.T) {
		if a := ask(t, w, path+"one", ""); a.code != http.StatusOK || len(a.warnings) != 1 {
			t.Errorf("%d, warned %q", a.code, a.warnings)
		}
	})
}

func TestAWatchOfTablesHasColumnsWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, Config{})
		w.set(tables("m1", []string{"Name", "Age"}, "shop/a", "shop/b"))
		watch, status := openWatch(t, t.Context(), w, asTable)
		if watch == nil {
			t.Fatal(status)
		}
		defer watch.body.Close()
		var got []string
		next := func() {
			e, err := watch.next()
			if err != nil {
				t.Fatal(err)
			}
			data, _ := json.Marshal(e.Object)
			var table metav1.Table
			if err := json.Unmarshal(data, &table); err != nil || table.ResourceVersion != "5" {
				t.Fatalf("%v: %s", err, data)
			}
			got = append(got, e.Type+" "+strings.Join(rowsOf(t, table), " "))
		}
		next()
		next()
		members, _ := w.List(t.Context())
		w.set(append(members, tables("m2", []string{"Name", "New", "Age"}, "shop/c"))...)
		next()
		want := []string{
			"ADDED Name|Cluster|Age a|m1|Age of m1", "ADDED  b|m1|Age of m1", "ADDED Name|Cluster|New|Age c|m2|New of m2|Age of m2",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAWatchThatWasQuietAtFirstHasItsColumns: an API server says the columns in the first event of
// a watch alone, and that is a bookmark if there is no other within a minute.
func TestAWatchThatWasQuietAtFirstHasItsColumns(t *testing.T) {
	const (
		bookmark = `{"type":"BOOKMARK","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"6"},` +
			`"columnDefinitions":[{"name":"Name","type":"string","format":"name"},{"name":"Data","type":"string"}],"rows":[]}}`
		row = `{"type":"ADDED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"columnDefinitions":null,` +
			`"rows":[{"cells":["late",1],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"namespace":"shop","name":"late","resourceVersion":"7"}}}]}}`
	)
	for name, watches := range map[string][]string{
		"a bookmark says them":                          {bookmark + row},
		"nothing says them, and the next watch does so": {row, bookmark + row},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0, Config{})
				w.set(served("m1", func(w http.ResponseWriter, r *http.Request) {
					if !r.URL.Query().Has("watch") || len(watches) == 0 {
						t.Errorf("the member was asked for %s", r.URL)
						return
					}
					events := watches[0]
					watches = watches[1:]
					_, _ = io.WriteString(w, events)
					<-r.Context().Done()
				}))
				watch, status := openWatch(t, t.Context(), w, asTable, "resourceVersion", versions{hash("m1"): 5}.String())
				if watch == nil {
					t.Fatal(status)
				}
				defer watch.body.Close()
				e, err := watch.next()
				if err != nil {
					t.Fatal(err)
				}
				data, _ := json.Marshal(e.Object)
				var table metav1.Table
				if err := json.Unmarshal(data, &table); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"Name|Cluster|Data", "late|m1|1"}, rowsOf(t, table)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
