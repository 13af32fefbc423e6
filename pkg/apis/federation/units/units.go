// Package units is the one rule of whether a cell or an edge unit may be where its spec says: the
// controller that keeps them asks it, and the proxy before each request.
//
// It is pure, and may be called concurrently.
package units

import (
	"fmt"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Place is a cell or an edge unit, and what else counts.
type Place struct {
	// TopologyType is cell or edgeunit.
	TopologyType string
	// Namespace of the unit in the host, and the tenant of that.
	Namespace string
	Tenant    tenancy.Tenant
	// Labels of the unit itself.
	Labels map[string]string
	// MemberName is what spec.clusterName says, and Member its KubeFedCluster, nil if there is none.
	MemberName string
	Member     *corev1beta1.KubeFedCluster
	// MemberNamespace in the member, with its default.
	MemberNamespace string
	// Holder is who else owns that, nil if nobody does.
	Holder *ownership.Owner
}

// Refusal is why the unit may not be where it is, as a reason of its condition and a message; both
// are empty if it may.
func (p Place) Refusal() (reason, message string) {
	if why := tenancy.UnitRefusal(p.Namespace, p.Tenant, p.Labels); why != "" {
		return v1alpha1.ReasonForeignMember, fmt.Sprintf("metadata.labels: the %s %s", p.TopologyType, why)
	}
	if p.Member != nil {
		if why := tenancy.Refusal(p.Namespace, p.Tenant, tenancy.Of(p.Member.Labels), tenancy.Unit); why != "" {
			return v1alpha1.ReasonForeignMember, fmt.Sprintf("spec.clusterName: member %q %s", p.MemberName, why)
		}
		if why := ownership.SystemNamespacesOf(p.Member).Refusal(p.MemberNamespace); why != "" {
			return v1alpha1.ReasonSystemNamespace, "spec.memberNamespace: " + why
		}
	}
	if p.Holder != nil {
		return v1alpha1.ReasonNamespaceTaken, "spec.memberNamespace: " + ownership.TakenBy(*p.Holder, p.MemberNamespace, p.MemberName) +
			"; nothing is written there for this " + p.TopologyType
	}
	return "", ""
}
