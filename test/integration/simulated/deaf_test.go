package simulated_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// found is after how long what a watch of the host lost is found: caches are compared every 10 to 15
// minutes.
const found = 16 * time.Minute

var (
	configs      = v1beta1.SchemeGroupVersion.WithResource("kubefedconfigs")
	edgeUnits    = edgev1alpha1.SchemeGroupVersion.WithResource("edgeunits")
	pages        = federationv1alpha1.SchemeGroupVersion.WithResource("membernamespaces")
	statefulSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
)

// loss is a change in the host that nobody is told of who watches.
type loss struct {
	// resource and object are what is changed; before is what is there first.
	resource schema.GroupVersionResource
	object   string
	before   func(*realm)
	change   func(*realm)
	// known reports whether the controllers act on the change.
	known func(*realm) bool
}

// unit is a cell or an edge unit of the namespace shop in m1.
func unit(labels map[string]any) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"name": "u1", "namespace": "shop", "labels": labels},
		"spec":     map[string]any{"clusterName": "m1"},
	}
}

// unitLosses are the losses of units of a kind: each appears as a KubeFedCluster.
func unitLosses(kind string, resource schema.GroupVersionResource, topologyType string) map[string]loss {
	cluster := func(r *realm) map[string]any {
		return r.host.Object(clusters, v1beta1.DefaultNamespace, topology.ClusterName(topologyType, "shop", "u1"))
	}
	put := func(labels map[string]any) func(*realm) {
		return func(r *realm) { r.put(resource, unit(labels)) }
	}
	return map[string]loss{
		kind + " is added": {
			resource, "u1", nothing, put(nil),
			func(r *realm) bool { return cluster(r) != nil },
		},
		kind + " is labelled": {
			resource, "u1", put(nil), func(r *realm) { r.label(resource, "shop", "u1", "zone", "east") },
			func(r *realm) bool { return labelOf(cluster(r), "zone") == "east" },
		},
		kind + " is removed": {
			resource, "u1", put(nil), func(r *realm) { r.erase(resource, "shop", "u1") },
			func(r *realm) bool { return cluster(r) == nil },
		},
	}
}

func nothing(*realm) {}

// pageLosses are those of pages of the book.
func pageLosses() map[string]loss {
	// A cell has the namespace late of m1, and an object of the host's namespace late is placed there.
	taken := func(targets []string) func(*realm) {
		return func(r *realm) {
			cell := unit(nil)
			cell["spec"].(map[string]any)["memberNamespace"] = "late"
			r.put(cellResource, cell)
			r.pass(time.Second)
			r.putLate()
			r.put(simulation.FederatedConfigMaps, late(targets))
		}
	}
	giveUp := func(r *realm) { r.erase(cellResource, "shop", "u1") }
	isUsed := func(r *realm) bool { return r.members[0].Object(simulation.ConfigMaps, "late", "settings") != nil }
	return map[string]loss{
		"a page of the book is added, whose owner is gone": {
			pages, "late", nothing,
			func(r *realm) {
				r.put(pages, map[string]any{"metadata": map[string]any{"name": "late"}, "spec": map[string]any{"owners": []any{map[string]any{
					"kind": "Cell", "namespace": "shop", "name": "u1", "members": []any{"m1"}, "claimTime": "2000-01-01T00:00:00Z"}}}})
			},
			func(r *realm) bool { return len(r.owners("late")) == 0 },
		},
		"a page of the book loses an owner": {pages, "late", taken(nil), giveUp, isUsed},
		"a page of the book is removed":     {pages, "late", taken([]string{"m1"}), giveUp, isUsed},
	}
}

// putLate makes the namespace late, which is federated everywhere.
func (r *realm) putLate() {
	r.Helper()
	r.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "late"}})
	r.put(simulation.FederatedNamespaces, simulation.FederatedNamespace("late"))
}

// late is a federated ConfigMap of the namespace late.
func late(targets []string) map[string]any {
	object := placed("settings", "1", targets, nil)
	object["metadata"] = map[string]any{"name": "settings", "namespace": "late"}
	return object
}

// losses are one of each kind of event for each resource of the host that controllers cache; those
// of federated objects are in lost_events_test.go.
func losses() map[string]loss {
	system := v1beta1.DefaultNamespace
	all := map[string]loss{
		"a KubeFedCluster is added": {
			clusters, "m2", func(r *realm) { r.host.Remove(clusters, system, "m2") }, func(r *realm) { r.join("m2") },
			func(r *realm) bool { return r.state("settings", "m2") == "" },
		},
		"a KubeFedCluster loses a label": {
			clusters, "m2", nothing, func(r *realm) { r.label(clusters, system, "m2", "all", "") },
			func(r *realm) bool { return r.state("settings", "m2") == string(none) },
		},
		"a KubeFedCluster is removed": {
			clusters, "m2", nothing, func(r *realm) { r.host.Remove(clusters, system, "m2") },
			func(r *realm) bool { return r.state("settings", "m2") == string(none) },
		},
		"a namespace is added": {
			simulation.Namespaces, "late", nothing,
			func(r *realm) {
				r.putLate()
				r.put(simulation.FederatedConfigMaps, late(nil))
			},
			func(r *realm) bool { return r.members[0].Object(simulation.ConfigMaps, "late", "settings") != nil },
		},
		"a namespace gets another tenant": {
			simulation.Namespaces, "shop", nothing, func(r *realm) { r.label(simulation.Namespaces, "", "shop", federationv1alpha1.TenantLabel, "a") },
			func(r *realm) bool { return r.state("settings", "m1") != "" },
		},
		"a namespace is removed": {
			simulation.Namespaces, "shop", nothing,
			func(r *realm) {
				r.host.Remove(simulation.Namespaces, "", "shop")
				r.pass(30 * time.Second)
				for _, m := range r.members {
					m.Remove(simulation.Namespaces, "", "shop")
				}
			},
			func(r *realm) bool { return len(r.owners("shop")) == 0 },
		},
		"a FederatedTypeConfig is added": {
			typeConfigs, "statefulsets.apps", nothing,
			func(r *realm) {
				r.put(typeConfigs, map[string]any{
					"metadata": map[string]any{"name": "statefulsets.apps", "namespace": system},
					"spec": map[string]any{
						"propagation":   "Enabled",
						"targetType":    map[string]any{"group": "apps", "version": "v1", "kind": "StatefulSet", "pluralName": "statefulsets", "scope": "Namespaced"},
						"federatedType": map[string]any{"group": "types.kubefed.io", "version": "v1beta1", "kind": "FederatedStatefulSet", "pluralName": "federatedstatefulsets", "scope": "Namespaced"},
					},
				})
				r.put(schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federatedstatefulsets"}, placed("db", "1", nil, nil))
			},
			func(r *realm) bool { return r.members[0].Object(statefulSets, "shop", "db") != nil },
		},
		"a FederatedTypeConfig is disabled": {
			typeConfigs, "configmaps", nothing,
			func(r *realm) {
				if _, err := r.host.Change(typeConfigs, system, "configmaps", func(config map[string]any) {
					config["spec"].(map[string]any)["propagation"] = "Disabled"
				}); err != nil {
					r.Fatal(err)
				}
			},
			func(r *realm) bool { return r.watches("m1") == 9 },
		},
		"a FederatedTypeConfig is removed": {
			typeConfigs, "configmaps", nothing, func(r *realm) { r.host.Remove(typeConfigs, system, "configmaps") },
			func(r *realm) bool { return r.watches("m1") == 9 },
		},
		"a Secret is added": {
			simulation.Secrets, "m1", func(r *realm) { r.host.Remove(simulation.Secrets, system, "m1") }, func(r *realm) { r.lend("m1", "m1") },
			func(r *realm) bool { return r.watches("m1") > 0 },
		},
		"a Secret has another token": {
			simulation.Secrets, "m1", func(r *realm) { r.doors["m1"].revoke() }, func(r *realm) { r.lend("m1", "m1") },
			func(r *realm) bool { return strings.HasPrefix(r.says("m1"), "Ready=True") },
		},
		"a Secret is removed": {
			simulation.Secrets, "m1", nothing, func(r *realm) { r.host.Remove(simulation.Secrets, system, "m1") },
			func(r *realm) bool { return r.watches("m1") == 0 },
		},
		"the KubeFedConfig forbids adoption": {
			configs, v1beta1.KubeFedConfigName, nothing,
			func(r *realm) {
				if _, err := r.host.Change(configs, system, v1beta1.KubeFedConfigName, func(config map[string]any) {
					config["spec"].(map[string]any)["syncController"] = map[string]any{"adoptResources": "Disabled"}
				}); err != nil {
					r.Fatal(err)
				}
			},
			func(r *realm) bool {
				theirs := fmt.Sprintf("theirs-%d", time.Now().Unix())
				if err := r.members[0].Put(simulation.ConfigMaps, map[string]any{"metadata": map[string]any{"name": theirs, "namespace": "shop"}}); err != nil {
					r.Fatal(err)
				}
				r.federate(theirs, "1")
				r.pass(time.Second)
				return strings.HasPrefix(r.state(theirs, "m1"), string(v1beta2.TargetAlreadyExists))
			},
		},
	}
	for _, more := range []map[string]loss{
		pageLosses(),
		unitLosses("a cell", cellResource, v1beta2.TopologyCell),
		unitLosses("an edge unit", edgeUnits, v1beta2.TopologyEdgeUnit),
	} {
		maps.Copy(all, more)
	}
	return all
}

// TestAnEventOfTheHostThatIsLostIsFound: from some moment on no watch of the host tells of an object
// any more; what becomes of it then is acted on all the same, some minutes later.
func TestAnEventOfTheHostThatIsLostIsFound(t *testing.T) {
	for name, l := range losses() {
		t.Run(name, func(t *testing.T) {
			inRealm(t, 2, func(r *realm) {
				r.federate("settings", "1")
				l.before(r)
				r.pass(5 * time.Minute)
				r.host.Tamper(func(e simulation.WatchEvent) []simulation.WatchEvent {
					if e.Resource == l.resource && e.Name == l.object {
						return nil
					}
					return []simulation.WatchEvent{e}
				})
				l.change(r)
				r.pass(time.Minute)
				if l.known(r) {
					t.Error("the controllers know of the change, although its event was lost")
				}
				r.pass(found)
				if !l.known(r) {
					t.Errorf("after %s the controllers do not know of the change", found)
				}
			})
		})
	}
}

// label sets a label of an object of the host, or takes it off.
func (r *realm) label(resource schema.GroupVersionResource, namespace, name, key, value string) {
	r.Helper()
	if _, err := r.host.Change(resource, namespace, name, func(object map[string]any) {
		metadata := object["metadata"].(map[string]any)
		labels, _ := metadata["labels"].(map[string]any)
		if labels == nil {
			labels = map[string]any{}
			metadata["labels"] = labels
		}
		if labels[key] = value; value == "" {
			delete(labels, key)
		}
	}); err != nil {
		r.Fatal(err)
	}
}

// erase removes an object of the host whatever finalizers hold it.
func (r *realm) erase(resource schema.GroupVersionResource, namespace, name string) {
	r.Helper()
	if _, err := r.host.Change(resource, namespace, name, func(object map[string]any) {
		delete(object["metadata"].(map[string]any), "finalizers")
	}); err != nil {
		r.Fatal(err)
	}
	r.host.Remove(resource, namespace, name)
}

func labelOf(object map[string]any, key string) any {
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	return labels[key]
}

// owners are those on a page of the book.
func (r *realm) owners(page string) []any {
	r.Helper()
	spec, _ := r.host.Object(pages, "", page)["spec"].(map[string]any)
	owners, _ := spec["owners"].([]any)
	return owners
}

// watches are how many requests to a member are under way with its token.
func (r *realm) watches(name string) int {
	r.Helper()
	_, requests := r.doors[name].counts(r.doors[name].token)
	return requests
}
