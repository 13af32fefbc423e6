package federatedservicestatus

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// isService reports whether the targets of a federated kind are Services.
func isService(kind federated.Kind) bool {
	return kind.Namespaced && kind.Target.Group == "" && kind.Target.Kind == "Service"
}

// sameName: the status of a FederatedService has its name.
func sameName(_ federated.Kind, name string) (string, bool) { return name, true }

// hasStatus reports whether a target has a status that is collected.
func hasStatus(o *typesv1beta2.FederatedObject) bool {
	return o.Status != nil && slices.ContainsFunc(o.Status.Targets, func(t typesv1beta2.TargetStatus) bool { return t.RemoteStatus != nil })
}

// statusOf collects the statuses of a Service in its targets, each by its KubeFedCluster and in that
// order.
func statusOf(_ federated.Kind, o *typesv1beta2.FederatedObject) (*v1alpha1.FederatedServiceStatus, error) {
	var clusters []v1alpha1.FederatedServiceClusterStatus
	for i := range o.Status.Targets {
		if t := &o.Status.Targets[i]; t.RemoteStatus != nil {
			clusters = append(clusters, v1alpha1.FederatedServiceClusterStatus{
				ClusterName: topology.ClusterName(o.Spec.TopologyType, o.Namespace, t.Name), Status: t.RemoteStatus,
			})
		}
	}
	slices.SortFunc(clusters, func(a, b v1alpha1.FederatedServiceClusterStatus) int {
		return cmp.Compare(a.ClusterName, b.ClusterName)
	})
	return &v1alpha1.FederatedServiceStatus{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, Namespace: o.Namespace, UID: computed.UID("federatedservicestatus", o.UID), Generation: 1,
			CreationTimestamp: o.CreationTimestamp,
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: federated.V1beta1.String(), Kind: o.Kind, Name: o.Name, UID: o.UID}},
		},
		ClusterStatus: clusters,
	}, nil
}
