package strategy

import (
	"context"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"time"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the object."},
	{Name: "Topology", Type: "string", Description: "What the object is placed by: cluster, cell or edgeunit."},
	{Name: "Targets", Type: "string", Description: "Targets that are placed."},
	{Name: "Propagated", Type: "string", Description: "Whether every target that may change runs what the spec says."},
	{Name: "Masked", Type: "string", Description: "Targets that the placement mask leaves as they are."},
	{Name: "Age", Type: "string", Description: "Time since creation."},
	{Name: "Up-to-date", Type: "string", Priority: 1, Description: "Targets that run what the spec says, or ran it to its end, of all that are placed."},
	{Name: "Not-ready", Type: "string", Priority: 1, Description: "The first target that does not, and why."},
}

// tableConvertor prints what "kubectl get" shows.
type tableConvertor struct{}

// ConvertToTable turns an object or list into rows.
func (tableConvertor) ConvertToTable(_ context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		table.ColumnDefinitions = columns
	}
	if list, ok := obj.(*typesv1beta2.FederatedObjectList); ok {
		table.ListMeta = list.ListMeta
		table.Rows = make([]metav1.TableRow, 0, len(list.Items))
		for i := range list.Items {
			table.Rows = append(table.Rows, row(&list.Items[i]))
		}
		return table, nil
	}
	o, ok := obj.(*typesv1beta2.FederatedObject)
	if !ok {
		return nil, runtime.NewNotRegisteredErrForType("federated kinds", nil)
	}
	if m, err := meta.CommonAccessor(obj); err == nil {
		table.ResourceVersion = m.GetResourceVersion()
	}
	table.Rows = []metav1.TableRow{row(o)}
	return table, nil
}

func row(o *typesv1beta2.FederatedObject) metav1.TableRow {
	s := summarize(o.Status)
	return metav1.TableRow{
		Cells:  []any{o.Name, o.Spec.TopologyType, s.targets, s.propagated, s.masked, age(o.CreationTimestamp), s.upToDate, s.firstTrouble},
		Object: runtime.RawExtension{Object: o},
	}
}

type summary struct{ targets, propagated, masked, upToDate, firstTrouble string }

func summarize(status *typesv1beta2.FederatedObjectStatus) summary {
	if status == nil {
		return summary{targets: "-", propagated: "Unknown", masked: "-", upToDate: "-"}
	}
	var ok, masked int
	trouble := ""
	for _, t := range status.Targets {
		switch {
		case t.State.UpToDate():
			ok++
		case t.State == typesv1beta2.TargetMasked:
			masked++
		case trouble == "":
			trouble = t.Name + ": " + string(t.State)
		}
	}
	n := strconv.Itoa(len(status.Targets))
	return summary{targets: n, propagated: propagated(status.Conditions), masked: strconv.Itoa(masked),
		upToDate: strconv.Itoa(ok) + "/" + n, firstTrouble: trouble}
}

func propagated(conditions []typesv1beta2.Condition) string {
	for _, c := range conditions {
		if c.Type == typesv1beta2.ConditionPropagation {
			return string(c.Status)
		}
	}
	return "Unknown"
}

func age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}
