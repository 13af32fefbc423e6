package simulated_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// The table of docs/propagation.md, in members: for each line of it, objects of a namespace with
// those labels in a member with these, placed by selector and by name, as a whole cluster, in a
// cell and in an edge unit that have labels of their own or none, and namespaces themselves. Then
// two members change hands.
func TestTenantsReachTheMembersThatTheTableSays(t *testing.T) {
	m := newMatrix(t)
	m.write("1")
	m.check("1")
	// What a member has of a tenant that it does not belong to any more stays, and is not touched.
	before := m.members()
	m.handOver(tenancy.Tenant{Name: "a"}, tenancy.Tenant{Name: "b"})
	m.left = before
	m.write("2")
	m.check("2")
}

// matrix is every namespace with every member, and with units of every kind in it.
type matrix struct {
	*fixture
	rule map[[2]tenancy.Tenant]tenancy.Case
	// owners are the tenants of members, by their names.
	owners     map[string]tenancy.Tenant
	namespaces []tenantNamespace
	// left is what was in members when they changed hands.
	left map[site]string
}

// tenantNamespace is a namespace of the host, for objects of one topology type.
type tenantNamespace struct {
	name, topology string
	tenant         tenancy.Tenant
	targets        []matrixTarget
}

type matrixTarget struct {
	name, member string
	labels       map[string]string // of a unit
}

// site is a ConfigMap in a member, or a namespace if name is empty.
type site struct{ member, namespace, name string }

var unitResources = map[string]schema.GroupVersionResource{
	v1beta2.TopologyCell:     federationv1alpha1.SchemeGroupVersion.WithResource("cells"),
	v1beta2.TopologyEdgeUnit: {Group: "edge.koinon.io", Version: "v1alpha1", Resource: "edgeunits"},
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{rule: map[[2]tenancy.Tenant]tenancy.Case{}, owners: map[string]tenancy.Tenant{}}
	var namespaces, owners []tenancy.Tenant
	for _, c := range tenancy.Table() {
		m.rule[[2]tenancy.Tenant{c.Namespace, c.Member}] = c
		if !slices.Contains(namespaces, c.Namespace) {
			namespaces = append(namespaces, c.Namespace)
		}
		if !slices.Contains(owners, c.Member) {
			owners = append(owners, c.Member)
		}
	}
	m.fixture = start(t, len(owners))
	m.host.Remove(simulation.FederatedNamespaces, "shop", "shop") // the namespaces of the table are others
	for i, member := range m.fixture.members {
		m.owners[member.Name()] = owners[i]
		m.labelMember(member.Name())
	}
	for i, tenant := range namespaces {
		for _, topologyType := range topology.Types() {
			m.makeNamespace(fmt.Sprintf("%s-%d", topologyType, i), topologyType, tenant)
		}
	}
	return m
}

func (m *matrix) labelMember(member string) {
	m.Helper()
	found, err := m.host.Change(kubeFedClusters, v1beta1.DefaultNamespace, member, func(cluster map[string]any) {
		cluster["metadata"].(map[string]any)["labels"] = anyValues(m.owners[member].Labels())
	})
	if err != nil || !found {
		m.Fatalf("label member %s: found %v, %v", member, found, err)
	}
}

func anyValues(labels map[string]string) map[string]any {
	values := map[string]any{}
	for key, value := range labels {
		values[key] = value
	}
	return values
}

// makeNamespace makes a namespace of a tenant, with all units.
func (m *matrix) makeNamespace(name, topologyType string, tenant tenancy.Tenant) {
	m.Helper()
	m.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": name, "labels": anyValues(tenant.Labels())}})
	namespace := tenantNamespace{name: name, topology: topologyType, tenant: tenant}
	for _, member := range m.fixture.members {
		if topologyType == v1beta2.TopologyCluster {
			namespace.targets = append(namespace.targets, matrixTarget{name: member.Name(), member: member.Name()})
			continue
		}
		for kind, labels := range map[string]map[string]string{
			"plain":  nil,
			"same":   tenant.Labels(),
			"theirs": m.owners[member.Name()].Labels(),
			"other":  tenancy.Tenant{Name: "c"}.Labels(),
		} {
			namespace.targets = append(namespace.targets, matrixTarget{kind + "-" + member.Name(), member.Name(), labels})
		}
	}
	for _, target := range namespace.targets {
		if topologyType != v1beta2.TopologyCluster {
			m.put(unitResources[topologyType], map[string]any{
				"metadata": map[string]any{"name": target.name, "namespace": name, "labels": anyValues(target.labels)},
				"spec":     map[string]any{"clusterName": target.member},
			})
		}
	}
	m.namespaces = append(m.namespaces, namespace)
}

// allowed is what the table says of a target.
func (m *matrix) allowed(n tenantNamespace, target matrixTarget) bool {
	c := m.rule[[2]tenancy.Tenant{n.tenant, m.owners[target.member]}]
	if n.topology == v1beta2.TopologyCluster {
		return c.Cluster
	}
	return c.Unit && n.own(target)
}

// own says whether a unit is one of its namespace's tenant: its own labels must be the same.
func (n tenantNamespace) own(target matrixTarget) bool {
	labels := n.tenant.Labels()
	for key, value := range target.labels {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// told says whether a selector that selects everything shows a target in the status: those that
// are allowed, and the tenant's own units, which say why they may not be where they are.
func (m *matrix) told(n tenantNamespace, target matrixTarget) bool {
	return m.allowed(n, target) || n.topology != v1beta2.TopologyCluster && n.own(target)
}

// in is the namespace of a target in its member.
func (n tenantNamespace) in(target matrixTarget) string {
	if n.topology == v1beta2.TopologyCluster {
		return n.name
	}
	return n.name + "-" + target.name
}

// write makes or changes the objects of all namespaces.
func (m *matrix) write(value string) {
	m.Helper()
	for _, n := range m.namespaces {
		names := []any{}
		for _, target := range n.targets {
			names = append(names, map[string]any{"name": target.name})
		}
		all, template := map[string]any{"topologySelector": map[string]any{}}, map[string]any{"data": map[string]any{"key": value}}
		m.writeOne(simulation.FederatedConfigMaps, n, "selected", map[string]any{"template": template, "placement": all})
		m.writeOne(simulation.FederatedConfigMaps, n, "named", map[string]any{"template": template, "placement": map[string]any{"topologies": names}})
		m.writeOne(simulation.FederatedNamespaces, n, n.name, map[string]any{"placement": all})
	}
}

func (m *matrix) writeOne(gvr schema.GroupVersionResource, n tenantNamespace, name string, spec map[string]any) {
	m.Helper()
	spec["topologyType"] = n.topology
	found, err := m.host.Change(gvr, n.name, name, func(object map[string]any) { object["spec"] = spec })
	if err == nil && !found {
		err = m.host.Put(gvr, map[string]any{"metadata": map[string]any{"name": name, "namespace": n.name}, "spec": spec})
	}
	if err != nil {
		m.Fatal(err)
	}
}

// handOver gives the members of two tenants to each other.
func (m *matrix) handOver(one, other tenancy.Tenant) {
	m.Helper()
	for member, owner := range maps.Clone(m.owners) {
		switch owner {
		case one:
			m.owners[member] = other
		case other:
			m.owners[member] = one
		default:
			continue
		}
		m.labelMember(member)
	}
}

// check waits until members hold what the table says, and the status says so.
func (m *matrix) check(value string) {
	m.Helper()
	m.eventually("members hold what the table of tenants says", func() error {
		want := maps.Clone(m.left)
		if want == nil {
			want = map[site]string{}
		}
		for _, n := range m.namespaces {
			for _, target := range n.targets {
				if m.allowed(n, target) {
					home := n.in(target)
					want[site{target.member, home, "selected"}], want[site{target.member, home, "named"}] = value, value
					want[site{target.member, home, ""}] = n.name + "/" + n.name
				}
			}
			if err := m.statusesAre(n); err != nil {
				return err
			}
		}
		return different(m.members(), want)
	})
}

// members is what they hold: values of ConfigMaps, and the federated objects of namespaces.
func (m *matrix) members() map[site]string {
	held := map[site]string{}
	for _, member := range m.fixture.members {
		for _, object := range member.Objects(simulation.ConfigMaps) {
			metadata := object["metadata"].(map[string]any)
			name := metadata["name"].(string)
			held[site{member.Name(), metadata["namespace"].(string), name}] = valueOf(object)
		}
		for _, object := range member.Objects(simulation.Namespaces) {
			metadata := object["metadata"].(map[string]any)
			if name := metadata["name"].(string); name != "default" && !strings.HasPrefix(name, "kube-") {
				annotations, _ := metadata["annotations"].(map[string]any)
				source, _ := annotations["federation.koinon.io/federated-object"].(string)
				held[site{member.Name(), name, ""}] = source
			}
		}
	}
	return held
}

// different says what one has and the other has not.
func different(got, want map[site]string) error {
	for at, value := range got {
		if wanted, ok := want[at]; !ok || value != wanted {
			return fmt.Errorf("%+v holds %q, want %q", at, value, wanted)
		}
	}
	for at, value := range want {
		if _, ok := got[at]; !ok {
			return fmt.Errorf("%+v holds nothing, want %q", at, value)
		}
	}
	return nil
}

// statusesAre compares the status of a namespace's objects and units.
func (m *matrix) statusesAre(n tenantNamespace) error {
	for _, object := range []struct {
		gvr   schema.GroupVersionResource
		name  string
		named bool
	}{{simulation.FederatedConfigMaps, "selected", false}, {simulation.FederatedConfigMaps, "named", true}, {simulation.FederatedNamespaces, n.name, false}} {
		if err := m.statusIs(n, object.gvr, object.name, object.named); err != nil {
			return err
		}
	}
	if n.topology == v1beta2.TopologyCluster {
		return nil
	}
	for _, target := range n.targets {
		cluster := topology.ClusterName(n.topology, n.name, target.name)
		if there := m.host.Object(kubeFedClusters, v1beta1.DefaultNamespace, cluster) != nil; there != m.allowed(n, target) {
			return fmt.Errorf("there is a cluster %s: %v", cluster, there)
		}
	}
	return nil
}

func (m *matrix) statusIs(n tenantNamespace, gvr schema.GroupVersionResource, name string, named bool) error {
	data, err := json.Marshal(m.host.Object(gvr, n.name, name))
	if err != nil {
		return err
	}
	var object v1beta2.FederatedObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if object.Status == nil || object.Status.ObservedGeneration != object.Generation {
		return fmt.Errorf("%s/%s has no status of this generation: %s", n.name, name, data)
	}
	said := map[string]v1beta2.TargetStatus{}
	for _, entry := range object.Status.Targets {
		said[entry.Name] = entry
	}
	for _, target := range n.targets {
		entry, has := said[target.name]
		problem := ""
		switch allowed := m.allowed(n, target); {
		case has != (m.told(n, target) || named):
			problem = fmt.Sprintf("is told of: %v", has)
		case allowed && entry.State != v1beta2.TargetOK:
			problem = "should be OK"
		case !allowed && has && (entry.State != v1beta2.TargetNotFound || !strings.Contains(entry.Message, "both must be the same")):
			problem = "should be TargetNotFound, and say why"
		}
		if problem != "" {
			return fmt.Errorf("%s/%s: target %s, a %s with labels %v in a member of %v, for %v, %s: %s", n.name, name, target.name,
				n.topology, target.labels, m.owners[target.member], n.tenant, problem, data)
		}
	}
	return nil
}

// valueOf is the value of a ConfigMap.
func valueOf(object map[string]any) string {
	data, _ := object["data"].(map[string]any)
	value, _ := data["key"].(string)
	return value
}
