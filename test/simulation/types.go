package simulation

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Type is one kind that members serve.
type Type struct {
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
	// Generation: objects count changes of all but metadata and status.
	Generation bool
	// Status: .status is written through a subresource of its own.
	Status bool
}

// Types that tests name.
var (
	Namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	ConfigMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	Pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	Deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	Jobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}

	// CustomResourceDefinitions are served if Options.Types has them. A member does not serve
	// what they define: a type of Options.Types is there, or lost, by SetServed.
	CustomResourceDefinitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// BuiltIn returns the types of a stock cluster that are federated often.
func BuiltIn() []Type {
	const namespaced, generation, status = 1, 2, 4
	var types []Type
	add := func(group, version, resource, kind string, has int) {
		types = append(types, Type{
			GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource},
			Kind:                 kind, Namespaced: has&namespaced != 0, Generation: has&generation != 0, Status: has&status != 0,
		})
	}
	add("", "v1", "namespaces", "Namespace", status)
	add("", "v1", "configmaps", "ConfigMap", namespaced)
	add("", "v1", "secrets", "Secret", namespaced)
	add("", "v1", "services", "Service", namespaced|status)
	add("", "v1", "serviceaccounts", "ServiceAccount", namespaced)
	add("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced|status)
	add("", "v1", "pods", "Pod", namespaced|generation|status)
	add("apps", "v1", "deployments", "Deployment", namespaced|generation|status)
	add("apps", "v1", "replicasets", "ReplicaSet", namespaced|generation|status)
	add("apps", "v1", "statefulsets", "StatefulSet", namespaced|generation|status)
	add("apps", "v1", "daemonsets", "DaemonSet", namespaced|generation|status)
	add("batch", "v1", "jobs", "Job", namespaced|generation|status)
	add("batch", "v1", "cronjobs", "CronJob", namespaced|generation|status)
	add("networking.k8s.io", "v1", "ingresses", "Ingress", namespaced|generation|status)
	add("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", namespaced|generation)
	add("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced|generation|status)
	add("rbac.authorization.k8s.io", "v1", "roles", "Role", namespaced)
	add("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", namespaced)
	add("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", 0)
	add("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", 0)
	return types
}

func (t *Type) groupKind() schema.GroupKind { return schema.GroupKind{Group: t.Group, Kind: t.Kind} }

func (t *Type) groupVersionKind() schema.GroupVersionKind {
	return t.GroupVersion().WithKind(t.Kind)
}

// discover answers a path of discovery; nil if there is no such group or version. A type
// that is lost is in none of them.
func (m *Member) discover(path []string) any {
	switch {
	case len(path) == 1 && path[0] == "api":
		return &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case len(path) == 1:
		return m.groups()
	case path[0] == "api":
		return m.resources(schema.GroupVersion{Version: path[1]})
	case len(path) == 2:
		for _, group := range m.groups().Groups {
			if group.Name == path[1] {
				group.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
				return &group
			}
		}
		return nil
	}
	return m.resources(schema.GroupVersion{Group: path[1], Version: path[2]})
}

func (m *Member) groups() *metav1.APIGroupList {
	list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, t := range m.servedTypes() {
		if t.Group == "" {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: t.GroupVersion().String(), Version: t.Version}
		i := slices.IndexFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == t.Group })
		if i < 0 {
			list.Groups = append(list.Groups, metav1.APIGroup{Name: t.Group, PreferredVersion: version})
			i = len(list.Groups) - 1
		}
		if !slices.Contains(list.Groups[i].Versions, version) {
			list.Groups[i].Versions = append(list.Groups[i].Versions, version)
		}
	}
	return list
}

var allVerbs = metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"}

// resources returns nil if nothing of the group and version is served.
func (m *Member) resources(gv schema.GroupVersion) any {
	list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, t := range m.servedTypes() {
		if t.GroupVersion() != gv {
			continue
		}
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: t.Resource, Namespaced: t.Namespaced, Kind: t.Kind, Verbs: allVerbs})
		if t.Status {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: t.Resource + "/status", Namespaced: t.Namespaced, Kind: t.Kind, Verbs: metav1.Verbs{"get", "patch", "update"}})
		}
	}
	if len(list.APIResources) == 0 {
		return nil
	}
	return list
}

func (m *Member) servedTypes() []Type {
	m.mu.Lock()
	defer m.mu.Unlock()
	types := make([]Type, 0, len(m.order))
	for _, r := range m.order {
		if !r.lost {
			types = append(types, r.Type)
		}
	}
	return types
}
