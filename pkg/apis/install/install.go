// Package install makes a scheme know every static API group, in the way an API server
// needs it.
//
// There are no separate internal types: each kind has one version, so its Go type is
// registered under the internal version too, and converting between the two is a copy. Federated kinds (types.kubefed.io) are not installed: which of them exist is
// decided at run time.
package install

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
)

// version is one group version, and its kinds under the internal version.
type version struct {
	schema.GroupVersion
	addToScheme func(*runtime.Scheme) error
	kinds       []runtime.Object
}

// versions has the preferred version of a group before its others.
var versions = []version{
	{corev1beta1.SchemeGroupVersion, corev1beta1.AddToScheme, []runtime.Object{
		&corev1beta1.KubeFedCluster{}, &corev1beta1.KubeFedClusterList{}, &corev1beta1.KubeFedClusterAgents{}, &corev1beta1.KubeFedClusterAgentsOptions{},
		&corev1beta1.FederatedTypeConfig{}, &corev1beta1.FederatedTypeConfigList{},
		&corev1beta1.KubeFedConfig{}, &corev1beta1.KubeFedConfigList{},
	}},
	{corev1alpha1.SchemeGroupVersion, corev1alpha1.AddToScheme, []runtime.Object{
		&corev1alpha1.PropagatedVersion{}, &corev1alpha1.PropagatedVersionList{},
		&corev1alpha1.ClusterPropagatedVersion{}, &corev1alpha1.ClusterPropagatedVersionList{},
		&corev1alpha1.FederatedServiceStatus{}, &corev1alpha1.FederatedServiceStatusList{},
	}},
	{schedulingv1alpha1.SchemeGroupVersion, schedulingv1alpha1.AddToScheme, []runtime.Object{
		&schedulingv1alpha1.ReplicaSchedulingPreference{}, &schedulingv1alpha1.ReplicaSchedulingPreferenceList{},
	}},
	{federationv1alpha1.SchemeGroupVersion, federationv1alpha1.AddToScheme, []runtime.Object{
		&federationv1alpha1.Cell{}, &federationv1alpha1.CellList{},
		&federationv1alpha1.Cluster{}, &federationv1alpha1.ClusterList{},
		&federationv1alpha1.MemberNamespace{}, &federationv1alpha1.MemberNamespaceList{},
		&federationv1alpha1.Fleet{}, &federationv1alpha1.FleetList{},
		&federationv1alpha1.ProxyOptions{},
		&federationv1alpha1.TargetObject{}, &federationv1alpha1.TargetObjectList{}, &federationv1alpha1.TargetObjectOptions{},
	}},
	{edgev1alpha1.SchemeGroupVersion, edgev1alpha1.AddToScheme, []runtime.Object{
		&edgev1alpha1.EdgeUnit{}, &edgev1alpha1.EdgeUnitList{},
	}},
}

// Install registers every static kind, external and internal, with its defaults, and
// the order of preference of each group's versions.
func Install(scheme *runtime.Scheme) error {
	preferred := map[string][]schema.GroupVersion{}
	for _, v := range versions {
		if err := v.addToScheme(scheme); err != nil {
			return fmt.Errorf("add %s to the scheme: %w", v.GroupVersion, err)
		}
		internal := schema.GroupVersion{Group: v.Group, Version: runtime.APIVersionInternal}
		scheme.AddKnownTypes(internal, v.kinds...)
		for _, kind := range v.kinds {
			if err := scheme.AddConversionFunc(kind, kind, copyInto); err != nil {
				return fmt.Errorf("let the scheme copy a %T: %w", kind, err)
			}
		}
		preferred[v.Group] = append(preferred[v.Group], v.GroupVersion)
	}
	for group, order := range preferred {
		if err := scheme.SetVersionPriority(order...); err != nil {
			return fmt.Errorf("order the versions of %s: %w", group, err)
		}
	}
	return nil
}

// copyInto converts a kind between its external and its internal version. A scheme sees by
// itself that there is nothing to convert when it makes the new object, but not when it is
// given one, as it is by admission plugins that match the external version.
func copyInto(in, out any, _ conversion.Scope) error {
	copied := in.(runtime.Object).DeepCopyObject()
	reflect.ValueOf(out).Elem().Set(reflect.ValueOf(copied).Elem())
	return nil
}

// GroupVersions lists what Install registers, the preferred version of a group before
// its others.
func GroupVersions() []schema.GroupVersion {
	gvs := make([]schema.GroupVersion, 0, len(versions))
	for _, v := range versions {
		gvs = append(gvs, v.GroupVersion)
	}
	return gvs
}
