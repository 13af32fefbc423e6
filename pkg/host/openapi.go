package host

import (
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
)

// OpenAPIDefinitions returns the definitions of Kubernetes' own kinds, workloads included.
// Each call builds all of them anew, which is some megabytes of work.
func OpenAPIDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return generatedopenapi.GetOpenAPIDefinitions(ref)
}

// servedDefinitions returns the definitions of what the host serves and of what those refer
// to. The server keeps them for as long as it runs, and all of Kubernetes would be tens of
// megabytes.
func servedDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	all := OpenAPIDefinitions(ref)
	served := map[string]common.OpenAPIDefinition{}
	for name := range all {
		if isServed(name) {
			addWithDependencies(served, all, name)
		}
	}
	return served
}

func addWithDependencies(into, all map[string]common.OpenAPIDefinition, name string) {
	definition, known := all[name]
	if _, added := into[name]; added || !known {
		return
	}
	into[name] = definition
	for _, dependency := range definition.Dependencies {
		addWithDependencies(into, all, dependency)
	}
}

// unservedPrefixes begin the names of the API groups of workloads, and of what else is not
// served. The core group is looked at kind by kind.
var unservedPrefixes = prefixes(corev1.Pod{},
	"apps", "autoscaling", "batch", "certificates", "core", "discovery", "extensions", "imagepolicy",
	"networking", "node", "policy", "resource", "scheduling", "storage", "storagemigration")

// servedKinds are those of the groups above that are served: some of the core group, and
// Scale for the subresource of custom resources.
var servedKinds = names(&autoscalingv1.Scale{},
	&corev1.ConfigMap{}, &corev1.ConfigMapList{}, &corev1.Event{}, &corev1.EventList{},
	&corev1.Namespace{}, &corev1.NamespaceList{},
	&corev1.Secret{}, &corev1.SecretList{}, &corev1.ServiceAccount{}, &corev1.ServiceAccountList{})

// isServed says whether a definition may be the root of an answer.
func isServed(name string) bool {
	if servedKinds[name] {
		return true
	}
	for _, prefix := range unservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return !strings.Contains(name, "config.v1") // the configuration files of components
}

// prefixes returns the beginnings of the names of groups. How a name is spelled is taken
// from a kind of the core group.
func prefixes(core any, groups ...string) []string {
	beginning, _, _ := strings.Cut(util.GetCanonicalTypeName(core), "core")
	separator := strings.TrimPrefix(util.GetCanonicalTypeName(core), beginning+"core")[:1]
	all := make([]string, 0, len(groups))
	for _, group := range groups {
		all = append(all, beginning+group+separator)
	}
	return all
}

func names(kinds ...any) map[string]bool {
	all := map[string]bool{util.GetCanonicalTypeName(&metav1.Status{}): true}
	for _, kind := range kinds {
		all[util.GetCanonicalTypeName(kind)] = true
	}
	return all
}
