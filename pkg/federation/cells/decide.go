package cells

import (
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
)

// Finalizer holds a Cell or EdgeUnit until its KubeFedCluster is removed.
const Finalizer = "federation.koinon.io/kubefedcluster"

// probeAge is how old a mirrored lastProbeTime may get while nothing else changes: there
// are many cells per member, and each write is seen by everyone who watches clusters.
const probeAge = 10 * time.Minute

// Unit is what a Cell and an EdgeUnit have in common.
type Unit struct {
	TopologyType    string
	Namespace, Name string
	ResourceVersion string
	Generation      int64
	Deleting        bool
	Finalizers      []string
	Labels          map[string]string
	Created         time.Time
	Member          string
	MemberNamespace string
	Conditions      []metav1.Condition
	// Observed and Cluster are the rest of the status.
	Observed int64
	Cluster  string
}

// ClusterName is the name of the KubeFedCluster that the unit appears as.
func (u *Unit) ClusterName() string { return topology.ClusterName(u.TopologyType, u.Namespace, u.Name) }

// Owner is the unit in the book of who owns which namespace of which member.
func (u *Unit) Owner() ownership.Owner {
	return ownership.UnitOwner(u.TopologyType, u.Namespace, u.Name)
}

func (u *Unit) memberNamespace() string {
	return ownership.MemberNamespaceOf(u.MemberNamespace, u.Namespace, u.Name)
}

// observation is what a decision on one unit is made from.
type observation struct {
	unit Unit
	// tenant of the unit's namespace.
	tenant tenancy.Tenant
	// member is the KubeFedCluster of the member, nil if there is none.
	member *v1beta1.KubeFedCluster
	// holder is who else owns the unit's namespace in the member, nil if nobody does.
	holder *ownership.Owner
}

// refusal is why a unit may not be where it is, as reason and message; both are empty if it
// may.
func (o observation) refusal() (reason, message string) {
	if why := tenancy.UnitRefusal(o.unit.Namespace, o.tenant, o.unit.Labels); why != "" {
		return federationv1alpha1.ReasonForeignMember, fmt.Sprintf("metadata.labels: the %s %s", o.unit.TopologyType, why)
	}
	if o.member != nil {
		if why := tenancy.Refusal(o.unit.Namespace, o.tenant, tenancy.Of(o.member.Labels), tenancy.Unit); why != "" {
			return federationv1alpha1.ReasonForeignMember, fmt.Sprintf("spec.clusterName: member %q %s", o.unit.Member, why)
		}
		if why := ownership.SystemNamespacesOf(o.member).Refusal(o.unit.memberNamespace()); why != "" {
			return federationv1alpha1.ReasonSystemNamespace, "spec.memberNamespace: " + why
		}
	}
	if o.holder != nil {
		return federationv1alpha1.ReasonNamespaceTaken, "spec.memberNamespace: " + ownership.TakenBy(*o.holder, o.unit.memberNamespace(), o.unit.Member) +
			"; nothing is written there for this " + o.unit.TopologyType
	}
	return "", ""
}

// ready is the condition Ready of a unit.
func (o observation) ready() metav1.Condition {
	c := metav1.Condition{
		Type:               federationv1alpha1.CellReady,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: o.unit.Generation,
	}
	reason, message := o.refusal()
	switch {
	case reason != "":
		c.Reason, c.Message = reason, message
	case o.member == nil:
		c.Reason = federationv1alpha1.ReasonMemberNotFound
		c.Message = fmt.Sprintf("spec.clusterName: there is no KubeFedCluster %q; the %s is used once it exists", o.unit.Member, o.unit.TopologyType)
	case !isReady(o.member):
		c.Reason = federationv1alpha1.ReasonMemberNotReady
		c.Message = fmt.Sprintf("member %q is not ready%s", o.unit.Member, problemOf(o.member))
	default:
		c.Status = metav1.ConditionTrue
		c.Reason = federationv1alpha1.ReasonMemberReady
		c.Message = fmt.Sprintf("member %q is ready", o.unit.Member)
	}
	return c
}

// seenTwice is the condition of a unit whose KubeFedCluster and whose member's are both there,
// for an engine that takes them for two clusters.
func (o observation) seenTwice() metav1.Condition {
	return metav1.Condition{
		Type:               federationv1alpha1.CellMemberSeenTwice,
		Status:             metav1.ConditionTrue,
		ObservedGeneration: o.unit.Generation,
		Reason:             federationv1alpha1.ReasonOtherEngine,
		Message: fmt.Sprintf("the KubeFedClusters %q and %q are one API server: a stock KubeFed controller deletes through one of them what it made through the other, in every namespace; "+
			"label the member or the %s so that no placement selects the one beside the other, or run koinon server with the component controllers", o.unit.ClusterName(), o.unit.Member, o.unit.TopologyType),
	}
}

// cluster returns the KubeFedCluster that should be there; nil if there is nothing to
// say where it is, or the unit may not be there.
func (o observation) cluster(systemNamespace string) *v1beta1.KubeFedCluster {
	if reason, _ := o.refusal(); o.unit.Deleting || o.member == nil || reason != "" {
		return nil
	}
	labels := maps.Clone(o.unit.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, federationv1alpha1.TenantLabel)
	delete(labels, federationv1alpha1.WorkspaceGroupLabel)
	maps.Copy(labels, o.tenant.Labels())
	labels[federationv1alpha1.TopologyLabel] = o.unit.TopologyType
	labels[federationv1alpha1.TopologyNamespaceLabel] = o.unit.Namespace
	labels[federationv1alpha1.TopologyNameLabel] = o.unit.Name
	labels[federationv1alpha1.MemberLabel] = o.unit.Member
	return &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{
			Name:        o.unit.ClusterName(),
			Namespace:   systemNamespace,
			Labels:      labels,
			Annotations: map[string]string{federationv1alpha1.MemberNamespaceAnnotation: o.unit.memberNamespace()},
		},
		Spec: *o.member.Spec.DeepCopy(),
	}
}

// merge returns current with the labels, annotation and spec of wanted, and whether that
// is a change. Foreign annotations stay; labels are the unit's alone.
func merge(current, wanted *v1beta1.KubeFedCluster) (*v1beta1.KubeFedCluster, bool) {
	merged := current.DeepCopy()
	merged.Labels = wanted.Labels
	if merged.Annotations == nil {
		merged.Annotations = map[string]string{}
	}
	maps.Copy(merged.Annotations, wanted.Annotations)
	merged.Spec = wanted.Spec
	return merged, !equality.Semantic.DeepEqual(current, merged)
}

// mirror returns the member's status for its cell's KubeFedCluster, and whether it is
// worth a write.
func mirror(current, member *v1beta1.KubeFedClusterStatus) (*v1beta1.KubeFedClusterStatus, bool) {
	undated := func(status *v1beta1.KubeFedClusterStatus) *v1beta1.KubeFedClusterStatus {
		status = status.DeepCopy()
		for i := range status.Conditions {
			status.Conditions[i].LastProbeTime = metav1.Time{}
		}
		return status
	}
	if !equality.Semantic.DeepEqual(undated(current), undated(member)) {
		return member.DeepCopy(), true
	}
	for i := range current.Conditions {
		if member.Conditions[i].LastProbeTime.Sub(current.Conditions[i].LastProbeTime.Time) > probeAge {
			return member.DeepCopy(), true
		}
	}
	return nil, false
}

// isOf reports whether a KubeFedCluster is the one that the controller made for the unit.
func isOf(cluster *v1beta1.KubeFedCluster, u *Unit) bool {
	return cluster.Labels[federationv1alpha1.TopologyLabel] == u.TopologyType &&
		cluster.Labels[federationv1alpha1.TopologyNamespaceLabel] == u.Namespace &&
		cluster.Labels[federationv1alpha1.TopologyNameLabel] == u.Name
}

func isReady(cluster *v1beta1.KubeFedCluster) bool {
	for _, c := range cluster.Status.Conditions {
		if c.Type == v1beta1.ClusterReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// problemOf quotes the condition that says why a member is not ready.
func problemOf(cluster *v1beta1.KubeFedCluster) string {
	for _, c := range cluster.Status.Conditions {
		bad := (c.Type == v1beta1.ClusterReady) != (c.Status == corev1.ConditionTrue)
		if bad && c.Message != nil && *c.Message != "" {
			return ": " + *c.Message
		}
	}
	return ": it was not checked yet"
}
