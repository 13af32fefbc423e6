package events

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// ClusterTransitions returns what has happened between two statuses of a KubeFedCluster that were
// stored one after the other: that it has become ready, or is not any more. Its reasons are those of
// the conditions: ClusterReady, ClusterNotReady, ClusterNotReachable and ClusterConfigMalformed; and
// CredentialsEnd and TokenNotRenewed, once somebody has to see to its credential.
func ClusterTransitions(old, current *v1beta1.KubeFedClusterStatus) (happened []Event) {
	for _, of := range []func(*v1beta1.KubeFedClusterStatus) *v1beta1.ClusterCondition{judging, ofCredentials} {
		before, after := of(old), of(current)
		if after == nil || before != nil && *before.Reason == *after.Reason {
			continue
		}
		event := Event{Type: corev1.EventTypeWarning, Reason: *after.Reason}
		if after.Message != nil {
			event.Message = status.Cut(*after.Message, maxMessageBytes)
		}
		if *after.Reason == v1beta1.ReasonClusterReady {
			event.Type = corev1.EventTypeNormal
		}
		happened = append(happened, event)
	}
	return happened
}

// ofCredentials returns the condition that somebody has to see to a credential; nil if nobody has to.
func ofCredentials(s *v1beta1.KubeFedClusterStatus) *v1beta1.ClusterCondition {
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Type == v1beta1.ClusterCredentialsExpiring && c.Reason != nil {
			return c
		}
	}
	return nil
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
