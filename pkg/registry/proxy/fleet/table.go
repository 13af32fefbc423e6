package fleet

import (
	"encoding/json"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// clusterColumn names the cluster of a row. It stands behind the names of objects, which stay first.
var clusterColumn = column{name: "Cluster", raw: mustJSON(metav1.TableColumnDefinition{
	Name: "Cluster", Type: "string", Description: "The cluster that the object is in.",
})}

// defaultColumns are those of members that send no tables.
var defaultColumns = []column{
	{name: "Name", isName: true, raw: mustJSON(metav1.TableColumnDefinition{
		Name: "Name", Type: "string", Format: "name", Description: "The name of the object.",
	})},
	{name: "Age", raw: mustJSON(metav1.TableColumnDefinition{
		Name: "Age", Type: "string", Description: "How long ago the object was created.",
	})},
}

func mustJSON(value any) []byte {
	data, _ := json.Marshal(value) // of types that can be written
	return data
}

// unite returns the columns of all members: those of the first one in its order, and each that
// only another one has behind the one that is before it there, as long as there are not too many.
// Columns are told apart by name.
func unite(all ...[]column) []column {
	var out []column
	for _, columns := range all {
		behind := 0
		for _, c := range columns {
			i := indexOf(out, c.name)
			if i < 0 && len(out) >= maxColumns {
				continue
			}
			if i < 0 {
				i = behind
				out = slices.Insert(out, i, c)
			}
			behind = i + 1
		}
	}
	return out
}

func indexOf(columns []column, name string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.name == name })
}

// sheet is a table that is being written.
type sheet struct {
	columns []column
	// before is the column that the cluster's comes before.
	before int
	noObject,
	wholeObject bool
}

func newSheet(columns []column, q *query) *sheet {
	before := slices.IndexFunc(columns, func(c column) bool { return c.isName }) + 1
	return &sheet{columns, before, q.noObject, q.raw.Get("includeObject") == string(metav1.IncludeObject)}
}

// appendColumns appends columnDefinitions.
func (t *sheet) appendColumns(dst []byte) []byte {
	dst = append(dst, '[')
	for i, c := range slices.Insert(slices.Clone(t.columns), t.before, clusterColumn) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c.raw...)
	}
	return append(dst, ']')
}

// layout says where the cells of one member's rows are in a sheet.
type layout struct {
	from []int // for each column of the sheet, that of the member; -1 if it has none
	// same: the member has just the columns of the sheet.
	same bool
}

func (t *sheet) layout(columns []column) layout {
	l := layout{same: len(columns) == len(t.columns)}
	for i, c := range t.columns {
		at := indexOf(columns, c.name)
		l.from, l.same = append(l.from, at), l.same && at == i
	}
	return l
}

// appendRow appends one row. cluster is the name as JSON.
func (t *sheet) appendRow(dst []byte, i *item, l layout, s *source) []byte {
	dst = append(dst, `{"cells":[`...)
	dst = t.appendCells(dst, i.cells, l, s.cluster)
	dst = append(dst, `],"object":`...)
	switch {
	case t.noObject:
		dst = append(dst, "null"...)
	case s.converted && !t.wholeObject:
		dst = i.appendPartial(dst, s.note)
	default:
		dst = i.appendTo(dst, s.note, s.kind, s.apiVersion)
	}
	return append(dst, '}')
}

func (t *sheet) appendCells(dst, cells []byte, l layout, cluster []byte) []byte {
	values := cellsOf(cells)
	for i := range len(t.columns) + 1 {
		if i > 0 {
			dst = append(dst, ',')
		}
		if i == t.before {
			dst = append(dst, cluster...)
			continue
		}
		at := i
		if i > t.before {
			at--
		}
		if from := l.from[at]; from >= 0 && from < len(values) {
			dst = append(dst, values[from].of(cells)...)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return dst
}

// cellsOf returns where the cells of a row are. They were scanned before.
func cellsOf(cells []byte) (values []span) {
	s := &scanner{data: cells}
	_ = s.array(func() error {
		value, err := s.spanOf()
		values = append(values, value)
		return err
	})
	return values
}

// tabulate makes rows of a page of a member that sends no tables.
func (p *page) tabulate() {
	if p.isTable() || p.converted {
		return
	}
	p.converted, p.columns = true, defaultColumns
	for i := range p.items {
		p.items[i].tabulate()
	}
}

func (i *item) tabulate() {
	var metadata struct {
		Created metav1.Time `json:"creationTimestamp"`
	}
	age := "<unknown>"
	if json.Unmarshal(i.metadata.of(i.raw), &metadata) == nil && !metadata.Created.IsZero() {
		age = duration.HumanDuration(time.Since(metadata.Created.Time))
	}
	i.cells = []byte("[" + quote(i.name()) + "," + quote(age) + "]")
}
