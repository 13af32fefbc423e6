// Package propagatedversion is the REST storage of PropagatedVersions.
package propagatedversion

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/propagationrecord"
)

// NewREST returns the storage of PropagatedVersions and of their status.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, view computed.View) (*computed.REST[*v1alpha1.PropagatedVersion], *objectstore.StatusREST, error) {
	return propagationrecord.NewREST(propagationrecord.Kind[*v1alpha1.PropagatedVersion]{
		Plural:      "propagatedversions",
		Singular:    "propagatedversion",
		Scope:       objectstore.Namespaced,
		New:         func() *v1alpha1.PropagatedVersion { return &v1alpha1.PropagatedVersion{} },
		NewList:     func() runtime.Object { return &v1alpha1.PropagatedVersionList{} },
		SetMetadata: func(v *v1alpha1.PropagatedVersion, m metav1.ObjectMeta) { v.ObjectMeta = m },
		Status:      func(v *v1alpha1.PropagatedVersion) *v1alpha1.PropagatedVersionStatus { return &v.Status },
	}, scheme, optsGetter, view)
}
