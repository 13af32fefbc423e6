package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// DeepCopyObject is for runtime.Object.
func (in *ClusterProfile) DeepCopyObject() runtime.Object { return in.DeepCopy() }

// DeepCopy copies a profile.
func (in *ClusterProfile) DeepCopy() *ClusterProfile {
	if in == nil {
		return nil
	}
	out := *in
	out.ObjectMeta = *in.ObjectMeta.DeepCopy()
	out.Status.Conditions = slices.Clone(in.Status.Conditions)
	for i := range out.Status.Conditions {
		in.Status.Conditions[i].DeepCopyInto(&out.Status.Conditions[i])
	}
	out.Status.Properties = slices.Clone(in.Status.Properties)
	out.Status.AccessProviders = slices.Clone(in.Status.AccessProviders)
	for i := range out.Status.AccessProviders {
		in.Status.AccessProviders[i].Cluster.DeepCopyInto(&out.Status.AccessProviders[i].Cluster)
	}
	return &out
}

// DeepCopyObject is for runtime.Object.
func (in *ClusterProfileList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	out := &ClusterProfileList{TypeMeta: in.TypeMeta, ListMeta: *in.ListMeta.DeepCopy()}
	for i := range in.Items {
		out.Items = append(out.Items, *in.Items[i].DeepCopy())
	}
	return out
}

var (
	_ metav1.Object  = (*ClusterProfile)(nil)
	_ runtime.Object = (*ClusterProfileList)(nil)
)
