package status

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Refuse has the condition of a status that Fold has made say why what the object asks for is not
// placed; what the condition says of the targets follows that. old and now are what Fold was given,
// and times are kept as there.
func Refuse(folded, old *v1beta2.FederatedObjectStatus, reason, message string, now time.Time) {
	at := propagationOf(folded)
	if at < 0 {
		return
	}
	condition := folded.Conditions[at]
	stamp := now.UTC().Format(time.RFC3339)
	condition.Status, condition.Reason = metav1.ConditionFalse, reason
	condition.Message = Cut(message, v1beta2.MaxMessageBytes) + "; " + condition.Message
	condition.LastUpdateTime, condition.LastTransitionTime = stamp, stamp
	if before := propagationOf(old); before >= 0 {
		condition = succeed(old.Conditions[before], condition)
	}
	folded.Conditions[at] = condition
}

// propagationOf returns where the condition Propagation is; -1 if there is none.
func propagationOf(status *v1beta2.FederatedObjectStatus) int {
	if status == nil {
		return -1
	}
	return slices.IndexFunc(status.Conditions, func(c v1beta2.Condition) bool { return c.Type == v1beta2.ConditionPropagation })
}
