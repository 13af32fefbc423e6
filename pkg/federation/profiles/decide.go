package profiles

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	multicluster "github.com/koinon-io/koinon/pkg/apis/multicluster/v1alpha1"
)

const (
	// Manager is the name of Koinon among cluster managers.
	Manager = "koinon"
	// Provider is the name of the way through Koinon's proxy among access providers.
	Provider = "koinon"
)

// Names of properties of ours, besides the well-known ones.
const (
	clusterUIDProperty      = v1beta1.ClusterUIDAnnotation
	memberProperty          = federationv1alpha1.MemberLabel
	memberNamespaceProperty = federationv1alpha1.MemberNamespaceAnnotation
)

// ownProperties are the names of all properties that we write.
var ownProperties = []string{multicluster.RegionProperty, multicluster.ZoneProperty, clusterUIDProperty, memberProperty, memberNamespaceProperty}

// reasonNotChecked: nobody has asked the member yet.
const reasonNotChecked = "NotChecked"

// profile is what a ClusterProfile has to say.
type profile struct {
	displayName string
	labels      map[string]string
	status      multicluster.ClusterProfileStatus
	// keepAccess says that the way to the cluster is not known now, and one that is there stays.
	keepAccess bool
}

// way is where clients find our server. known is false while its authority could not be read.
type way struct {
	url       string // empty: nobody finds it
	authority []byte
	known     bool
}

// ofMember is the profile of a member.
func ofMember(cluster *v1beta1.KubeFedCluster, w way) *profile {
	p := &profile{displayName: cluster.Name, labels: labelsOf(cluster)}
	p.tellOf(cluster)
	p.addProperty(clusterUIDProperty, cluster.Annotations[v1beta1.ClusterUIDAnnotation])
	p.reachBy(w, federationv1alpha1.ClusterProxyPath(cluster.Name))
	return p
}

// ofCell is the profile of a cell. cluster is the KubeFedCluster that it appears as, nil if there is
// none: it may not be where it is, or that is not known, and nothing is told of its member then.
func ofCell(cell *federationv1alpha1.Cell, cluster *v1beta1.KubeFedCluster, w way) *profile {
	p := &profile{displayName: cell.Namespace + "/" + cell.Name}
	if cluster == nil {
		p.labels = withManager(nil)
		p.setHealth(notThere(cell))
		return p
	}
	p.labels = labelsOf(cluster)
	p.tellOf(cluster)
	p.addProperty(memberProperty, cluster.Labels[federationv1alpha1.MemberLabel])
	p.addProperty(memberNamespaceProperty, cluster.Annotations[federationv1alpha1.MemberNamespaceAnnotation])
	p.reachBy(w, federationv1alpha1.CellProxyPath(cell.Namespace, cell.Name))
	return p
}

// notThere is the health of a cell that has no KubeFedCluster, for the reason that its own condition has.
func notThere(cell *federationv1alpha1.Cell) metav1.Condition {
	condition := metav1.Condition{Status: metav1.ConditionUnknown, Reason: reasonNotChecked, Message: "it is not known yet whether the cell may be where it is"}
	if ready := meta.FindStatusCondition(cell.Status.Conditions, federationv1alpha1.CellReady); ready != nil && ready.Status == metav1.ConditionFalse {
		condition.Reason, condition.Message = ready.Reason, "the cell is not used now: the condition Ready of the Cell says why"
	}
	return condition
}

func labelsOf(cluster *v1beta1.KubeFedCluster) map[string]string { return withManager(cluster.Labels) }

func withManager(labels map[string]string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[multicluster.ClusterManagerLabel] = Manager
	return labels
}

// tellOf says what the KubeFedCluster of a member or a cell says of the member.
func (p *profile) tellOf(cluster *v1beta1.KubeFedCluster) {
	p.setHealth(health(&cluster.Status))
	p.status.Version.Kubernetes = cluster.Status.KubernetesVersion
	region, zones := "", strings.Join(slices.Sorted(slices.Values(cluster.Status.Zones)), ",")
	if cluster.Status.Region != nil {
		region = *cluster.Status.Region
	}
	p.addProperty(multicluster.RegionProperty, cmp.Or(region, cluster.Labels[multicluster.RegionProperty]))
	p.addProperty(multicluster.ZoneProperty, cmp.Or(zones, cluster.Labels[multicluster.ZoneProperty]))
}

func (p *profile) setHealth(condition metav1.Condition) {
	condition.Type = multicluster.ControlPlaneHealthy
	p.status.Conditions = []metav1.Condition{condition}
}

// addProperty leaves out what a profile cannot have.
func (p *profile) addProperty(name, value string) {
	if value != "" && len(value) <= multicluster.MaxPropertyValue {
		p.status.Properties = append(p.status.Properties, multicluster.Property{Name: name, Value: value})
	}
}

func (p *profile) reachBy(w way, path string) {
	p.keepAccess = w.url != "" && !w.known
	if w.url == "" || !w.known {
		return
	}
	p.status.AccessProviders = []multicluster.AccessProvider{{
		Name:    Provider,
		Cluster: multicluster.Cluster{Server: w.url + path, CertificateAuthorityData: w.authority},
	}}
}

// health is what the conditions of a KubeFedCluster mean for a profile. The sentences are the same for
// all members: what went wrong names addresses, and is another every time.
func health(status *v1beta1.KubeFedClusterStatus) metav1.Condition {
	found := map[v1beta1.ClusterConditionType]*v1beta1.ClusterCondition{}
	for i := range status.Conditions {
		found[status.Conditions[i].Type] = &status.Conditions[i]
	}
	is := func(kind v1beta1.ClusterConditionType, status corev1.ConditionStatus) bool {
		return found[kind] != nil && found[kind].Status == status
	}
	switch {
	case is(v1beta1.ClusterConfigMalformed, corev1.ConditionTrue):
		return condition(metav1.ConditionUnknown, found[v1beta1.ClusterConfigMalformed], v1beta1.ReasonClusterConfigMalformed,
			"the member cannot be asked with the access that Koinon has: the conditions of its KubeFedCluster say why")
	case is(v1beta1.ClusterOffline, corev1.ConditionTrue):
		return condition(metav1.ConditionUnknown, found[v1beta1.ClusterOffline], v1beta1.ReasonClusterNotReachable,
			"the member does not answer Koinon: whether it is well is not known")
	case is(v1beta1.ClusterReady, corev1.ConditionTrue):
		return condition(metav1.ConditionTrue, found[v1beta1.ClusterReady], v1beta1.ReasonClusterReady, "the API server of the member answers, and says that it is well")
	case is(v1beta1.ClusterReady, corev1.ConditionFalse):
		return condition(metav1.ConditionFalse, found[v1beta1.ClusterReady], v1beta1.ReasonClusterNotReady, "the API server of the member answers, and says that it is not well")
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: reasonNotChecked, Message: "the member was not asked yet"}
}

func condition(status metav1.ConditionStatus, of *v1beta1.ClusterCondition, reason, message string) metav1.Condition {
	c := metav1.Condition{Status: status, Reason: reason, Message: message}
	if of.LastTransitionTime != nil {
		c.LastTransitionTime = *of.LastTransitionTime
	}
	return c
}
