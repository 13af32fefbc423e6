package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conditions"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

var columns = []metav1.TableColumnDefinition{
	{Name: "Target", Type: "string", Format: "name", Description: "Name of the target."},
	{Name: "State", Type: "string", Description: "What the federation says of the target; OK if it runs what the spec says."},
	{Name: "Cluster", Type: "string", Description: "The member that the target is, or is in."},
	{Name: "Namespace", Type: "string", Description: "Namespace of the object in the member."},
	{Name: "Ready", Type: "string", Description: "What the object says of itself: replicas that are ready, or a condition."},
	{Name: "Message", Type: "string", Description: "What there is to say of the target."},
}

// ConvertToTable implements rest.TableConvertor.
func (*REST) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	switch o := object.(type) {
	case *federationv1alpha1.TargetObject:
		table.Rows = []metav1.TableRow{rowOf(o)}
	case *federationv1alpha1.TargetObjectList:
		table.ResourceVersion = o.ResourceVersion
		for i := range o.Items {
			table.Rows = append(table.Rows, rowOf(&o.Items[i]))
		}
	default:
		return nil, fmt.Errorf("a %T is no target", object)
	}
	if asked, ok := options.(*metav1.TableOptions); !ok || !asked.NoHeaders {
		table.ColumnDefinitions = columns
	}
	return table, nil
}

func rowOf(o *federationv1alpha1.TargetObject) metav1.TableRow {
	state := o.State
	if state == "" {
		state = "OK"
	}
	return metav1.TableRow{
		Cells:  []any{o.Name, state, o.Cluster, o.MemberNamespace, readyOf(o.Status), messageOf(o)},
		Object: runtime.RawExtension{Object: o},
	}
}

// messageOf is what is not as it should be now, else the message of the record.
func messageOf(o *federationv1alpha1.TargetObject) string {
	for _, conditionType := range []string{conditions.Unreachable, conditions.Forbidden, conditions.Conflict, conditions.Healthy} {
		i := slices.IndexFunc(o.Conditions, func(c federationv1alpha1.TargetCondition) bool { return c.Type == conditionType })
		if i >= 0 && o.Conditions[i].Message != "" {
			return o.Conditions[i].Message
		}
	}
	return o.Message
}

// readyOf is a word on a status for people: 2/3, or the status of the first condition that says
// whether all is done. It judges nothing.
func readyOf(status rawjson.Value) string {
	var said struct {
		Replicas               *int64 `json:"replicas"`
		ReadyReplicas          int64  `json:"readyReplicas"`
		DesiredNumberScheduled *int64 `json:"desiredNumberScheduled"`
		NumberReady            int64  `json:"numberReady"`
		Conditions             []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		Phase string `json:"phase"`
	}
	if len(status) == 0 || json.Unmarshal(status, &said) != nil {
		return ""
	}
	switch {
	case said.Replicas != nil:
		return strconv.FormatInt(said.ReadyReplicas, 10) + "/" + strconv.FormatInt(*said.Replicas, 10)
	case said.DesiredNumberScheduled != nil:
		return strconv.FormatInt(said.NumberReady, 10) + "/" + strconv.FormatInt(*said.DesiredNumberScheduled, 10)
	}
	for _, conditionType := range []string{"Ready", "Available", "Complete", "Established"} {
		for _, c := range said.Conditions {
			if c.Type == conditionType {
				return memberaccess.Said(c.Status, maxWhyBytes)
			}
		}
	}
	return memberaccess.Said(said.Phase, maxWhyBytes)
}
