package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// rowsKept is how many rows are looked at for the width of columns.
const rowsKept = 500

// getPrinter prints objects as they come. It holds no more than rowsKept rows.
type getPrinter struct {
	out    io.Writer
	output string
	// namespaces has a column for them.
	namespaces bool
	// watch prints objects for programs one by one, and not as one list.
	watch bool

	// count is of all that was printed.
	count int
	// header is the one that was printed last, rows are those that are not printed yet, and widths those of
	// columns, which do not shrink.
	header []string
	rows   [][]string
	widths []int
}

func (g *getPrinter) isTable() bool { return g.output == outputTable || g.output == outputWide }

// print prints one object, or its row. columns are those of the table that it comes from.
func (g *getPrinter) print(p *place, columns []metav1.TableColumnDefinition, one *gotten) error {
	g.count++
	switch g.output {
	case outputTable, outputWide:
		return g.row(p, columns, one)
	case outputName:
		kind := schema.GroupResource{Group: p.kind.Group, Resource: strings.ToLower(p.kind.Kind)} // KIND.GROUP, as kubectl has it
		_, err := fmt.Fprintf(g.out, "%s/%s/%s\n", one.cluster, kind, cellText(one.Name))
		return err
	}
	object, err := one.marked(p.kind)
	if err != nil {
		return err
	}
	return g.whole(object)
}

// marked is the object with its kind, which it does not have in lists, its cluster and its cell.
func (g *gotten) marked(kind schema.GroupVersionKind) ([]byte, error) {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(g.Object))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	if object["kind"] == nil {
		object["apiVersion"], object["kind"] = kind.GroupVersion().String(), kind.Kind
	}
	metadata, _ := object["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		object["metadata"] = metadata
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[v1alpha1.ClusterAnnotation] = g.cluster
	if delete(annotations, v1alpha1.CellAnnotation); g.cell != "" {
		annotations[v1alpha1.CellAnnotation] = g.cell
	}
	return json.Marshal(object)
}

// whole prints an object for a program: as an item of one list, or alone.
func (g *getPrinter) whole(object []byte) error {
	begin, indent := "", ""
	switch {
	case g.watch && g.output == outputYAML:
		data, err := yaml.JSONToYAML(object)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.out, "---\n%s", data)
		return err
	case g.output == outputYAML:
		data, err := yaml.JSONToYAML(slices.Concat([]byte("["), object, []byte("]")))
		if err != nil {
			return err
		}
		if g.count == 1 {
			begin = "apiVersion: v1\nitems:\n"
		}
		_, err = fmt.Fprintf(g.out, "%s%s", begin, data)
		return err
	case !g.watch:
		indent = "    "
		if begin = ",\n" + indent; g.count == 1 {
			begin = "{\n  \"apiVersion\": \"v1\",\n  \"items\": [\n" + indent
		}
	}
	var data bytes.Buffer
	if err := json.Indent(&data, object, indent, "  "); err != nil {
		return err
	}
	if g.watch {
		data.WriteByte('\n')
	}
	_, err := fmt.Fprintf(g.out, "%s%s", begin, data.Bytes())
	return err
}

// end ends the list. Without it a document for a program is none: it is not whole.
func (g *getPrinter) end() error {
	text := ""
	switch {
	case g.output == outputYAML && g.count == 0:
		text = "apiVersion: v1\nitems: []\nkind: List\nmetadata: {}\n"
	case g.output == outputYAML:
		text = "kind: List\nmetadata: {}\n"
	case g.output == outputJSON && g.count == 0:
		text = "{\n  \"apiVersion\": \"v1\",\n  \"items\": [],\n  \"kind\": \"List\",\n  \"metadata\": {}\n}\n"
	case g.output == outputJSON:
		text = "\n  ],\n  \"kind\": \"List\",\n  \"metadata\": {}\n}\n"
	}
	_, err := io.WriteString(g.out, text)
	return err
}

// row keeps a row until there are enough of them.
func (g *getPrinter) row(p *place, columns []metav1.TableColumnDefinition, one *gotten) error {
	header, row := []string{}, []string{}
	add := func(name, value string) { header, row = append(header, name), append(row, value) }
	if g.namespaces && p.namespaced {
		add("NAMESPACE", cellText(one.Namespace))
	}
	behind := behindName(columns)
	for i := range len(columns) + 1 {
		if i == behind {
			add("CLUSTER", one.cluster)
			if p.cell != "" || p.cells != nil {
				add("CELL", one.cell)
			}
		}
		if i < len(columns) && (columns[i].Priority == 0 || g.output == outputWide) {
			value := any(nil)
			if i < len(one.Cells) {
				value = one.Cells[i]
			}
			add(strings.ToUpper(cellText(columns[i].Name)), cellText(value))
		}
	}
	if !slices.Equal(header, g.header) {
		if err := g.flush(); err != nil {
			return err
		}
		g.header, g.rows, g.widths = header, [][]string{header}, nil
	}
	if g.rows = append(g.rows, row); len(g.rows) < rowsKept {
		return nil
	}
	return g.flush()
}

// cellText is the first line of a cell, without what a terminal would take for a command.
func cellText(value any) string {
	if value == nil {
		return ""
	}
	text := fmt.Sprint(value)
	if i := strings.IndexAny(text, "\r\n\f"); i >= 0 {
		text = text[:i] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// flush prints the rows that are kept.
func (g *getPrinter) flush() error {
	for _, row := range g.rows {
		for i, cell := range row {
			if i == len(g.widths) {
				g.widths = append(g.widths, 0)
			}
			g.widths[i] = max(g.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range g.rows {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", g.widths[i]-utf8.RuneCountInString(cell)+3)
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	g.rows = nil
	_, err := io.WriteString(g.out, text.String())
	return err
}
