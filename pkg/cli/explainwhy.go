package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// absence says that nothing has a name.
func (l *looked) absence(name string) string {
	base, topologyType := l.object.Base(), l.object.TopologyType
	switch {
	case topology.Label(topologyType) == "":
		return fmt.Sprintf("there is no %s %q", base, name)
	case topology.IsGroupTarget(topologyType, name):
		return fmt.Sprintf("there is no %s with the label %s", base, name)
	}
	return fmt.Sprintf("there is no %s %q, and none with the label %s", base, name, topology.GroupTarget(topologyType, name))
}

// others continues a sentence with the names that there are: of groups, if the object is placed by those.
func (l *looked) others() string {
	names := slices.Sorted(maps.Keys(l.candidates))
	if topology.Label(l.object.TopologyType) != "" {
		names = l.groups()
	}
	if len(names) == 0 {
		return ""
	}
	return "; there are " + someNames(names)
}

// groups are those that something is in which the object may be placed in, as the status calls them.
func (l *looked) groups() (names []string) {
	for _, c := range l.candidates {
		if group := l.object.CalledBy(*c); group != "" && c.Refusal == "" && !c.ByNameOnly {
			names = append(names, topology.GroupTarget(l.object.TopologyType, group))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// whyTenant says whether the object may use a target and its member.
func (l *looked) whyTenant(c placement.Candidate) *reason {
	if c.Refusal != "" {
		return &reason{false, c.Refusal}
	}
	if member := l.members[c.Member]; member != nil {
		if refusal := l.object.MemberRefusal(c, member.Labels); refusal != "" {
			return &reason{false, refusal}
		}
	}
	if l.object.Tenant == (tenancy.Tenant{}) {
		return &reason{true, "neither the namespace nor the target has labels of a tenant"}
	}
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(l.object.Tenant.Labels())) {
		labels = append(labels, key+"="+l.object.Tenant.Labels()[key])
	}
	return &reason{true, "namespace and target belong to " + strings.Join(labels, ", ")}
}

// whyNamespace says whether the namespace of the object goes to a target; nil if nobody asks.
func (l *looked) whyNamespace(a aim, picks bool) *reason {
	switch {
	case a.outside != "":
		return &reason{false, a.outside}
	case !picks || !l.kind.Namespaced || !l.narrowed:
		return nil
	}
	return &reason{true, fmt.Sprintf("namespace %q goes there", l.federated.Namespace)}
}

// compiled is what tells the overrides of targets; nil if the template is none, which the states say.
func (l *looked) compiled(ctx context.Context) (*render.Base, error) {
	base, err := render.Compile(ctx, reach.RenderSpec(l.federated, l.object.Source(), "", &l.ftc.Spec))
	var malformed *render.TemplateError
	if errors.As(err, &malformed) {
		return nil, nil
	}
	return base, err
}

// overrides are those that are for a target, in the order in which they are applied.
func (l *looked) overrides(ctx context.Context, base *render.Base, c placement.Candidate) (used []usedOverride, err error) {
	if base == nil {
		return nil, nil
	}
	indexes, err := base.Overrides(ctx, l.kind.RenderTarget(l.object, c, ""))
	if err != nil {
		return nil, err
	}
	for _, index := range indexes {
		override := l.federated.Spec.Overrides[index]
		one := usedOverride{Index: int(index), By: "name", Paths: []string{}}
		if topology.Label(l.object.TopologyType) != "" {
			one.By = "label " + topology.GroupTarget(l.object.TopologyType, override.TopologyName)
		}
		if override.TopologySelector != nil {
			one.By = "selector " + metav1.FormatLabelSelector(override.TopologySelector)
		}
		for _, patch := range override.TopologyOverrides {
			one.Paths = append(one.Paths, patch.Path)
		}
		used = append(used, one)
	}
	return used, nil
}

// whyOwner says whose the namespace in the member is; nil if the object has none.
func (l *looked) whyOwner(ctx context.Context, h *hub, c placement.Candidate) (*reason, error) {
	home := l.kind.Home(l.object, c)
	if home == "" {
		return nil, nil
	}
	if member := l.members[c.Member]; member != nil {
		if refusal := ownership.SystemNamespacesOf(member).Refusal(home); refusal != "" {
			return &reason{false, refusal}, nil
		}
	}
	if l.vouched[c.Name] == c.Member {
		return &reason{true, ownership.TakenBy(c.Owner, home, c.Member)}, nil
	}
	page, err := h.page(ctx, home)
	if err != nil {
		return nil, err
	}
	holder, held := ownership.Holder(page, c.Member)
	switch {
	case !held:
		return &reason{true, fmt.Sprintf("namespace %q of member %q is nobody's that is known here", home, c.Member)}, nil
	case holder != c.Owner:
		return &reason{false, ownership.TakenBy(holder, home, c.Member)}, nil
	}
	return &reason{true, ownership.TakenBy(holder, home, c.Member)}, nil
}

// whyMember says how the member is; nil if that cannot be seen.
func (l *looked) whyMember(name string) *reason {
	if l.members == nil {
		return nil
	}
	member := l.members[name]
	if member == nil || reach.IsUnit(member) {
		return &reason{false, fmt.Sprintf("there is no member %q", name)}
	}
	for _, c := range member.Status.Conditions {
		if c.Type == v1beta1.ClusterReady && c.Status == corev1.ConditionTrue {
			return &reason{true, fmt.Sprintf("member %q is ready (Kubernetes %s)", name, member.Status.KubernetesVersion)}
		}
	}
	for _, c := range member.Status.Conditions {
		if c.Type != v1beta1.ClusterReady && c.Type != v1beta1.ClusterCredentialsExpiring && c.Status == corev1.ConditionTrue {
			return &reason{false, fmt.Sprintf("member %q is %s: %s", name, c.Type, deref(c.Message))}
		}
	}
	return &reason{false, fmt.Sprintf("member %q was not checked yet", name)}
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// remoteLine is what is most asked for of a status of Kubernetes' own types: how many are ready, and which
// conditions there are.
func remoteLine(status rawjson.Value) string {
	var remote struct {
		Phase         string `json:"phase"`
		Replicas      *int64 `json:"replicas"`
		ReadyReplicas int64  `json:"readyReplicas"`
		Conditions    []struct{ Type, Status, Message string }
	}
	if len(status) == 0 || json.Unmarshal(status, &remote) != nil {
		return ""
	}
	var parts []string
	if remote.Phase != "" {
		parts = append(parts, remote.Phase)
	}
	if remote.Replicas != nil {
		parts = append(parts, fmt.Sprintf("%d of %d replicas ready", remote.ReadyReplicas, *remote.Replicas))
	}
	for _, c := range remote.Conditions {
		part := c.Type + "=" + c.Status
		if c.Message != "" {
			part += " (" + c.Message + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
