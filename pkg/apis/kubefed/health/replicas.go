package health

import (
	"math"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// replicas returns the numbers of an object that has replicas: a DaemonSet, or whatever has a
// number in spec.replicas. API servers fill that in for their own kinds.
func (r *Rule) replicas(object map[string]any) *v1beta2.WorkloadStatus {
	count := func(fields ...string) int64 {
		n, _, err := unstructured.NestedInt64(object, fields...)
		if err != nil || n < 0 {
			return 0
		}
		return min(n, math.MaxInt32) // there are no more, and sums of them fit
	}
	if r.target.Group == "apps" && r.target.Kind == "DaemonSet" {
		return &v1beta2.WorkloadStatus{
			DesiredReplicas: count("status", "desiredNumberScheduled"), Replicas: count("status", "currentNumberScheduled"),
			UpdatedReplicas: count("status", "updatedNumberScheduled"), ReadyReplicas: count("status", "numberReady"),
			AvailableReplicas: count("status", "numberAvailable"),
		}
	}
	if _, has, err := unstructured.NestedInt64(object, "spec", "replicas"); !has || err != nil {
		return nil
	}
	w := &v1beta2.WorkloadStatus{
		DesiredReplicas: count("spec", "replicas"), Replicas: count("status", "replicas"), UpdatedReplicas: count("status", "updatedReplicas"),
		ReadyReplicas: count("status", "readyReplicas"), AvailableReplicas: count("status", "availableReplicas"),
	}
	if r.hasOneTemplate() {
		w.UpdatedReplicas = w.Replicas
	}
	return w
}

// hasOneTemplate: all replicas of a ReplicaSet are of the newest template that it knows.
func (r *Rule) hasOneTemplate() bool {
	return r.target.Group == "apps" && r.target.Kind == "ReplicaSet" || r.target.Group == "" && r.target.Kind == "ReplicationController"
}

// Add adds the numbers of one target to those of all.
func Add(to *v1beta2.WorkloadStatus, more v1beta2.WorkloadStatus) {
	to.DesiredReplicas += more.DesiredReplicas
	to.Replicas += more.Replicas
	to.UpdatedReplicas += more.UpdatedReplicas
	to.ReadyReplicas += more.ReadyReplicas
	to.AvailableReplicas += more.AvailableReplicas
}
