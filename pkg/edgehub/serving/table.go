package serving

import (
	"bufio"
	"encoding/json"
	"iter"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/edgehub/table"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
)

// tableCodec writes Tables, as people see them.
type tableCodec struct {
	of *table.Table
	// includes is what a row has of its object.
	includes metav1.IncludeObjectPolicy
	jsonCodec
	// told: the columns were, in an event of this watch.
	told bool
}

func newTableCodec(q *target.Target, query url.Values) (codec, error) {
	var options metav1.TableOptions
	if err := scheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &options); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if errs := validation.ValidateTableOptions(&options); len(errs) > 0 {
		return nil, apierrors.NewBadRequest("Unable to convert to Table as requested: " + errs.ToAggregate().Error())
	}
	return &tableCodec{of: table.Of(q.Group, q.Version, q.Resource), includes: options.IncludeObject}, nil
}

// ofRows is a Table without columns.
func ofRows(rows ...metav1.TableRow) *metav1.Table {
	return &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: metav1.SchemeGroupVersion.String()}, Rows: rows}
}

// object is a Table of one row. Of a watch only the first has columns.
func (c *tableCodec) object(body []byte) ([]byte, error) {
	row, err := c.row(body)
	if err != nil {
		return nil, err
	}
	var o struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	one := ofRows(row)
	one.ResourceVersion = o.Metadata.ResourceVersion
	if !c.told {
		one.ColumnDefinitions, c.told = c.of.Columns(), true
	}
	return json.Marshal(one)
}

// bookmark has a row without cells, for the metadata.
func (c *tableCodec) bookmark(meta metav1.ObjectMeta) ([]byte, error) {
	raw, err := json.Marshal(metav1.PartialObjectMetadata{TypeMeta: metadataKind, ObjectMeta: meta})
	if err != nil {
		return nil, err
	}
	one := ofRows(metav1.TableRow{Cells: []any{}, Object: runtime.RawExtension{Raw: raw}})
	one.ResourceVersion = meta.ResourceVersion
	return json.Marshal(one)
}

// row is one of an object.
func (c *tableCodec) row(body []byte) (metav1.TableRow, error) {
	row, err := c.of.Row(body, time.Now())
	if err != nil {
		return row, err
	}
	switch c.includes {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		row.Object.Raw = body
	default:
		row.Object.Raw, err = metadataOnly(body)
	}
	return row, err
}

func (c *tableCodec) list(b *bufio.Writer, meta metav1.ListMeta, bodies iter.Seq2[[]byte, error]) error {
	all := ofRows()
	all.ListMeta, all.ColumnDefinitions, all.Rows = meta, c.of.Columns(), []metav1.TableRow{}
	return writeElements(b, all, bodies, func(body []byte) ([]byte, error) {
		row, err := c.row(body)
		if err != nil {
			return nil, err
		}
		return json.Marshal(row)
	})
}
