package strategy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// column is one of a table, and what it has to say of an object.
type column struct {
	metav1.TableColumnDefinition
	cell func(*typesv1beta2.FederatedObject, summary) any
}

// ready is beside the others for Kubernetes' own workloads, and in wide tables for all kinds:
// what columns there are must not depend on the objects, which come one by one where somebody watches.
var ready = column{metav1.TableColumnDefinition{Name: "Ready", Type: "string", Description: "Replicas that are ready, of those that are to be in all targets."},
	func(_ *typesv1beta2.FederatedObject, s summary) any { return s.ready }}

var (
	first = []column{
		{metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: "Name of the object."},
			func(o *typesv1beta2.FederatedObject, _ summary) any { return o.Name }},
		{metav1.TableColumnDefinition{Name: "Topology", Type: "string", Description: "What the object is placed by: cluster, cell or edgeunit."},
			func(o *typesv1beta2.FederatedObject, _ summary) any { return o.Spec.TopologyType }},
		{metav1.TableColumnDefinition{Name: "Targets", Type: "string", Description: "Targets that are placed."},
			func(_ *typesv1beta2.FederatedObject, s summary) any { return s.targets }},
		{metav1.TableColumnDefinition{Name: "Propagated", Type: "string", Description: "Whether every target that may change runs what the spec says."},
			func(_ *typesv1beta2.FederatedObject, s summary) any { return s.propagated }},
	}
	last = []column{
		{metav1.TableColumnDefinition{Name: "Masked", Type: "string", Description: "Targets that the placement mask leaves as they are."},
			func(_ *typesv1beta2.FederatedObject, s summary) any { return s.masked }},
		{metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: "Time since creation."},
			func(o *typesv1beta2.FederatedObject, _ summary) any { return age(o.CreationTimestamp) }},
		{metav1.TableColumnDefinition{Name: "Up-to-date", Type: "string", Priority: 1, Description: "Targets that run what the spec says, or ran it to its end, of all that are placed."},
			func(_ *typesv1beta2.FederatedObject, s summary) any { return s.upToDate }},
		{metav1.TableColumnDefinition{Name: "Healthy", Type: "string", Priority: 1, Description: "Whether the objects in all targets are healthy."},
			func(_ *typesv1beta2.FederatedObject, s summary) any { return s.healthy }},
		{metav1.TableColumnDefinition{Name: "Not-ready", Type: "string", Priority: 1, Description: "The first target that does not run what the spec says, or is not healthy, and why."},
			func(_ *typesv1beta2.FederatedObject, s summary) any { return s.firstTrouble }},
	}
)

// workloads are Kubernetes' own kinds that have replicas.
var workloads = map[schema.GroupKind]bool{
	{Group: "apps", Kind: "Deployment"}:        true,
	{Group: "apps", Kind: "ReplicaSet"}:        true,
	{Group: "apps", Kind: "StatefulSet"}:       true,
	{Group: "apps", Kind: "DaemonSet"}:         true,
	{Group: "", Kind: "ReplicationController"}: true,
}

// tableConvertor prints what "kubectl get" shows.
type tableConvertor struct{ columns []column }

func newTableConvertor(target schema.GroupKind) tableConvertor {
	if workloads[target] {
		return tableConvertor{slices.Concat(first, []column{ready}, last)}
	}
	wide := ready
	wide.Priority = 1
	return tableConvertor{slices.Concat(first, last, []column{wide})}
}

// ConvertToTable turns an object or list into rows.
func (c tableConvertor) ConvertToTable(_ context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		for _, column := range c.columns {
			table.ColumnDefinitions = append(table.ColumnDefinitions, column.TableColumnDefinition)
		}
	}
	if list, ok := obj.(*typesv1beta2.FederatedObjectList); ok {
		table.ListMeta = list.ListMeta
		table.Rows = make([]metav1.TableRow, 0, len(list.Items))
		for i := range list.Items {
			table.Rows = append(table.Rows, c.row(&list.Items[i]))
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
	table.Rows = []metav1.TableRow{c.row(o)}
	return table, nil
}

func (c tableConvertor) row(o *typesv1beta2.FederatedObject) metav1.TableRow {
	s, cells := summarize(o.Status), make([]any, 0, len(c.columns))
	for _, column := range c.columns {
		cells = append(cells, column.cell(o, s))
	}
	return metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: o}}
}

type summary struct{ targets, propagated, healthy, ready, masked, upToDate, firstTrouble string }

func summarize(status *typesv1beta2.FederatedObjectStatus) summary {
	if status == nil {
		return summary{targets: "-", propagated: "Unknown", healthy: "Unknown", ready: "-", masked: "-", upToDate: "-"}
	}
	var ok, masked int
	trouble, unwell := "", ""
	for _, t := range status.Targets {
		switch {
		case t.State.UpToDate():
			ok++
		case t.State == typesv1beta2.TargetMasked:
			masked++
		case trouble == "":
			trouble = t.Name + ": " + string(t.State)
		}
		if unwell == "" && (t.Health == typesv1beta2.HealthDegraded || t.Health == typesv1beta2.HealthProgressing) {
			unwell = strings.TrimSuffix(t.Name+": "+string(t.Health)+", "+t.HealthMessage, ", ")
		}
	}
	n := strconv.Itoa(len(status.Targets))
	return summary{
		targets: n, propagated: condition(status.Conditions, typesv1beta2.ConditionPropagation), healthy: condition(status.Conditions, typesv1beta2.ConditionHealthy),
		ready: readyOf(status.Workload), masked: strconv.Itoa(masked), upToDate: strconv.Itoa(ok) + "/" + n, firstTrouble: cmp.Or(trouble, unwell),
	}
}

func readyOf(w *typesv1beta2.WorkloadStatus) string {
	if w == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", w.ReadyReplicas, w.DesiredReplicas)
}

func condition(conditions []typesv1beta2.Condition, of typesv1beta2.ConditionType) string {
	for _, c := range conditions {
		if c.Type == of {
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
