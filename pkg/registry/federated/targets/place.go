package targets

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/units"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// place is where the object of a target is, as its record says.
type place struct {
	member, namespace, name string
}

// placeOf reads a record; ok is false if it names no place.
func placeOf(kind federated.Kind, o *typesv1beta2.FederatedObject, record *typesv1beta2.TargetStatus) (at place, ok bool) {
	at = place{member: record.Cluster, name: o.Name}
	switch {
	case record.Cluster == "":
		return place{}, false
	case kind.TargetNamespaced:
		at.namespace = record.Namespace
		return at, at.namespace != ""
	case isNamespace(kind):
		at.name = record.Namespace
		return at, at.name != ""
	}
	return at, true
}

func isNamespace(kind federated.Kind) bool {
	return kind.Target.Group == "" && kind.Target.Kind == "Namespace"
}

// collection is the path of the objects of a kind in a member.
func (p place) collection(kind federated.Kind) string {
	segments := []string{"apis", kind.Target.Group, kind.Target.Version}
	if kind.Target.Group == "" {
		segments = []string{"api", kind.Target.Version}
	}
	if p.namespace != "" {
		segments = append(segments, "namespaces", p.namespace)
	}
	return "/" + strings.Join(escaped(append(segments, kind.TargetResource)), "/")
}

func escaped(segments []string) []string {
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return segments
}

// refusal says why a member may not be asked for the object of a target; it is empty if it may. The
// record was written by the engine when the object could be there; tenants, and owners of namespaces,
// may be others now.
func (r *Reader) refusal(ctx context.Context, kind federated.Kind, o *typesv1beta2.FederatedObject, target string, at place) (string, error) {
	tenant, cluster, err := r.parties(ctx, o.Namespace, at.member)
	if err != nil {
		return "", err
	}
	inMember := at.namespace
	if isNamespace(kind) {
		inMember = at.name
	}
	owner := ownership.OwnerOf(o.Spec.TopologyType, o.Namespace, target)
	holder, err := r.otherHolder(ctx, inMember, at.member, owner)
	if err != nil {
		return "", err
	}
	if owner.Kind == federationv1alpha1.OwnerNamespace {
		return wholeRefusal(o, target, at, inMember, tenant, cluster, holder), nil
	}
	if owner.Namespace != o.Namespace {
		return fmt.Sprintf("target %q is of namespace %q", target, owner.Namespace), nil
	}
	topologyType := typesv1beta2.TopologyCell
	if owner.Kind == federationv1alpha1.OwnerEdgeUnit {
		topologyType = typesv1beta2.TopologyEdgeUnit
	}
	spot := units.Place{
		TopologyType: topologyType, Namespace: o.Namespace, Tenant: tenant,
		MemberName: at.member, Member: cluster, MemberNamespace: inMember, Holder: holder,
	}
	unit, err := r.Lookups.Unit(ctx, topologyType, owner.Namespace, owner.Name)
	if err != nil {
		return "", err
	}
	if unit != nil { // one that is gone may have left its object
		spot.Labels = unit.Labels
	}
	_, refusal := spot.Refusal()
	return refusal, nil
}

// parties are whose the federated object is, and the member, which is an error if there is none.
func (r *Reader) parties(ctx context.Context, namespace, member string) (tenancy.Tenant, *corev1beta1.KubeFedCluster, error) {
	tenant := tenancy.Tenant{}
	if namespace != "" {
		var err error
		if tenant, err = r.Lookups.Tenant(namespace); err != nil {
			return tenant, nil, err
		}
	}
	cluster, err := r.Lookups.Cluster(ctx, member)
	if err == nil && cluster == nil {
		err = fmt.Errorf("there is no KubeFedCluster %q, so that nobody can be asked", member)
	}
	return tenant, cluster, err
}

// otherHolder returns who has a namespace of a member, if that is somebody else than owner.
func (r *Reader) otherHolder(ctx context.Context, namespace, member string, owner ownership.Owner) (*ownership.Owner, error) {
	if namespace == "" {
		return nil, nil
	}
	page, err := r.Lookups.Page(ctx, namespace)
	if err != nil {
		return nil, err
	}
	if holder, held := ownership.Holder(page, member); held && holder != owner {
		return &holder, nil
	}
	return nil, nil
}

// wholeRefusal is refusal for a target that is a whole cluster.
func wholeRefusal(o *typesv1beta2.FederatedObject, target string, at place, inMember string, tenant tenancy.Tenant, cluster *corev1beta1.KubeFedCluster, holder *ownership.Owner) string {
	switch {
	case at.member != target || inMember != "" && inMember != o.Namespace:
		return fmt.Sprintf("the record of target %q names the place %q in member %q, where no object of namespace %q is", target, inMember, at.member, o.Namespace)
	case tenancy.Refusal(o.Namespace, tenant, tenancy.Of(cluster.Labels), tenancy.WholeCluster) != "":
		return fmt.Sprintf("cluster %q %s", at.member, tenancy.Refusal(o.Namespace, tenant, tenancy.Of(cluster.Labels), tenancy.WholeCluster))
	case inMember == "":
		return ""
	case holder != nil:
		return ownership.TakenBy(*holder, inMember, at.member)
	}
	return ownership.SystemNamespacesOf(cluster).Refusal(inMember)
}

// wordOf is what a target is called in a version of the API.
func wordOf(version string, o *typesv1beta2.FederatedObject, target string) string {
	if version == federated.V1beta1.Version {
		return topology.ClusterName(o.Spec.TopologyType, o.Namespace, target)
	}
	return target
}
