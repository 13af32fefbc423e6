// Package clusterpropagatedversion is the REST storage of ClusterPropagatedVersions.
package clusterpropagatedversion

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/propagationrecord"
)

// NewREST returns the storage of ClusterPropagatedVersions and of their status.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, view computed.View) (*computed.REST[*v1alpha1.ClusterPropagatedVersion], *objectstore.StatusREST, error) {
	return propagationrecord.NewREST(propagationrecord.Kind[*v1alpha1.ClusterPropagatedVersion]{
		Plural:      "clusterpropagatedversions",
		Singular:    "clusterpropagatedversion",
		Scope:       objectstore.ClusterScoped,
		New:         func() *v1alpha1.ClusterPropagatedVersion { return &v1alpha1.ClusterPropagatedVersion{} },
		NewList:     func() runtime.Object { return &v1alpha1.ClusterPropagatedVersionList{} },
		SetMetadata: func(v *v1alpha1.ClusterPropagatedVersion, m metav1.ObjectMeta) { v.ObjectMeta = m },
		Status:      func(v *v1alpha1.ClusterPropagatedVersion) *v1alpha1.PropagatedVersionStatus { return &v.Status },
	}, scheme, optsGetter, view)
}
