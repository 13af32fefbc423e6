package simulation

import "k8s.io/apimachinery/pkg/runtime/schema"

// FederatedConfigMaps is a federated kind that a simulated host serves.
var FederatedConfigMaps = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federatedconfigmaps"}

// FederatedNamespaces are those of a simulated host.
var FederatedNamespaces = FederatedConfigMaps.GroupVersion().WithResource("federatednamespaces")

// FederatedNamespace federates a namespace of a simulated host everywhere: objects of topology cluster
// go only where the FederatedNamespace of theirs goes.
func FederatedNamespace(name string) map[string]any {
	return map[string]any{
		"apiVersion": FederatedNamespaces.GroupVersion().String(), "kind": "FederatedNamespace",
		"metadata": map[string]any{"name": name, "namespace": name},
		"spec":     map[string]any{"topologyType": "cluster", "template": map[string]any{}, "placement": map[string]any{"topologySelector": map[string]any{}}},
	}
}

// HostTypes returns the types of a host: with them a Member stands in for the API server that
// controllers of pkg/federation work with, so that a unit test can run them. It does not set
// defaults, validate, admit or convert as the real one does: what a test writes there it writes
// whole, and in the stored version. custom are types of members beside the built-in ones that
// there is a federated kind of, too.
func HostTypes(custom ...Type) []Type {
	types := append(BuiltIn(), Type{
		GroupVersionResource: schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
		Kind:                 "Lease", Namespaced: true,
	})
	types = append(types, Type{
		GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "events"}, Kind: "Event", Namespaced: true,
	})
	add := func(group, version, resource, kind string, namespaced bool) {
		types = append(types, Type{
			GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource},
			Kind:                 kind, Namespaced: namespaced, Generation: true, Status: true,
		})
	}
	add("core.kubefed.io", "v1beta1", "kubefedclusters", "KubeFedCluster", true)
	add("core.kubefed.io", "v1beta1", "federatedtypeconfigs", "FederatedTypeConfig", true)
	add("core.kubefed.io", "v1beta1", "kubefedconfigs", "KubeFedConfig", true)
	add("federation.koinon.io", "v1alpha1", "cells", "Cell", true)
	add("federation.koinon.io", "v1alpha1", "membernamespaces", "MemberNamespace", false)
	add("edge.koinon.io", "v1alpha1", "edgeunits", "EdgeUnit", true)
	types = append(types, Type{ // its status is written with the rest
		GroupVersionResource: schema.GroupVersionResource{Group: "scheduling.kubefed.io", Version: "v1alpha1", Resource: "replicaschedulingpreferences"},
		Kind:                 "ReplicaSchedulingPreference", Namespaced: true, Generation: true,
	})
	for _, t := range append(BuiltIn(), custom...) {
		// A FederatedNamespace lies in the namespace that it federates.
		add(FederatedConfigMaps.Group, FederatedConfigMaps.Version, "federated"+t.Resource, "Federated"+t.Kind, t.Namespaced || t.Kind == "Namespace")
	}
	return types
}
