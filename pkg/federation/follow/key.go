package follow

import (
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// key names one native object, by the name of its FederatedTypeConfig.
type key struct{ kind, namespace, name string }

func (k key) String() string { return k.kind + " " + k.namespace + "/" + k.name }

func keyOf(config *v1beta1.FederatedTypeConfig, namespace, name string) key {
	return key{config.Name, namespace, name}
}

// federated is where the federated object of a native one is: that of a namespace is in the namespace.
func (k key) federated(config *v1beta1.FederatedTypeConfig) (namespace, name string) {
	if reach.KindOf(&config.Spec).IsNamespace() {
		return k.name, k.name
	}
	return k.namespace, k.name
}

// nativeKey is the native object of a federated one; false if there can be none.
func nativeKey(config *v1beta1.FederatedTypeConfig, namespace, name string) (key, bool) {
	switch kind := reach.KindOf(&config.Spec); {
	case kind.IsNamespace():
		return key{config.Name, "", name}, namespace == name
	case !kind.Namespaced:
		return key{config.Name, "", name}, namespace == ""
	}
	return key{config.Name, namespace, name}, true
}

// hasOneName reports whether each native object of a type has one federated object: objects of the whole cluster have none
// where the federated kind has namespaces, but for namespaces.
func hasOneName(config *v1beta1.FederatedTypeConfig) bool {
	kind := reach.KindOf(&config.Spec)
	return kind.IsNamespace() || kind.Namespaced == (config.Spec.FederatedType.Scope == v1beta1.NamespaceScoped)
}
