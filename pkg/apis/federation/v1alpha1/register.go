package v1alpha1

import (
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of the kinds in this package.
const GroupName = "federation.koinon.io"

// SchemeGroupVersion is the group and version of the kinds in this package.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

var (
	// SchemeBuilder collects the functions that AddToScheme runs.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme makes a scheme know the kinds of this package.
	AddToScheme = SchemeBuilder.AddToScheme
)

// Kind qualifies a kind with the group.
func Kind(kind string) schema.GroupKind {
	return SchemeGroupVersion.WithKind(kind).GroupKind()
}

// Resource qualifies a resource with the group.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion,
		&Cell{},
		&CellList{},
		&Cluster{},
		&ClusterList{},
		&MemberNamespace{},
		&MemberNamespaceList{},
		&Fleet{},
		&FleetList{},
		&ProxyOptions{},
	)
	if err := AddTargetsToScheme(scheme); err != nil {
		return err
	}
	if err := scheme.AddConversionFunc((*url.Values)(nil), (*ProxyOptions)(nil), optionsOfQuery); err != nil {
		return err
	}
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}

// AddTargetsToScheme makes a scheme know the kinds of the subresource targets. Federated kinds have
// a scheme of their own for what is none of them.
func AddTargetsToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion, &TargetObject{}, &TargetObjectList{}, &TargetObjectOptions{})
	return scheme.AddConversionFunc((*url.Values)(nil), (*TargetObjectOptions)(nil), targetOptionsOfQuery)
}

// optionsOfQuery converts the parameters that an API server makes of the path behind a
// subresource.
func optionsOfQuery(in, out any, _ conversion.Scope) error {
	out.(*ProxyOptions).Path = in.(*url.Values).Get("path")
	return nil
}
