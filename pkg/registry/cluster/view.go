// Package cluster is the read-only view of members that people get: the KubeFedClusters
// of the system namespace without those that stand for cells and edge units, and without
// what is needed to reach them.
//
// Nothing is stored. Every answer is computed from the storage of KubeFedClusters, so
// resource versions, continue tokens and watches are those of that storage.
package cluster

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// lastAppliedAnnotation holds a whole manifest of the KubeFedCluster.
const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"

// isMember reports whether a KubeFedCluster is a cluster of its own.
func isMember(source *corev1beta1.KubeFedCluster) bool {
	_, scoped := source.Labels[v1alpha1.TopologyLabel]
	return !scoped
}

// view returns what people see of a member. It shares nothing that is modified with
// source.
func view(source *corev1beta1.KubeFedCluster) *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{
			Name:              source.Name,
			UID:               source.UID,
			ResourceVersion:   source.ResourceVersion,
			Generation:        source.Generation,
			CreationTimestamp: source.CreationTimestamp,
			DeletionTimestamp: source.DeletionTimestamp,
			Labels:            source.Labels,
			Annotations:       annotations(source.Annotations),
		},
		Spec:   v1alpha1.ClusterSpec{APIEndpoint: source.Spec.APIEndpoint},
		Status: source.Status,
	}
}

func annotations(source map[string]string) map[string]string {
	if _, ok := source[lastAppliedAnnotation]; !ok {
		return source
	}
	result := make(map[string]string, len(source))
	for key, value := range source {
		if key != lastAppliedAnnotation {
			result[key] = value
		}
	}
	return result
}
