package cells

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/units"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
)

// Finalizer holds a Cell or EdgeUnit until its KubeFedCluster is removed.
const Finalizer = "federation.koinon.io/kubefedcluster"

const (
	// minProbeAge is how old a mirrored lastProbeTime may get at least while nothing else
	// changes: there are many cells per member, and each write is seen by everyone who watches
	// clusters. See probeAge.
	minProbeAge = time.Hour
	// toldAge is how often the units in a member are looked at for its probes alone.
	toldAge = minProbeAge / 6
)

// probeAge spreads over an hour what the clusters of one member would write at once.
func probeAge(clusterName string) time.Duration {
	hash := fnv.New32a()
	hash.Write([]byte(clusterName)) // never fails
	return minProbeAge + time.Duration(hash.Sum32()%3600)*time.Second
}

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
	// Observed, Cluster and Objects are the rest of the status.
	Observed int64
	Cluster  string
	Objects  *federationv1alpha1.CellObjects
}

// ClusterName is the name of the KubeFedCluster that the unit appears as.
func (u *Unit) ClusterName() string { return topology.ClusterName(u.TopologyType, u.Namespace, u.Name) }

func (u *Unit) key() key { return key{u.TopologyType, u.Namespace, u.Name} }

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
	// current is the KubeFedCluster that has the name which the unit appears as, nil if there
	// is none.
	current *v1beta1.KubeFedCluster
	// access is how the unit is reached by an endpoint of its own, nil if it has none.
	access *cellaccess.Access
	// otherEngine says that another engine than ours propagates.
	otherEngine bool
	// objects counts what is in a cell; nil if nobody does. What is not known yet is as it was, and counted
	// is what is known now.
	objects *federationv1alpha1.CellObjects
	counted Count
	// drained: it is being deleted, and waits for nothing that is in it.
	drained bool
}

// isSeenTwice reports whether an engine that is not ours takes the unit and its member for two
// clusters, each with all that is in the other.
func (o observation) isSeenTwice(systemNamespace string) bool {
	cluster := o.cluster(systemNamespace)
	return o.otherEngine && cluster != nil && (o.access == nil || cluster.Spec.APIEndpoint != o.access.Spec.APIEndpoint)
}

// refusal is why a unit may not be where it is, as reason and message; both are empty if it
// may.
func (o observation) refusal() (reason, message string) {
	return units.Place{
		TopologyType: o.unit.TopologyType, Namespace: o.unit.Namespace, Tenant: o.tenant, Labels: o.unit.Labels,
		MemberName: o.unit.Member, Member: o.member, MemberNamespace: o.unit.memberNamespace(), Holder: o.holder,
	}.Refusal()
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
	case o.unit.Deleting:
		c.Reason = federationv1alpha1.ReasonDraining
		c.Message = o.draining()
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

// draining says what a unit that is being deleted waits for.
func (o observation) draining() string {
	deleted := fmt.Sprintf("the %s is being deleted, and waits ", o.unit.TopologyType)
	switch {
	case o.drained && slices.Contains(o.unit.Finalizers, Finalizer):
		return deleted + fmt.Sprintf("until its account is removed from member %q", o.unit.Member)
	case o.drained:
		return deleted + fmt.Sprintf("for others to remove their finalizers: %s", strings.Join(o.unit.Finalizers, ", "))
	case o.counted.Unknown != "":
		return deleted + "until it is known what is in it: " + o.counted.Unknown
	case !o.counted.WaitsTold && o.said() != "":
		return o.said()
	case o.held() == 0:
		return deleted + "until its objects were looked at"
	}
	return fmt.Sprintf("%sfor what %d federated objects have in it to be removed%s", deleted, o.held(), after(": ", o.counted.Waits))
}

// said is what the cell says of what it waits for while it is being deleted; empty if it does not yet.
func (o observation) said() string {
	if ready := meta.FindStatusCondition(o.unit.Conditions, federationv1alpha1.CellReady); ready != nil && ready.Reason == federationv1alpha1.ReasonDraining {
		return ready.Message
	}
	return ""
}

// held is how many objects have something in the cell. What was told last may be of before they were placed there.
func (o observation) held() int32 {
	switch {
	case o.objects != nil && o.objects.Held > 0:
		return o.objects.Held
	case o.counted.Known:
		return o.counted.Objects.Held
	}
	return 0
}

// moving is the condition of a cell that has copies in a place that it has left; nil if it has none, or that is not known.
func (o observation) moving() *metav1.Condition {
	if o.unit.Deleting || o.counted.Waits == "" || !o.counted.Known && o.counted.Unknown == "" {
		return nil
	}
	c := &metav1.Condition{
		Type: federationv1alpha1.CellMoving, Status: metav1.ConditionTrue, ObservedGeneration: o.unit.Generation,
		Reason:  federationv1alpha1.ReasonObjectsMoving,
		Message: "the place that the cell has left is left together, once all that moves is up to date and healthy where the cell is now; it waits for " + o.counted.Waits,
	}
	if o.counted.Unknown != "" {
		c.Reason = federationv1alpha1.ReasonObjectsUnknown
		c.Message = "nothing leaves the place that the cell has left until it is known what is in it: " + o.counted.Unknown
	}
	return c
}

// after continues a sentence, if there is anything to say.
func after(sign, words string) string {
	if words == "" {
		return ""
	}
	return sign + words
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

// mayAppear reports whether the unit has a KubeFedCluster: not if there is nothing to say
// where it is, or it may not be there.
func (o observation) mayAppear() bool {
	reason, _ := o.refusal()
	return !o.unit.Deleting && o.member != nil && reason == ""
}

// cluster returns the KubeFedCluster that should be there, nil if none should.
func (o observation) cluster(systemNamespace string) *v1beta1.KubeFedCluster {
	if !o.mayAppear() {
		return nil
	}
	spec := o.spec()
	if spec == nil {
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
		Spec: *spec,
	}
}

// spec is how the unit is reached: by an endpoint of its own, or as its member is. It is nil if there
// should be no KubeFedCluster: a stock KubeFed controller ends as a whole if what one of them
// leads to is refused. What is not known yet is no reason: one that is there stays as it is.
func (o observation) spec() *v1beta1.KubeFedClusterSpec {
	switch {
	case o.access == nil:
		return o.member.Spec.DeepCopy()
	case o.access.Usable || !o.otherEngine:
		return o.access.Spec.DeepCopy()
	case o.current != nil && !o.access.Refused:
		return o.current.Spec.DeepCopy()
	}
	return nil
}

// merge returns current with the labels, annotation and spec of wanted, and whether that
// is a change. Foreign annotations stay; labels are the unit's alone.
func merge(current, wanted *v1beta1.KubeFedCluster) (*v1beta1.KubeFedCluster, bool) {
	annotated := true
	for name, value := range wanted.Annotations {
		is, ok := current.Annotations[name]
		annotated = annotated && ok && is == value
	}
	if annotated && maps.Equal(current.Labels, wanted.Labels) && equality.Semantic.DeepEqual(&current.Spec, &wanted.Spec) {
		return current, false
	}
	merged := current.DeepCopy()
	merged.Labels = wanted.Labels
	if merged.Annotations == nil {
		merged.Annotations = map[string]string{}
	}
	maps.Copy(merged.Annotations, wanted.Annotations)
	merged.Spec = wanted.Spec
	return merged, true
}

// mirror returns the member's status for its cell's KubeFedCluster, and whether it is
// worth a write. A probe alone is that once it is age later than the one that was mirrored,
// and than since: else all would be written after a restart.
func mirror(current, member *v1beta1.KubeFedClusterStatus, age time.Duration, since time.Time) (*v1beta1.KubeFedClusterStatus, bool) {
	member = withoutCredentials(member)
	if sameState(current, member) && !probedLater(current, member, age, since) {
		return nil, false
	}
	return member.DeepCopy(), true
}

// withoutCredentials is the status of a member as its cells have it: what they are reached with is their own.
func withoutCredentials(status *v1beta1.KubeFedClusterStatus) *v1beta1.KubeFedClusterStatus {
	isOfCredentials := func(c v1beta1.ClusterCondition) bool { return c.Type == v1beta1.ClusterCredentialsExpiring }
	if !slices.ContainsFunc(status.Conditions, isOfCredentials) {
		return status
	}
	status = status.DeepCopy()
	status.Conditions = slices.DeleteFunc(status.Conditions, isOfCredentials)
	return status
}

// sameState compares everything but the times of probes.
func sameState(a, b *v1beta1.KubeFedClusterStatus) bool {
	if !slices.EqualFunc(a.Conditions, b.Conditions, func(a, b v1beta1.ClusterCondition) bool {
		a.LastProbeTime, b.LastProbeTime = metav1.Time{}, metav1.Time{}
		return equality.Semantic.DeepEqual(&a, &b)
	}) {
		return false
	}
	one, other := *a, *b
	one.Conditions, other.Conditions = nil, nil
	return equality.Semantic.DeepEqual(&one, &other)
}

// probedLater reports whether a probe of later, which has the same state, is age or more
// after that of earlier, and after since.
func probedLater(earlier, later *v1beta1.KubeFedClusterStatus, age time.Duration, since time.Time) bool {
	for i := range earlier.Conditions {
		from := earlier.Conditions[i].LastProbeTime.Time
		if since.After(from) {
			from = since
		}
		if later.Conditions[i].LastProbeTime.Sub(from) >= age {
			return true
		}
	}
	return false
}

// concernsUnits reports whether the units in a member have to be looked at, which have been
// told of it as it was.
func concernsUnits(told, member *v1beta1.KubeFedCluster) bool {
	return !maps.Equal(told.Labels, member.Labels) ||
		!equality.Semantic.DeepEqual(&told.Spec, &member.Spec) ||
		!sameState(&told.Status, &member.Status) ||
		probedLater(&told.Status, &member.Status, toldAge, time.Time{})
}

// isOf reports whether a KubeFedCluster is the one that the controller made for the unit.
func isOf(cluster *v1beta1.KubeFedCluster, k key) bool {
	return cluster.Labels[federationv1alpha1.TopologyLabel] == k.topologyType &&
		cluster.Labels[federationv1alpha1.TopologyNamespaceLabel] == k.namespace &&
		cluster.Labels[federationv1alpha1.TopologyNameLabel] == k.name
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
		bad := c.Type != v1beta1.ClusterCredentialsExpiring && (c.Type == v1beta1.ClusterReady) != (c.Status == corev1.ConditionTrue)
		if bad && c.Message != nil && *c.Message != "" {
			return ": " + *c.Message
		}
	}
	return ": it was not checked yet"
}
