package events

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// ClusterTransitions returns what has happened between two statuses of a KubeFedCluster that were
// stored one after the other: that it has become ready, or is not any more. Its reasons are those of
// the conditions: ClusterReady, ClusterNotReady, ClusterNotReachable and ClusterConfigMalformed.
func ClusterTransitions(old, current *v1beta1.KubeFedClusterStatus) []Event {
	before, after := judging(old), judging(current)
	if after == nil || before != nil && *before.Reason == *after.Reason {
		return nil
	}
	happened := Event{Type: corev1.EventTypeWarning, Reason: *after.Reason}
	if after.Message != nil {
		happened.Message = status.Cut(*after.Message, maxMessageBytes)
	}
	if *after.Reason == v1beta1.ReasonClusterReady {
		happened.Type = corev1.EventTypeNormal
	}
	return []Event{happened}
}

// judging returns the condition that says how a cluster is; nil if none does. Beside that of a
// cluster that is not ready there is one that it is reachable.
func judging(s *v1beta1.KubeFedClusterStatus) *v1beta1.ClusterCondition {
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if c.Reason == nil {
			continue
		}
		switch *c.Reason {
		case v1beta1.ReasonClusterReady, v1beta1.ReasonClusterNotReady, v1beta1.ReasonClusterNotReachable, v1beta1.ReasonClusterConfigMalformed:
			return c
		}
	}
	return nil
}
