package reach

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/retain"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// Kind is the kind of objects in members that a FederatedTypeConfig is for.
type Kind struct {
	schema.GroupVersionKind
	Namespaced bool
}

// KindOf reads the target type of a FederatedTypeConfig.
func KindOf(spec *v1beta1.FederatedTypeConfigSpec) Kind {
	target := spec.TargetType
	return Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: target.Group, Version: target.Version, Kind: target.Kind},
		Namespaced:       target.Scope == v1beta1.NamespaceScoped,
	}
}

// IsNamespace reports whether the objects are namespaces, which are named as their target is.
func (k Kind) IsNamespace() bool { return k.Group == "" && k.Kind == "Namespace" }

// Place returns namespace and name of the object in a target. The namespace is empty for
// cluster-scoped kinds.
func (k Kind) Place(o Object, c placement.Candidate) (namespace, name string) {
	inMember := c.Namespace
	if inMember == "" {
		inMember = o.Namespace
	}
	switch {
	case k.Namespaced:
		return inMember, o.Name
	case k.IsNamespace():
		return "", inMember
	default:
		return "", o.Name
	}
}

// Home returns the namespace of the member that the object is in, or is; empty for objects that
// have none.
func (k Kind) Home(o Object, c placement.Candidate) string {
	namespace, name := k.Place(o, c)
	if k.IsNamespace() {
		return name
	}
	return namespace
}

// RenderTarget is what render is told of a target.
func (k Kind) RenderTarget(o Object, c placement.Candidate, federation string) render.Target {
	var marks map[string]string
	if k.IsNamespace() {
		marks = ownership.Marks(federation, c.Owner)
	}
	namespace, name := k.Place(o, c)
	return render.Target{
		Name: o.CalledBy(c), Labels: c.Labels, NodeSelector: c.NodeSelector, Annotations: marks, ObjectName: name, Namespace: namespace,
	}
}

// RenderSpec is what the manifests of an object are made of.
func RenderSpec(federated *v1beta2.FederatedObject, source, federation string, ftc *v1beta1.FederatedTypeConfigSpec) render.Spec {
	spec := &federated.Spec
	return render.Spec{
		Template:               spec.Template,
		Overrides:              spec.Overrides,
		PropagatingAnnotations: ftc.PropagatingAnnotations,
		RetainReplicas:         spec.RetainReplicas != nil && *spec.RetainReplicas,
		Kind:                   KindOf(ftc).GroupVersionKind,
		Source:                 source,
		Federation:             federation,
	}
}

// RulesOf reads what a FederatedTypeConfig says of sharing with members. The error names the field.
func RulesOf(ftc *v1beta1.FederatedTypeConfigSpec) (compose.Rules, error) {
	fields, err := retain.Parse(ftc.RetainFields)
	if err != nil {
		return compose.Rules{}, err
	}
	return compose.Rules{RetainFields: fields, KeepForeign: ftc.ForeignFields == v1beta1.KeepForeignFields}, nil
}

// RulesFor returns the rules of a type, as an object of it has them.
func RulesFor(rules compose.Rules, federated *v1beta2.FederatedObject) compose.Rules {
	if retain := federated.Spec.RetainReplicas; retain != nil {
		rules.RetainReplicas = *retain
	}
	switch v1beta1.ForeignFields(federated.Annotations[v1beta1.ForeignFieldsAnnotation]) {
	case v1beta1.KeepForeignFields:
		rules.KeepForeign = true
	case v1beta1.RemoveForeignFields:
		rules.KeepForeign = false
	}
	return rules
}

// Moved reports whether a target is in another place than its record says, and something was written there, or given
// up: its cell moved, or was deleted and made anew in another member.
func (k Kind) Moved(o Object, c placement.Candidate, record v1beta2.TargetStatus) bool {
	elsewhere := record.Cluster != "" && record.Cluster != c.Member || record.Namespace != "" && record.Namespace != k.Home(o, c)
	return (record.Hash != "" || record.State == v1beta2.TargetAbandoned) && elsewhere
}
