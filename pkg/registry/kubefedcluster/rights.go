package kubefedcluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/privilege"
	"github.com/koinon-io/koinon/pkg/registry/stranding"
)

// REST is the storage of KubeFedClusters. Who may write one need not be an administrator of
// the member: to open namespaces that the member has for itself, with the account in them by
// which it was joined, takes the verb "escalate" on kubefedclusters. A change of its tenant that would
// strand objects is refused.
type REST struct {
	*objectstore.REST
	authorizer authorizer.Authorizer
	stranding  *stranding.Guard
}

// Create stores a new object.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.REST.Create(ctx, obj, r.creates(validate), options)
}

// Update changes an object. A server-side apply may create it.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, applies bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.REST.Update(ctx, name, info, r.creates(createValidation), r.updates(updateValidation), applies, options)
}

func (r *REST) creates(then rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		if err := r.opens(ctx, obj.(*v1beta1.KubeFedCluster), &v1beta1.KubeFedClusterSpec{}); err != nil || then == nil {
			return err
		}
		return then(ctx, obj)
	}
}

func (r *REST) updates(then rest.ValidateObjectUpdateFunc) rest.ValidateObjectUpdateFunc {
	return func(ctx context.Context, obj, old runtime.Object) error {
		now, before := obj.(*v1beta1.KubeFedCluster), old.(*v1beta1.KubeFedCluster)
		if err := r.opens(ctx, now, &before.Spec); err != nil {
			return err
		}
		if err := r.stranding.Cluster(ctx, now, before); err != nil || then == nil {
			return err
		}
		return then(ctx, obj, old)
	}
}

// opens asks for the right to open system namespaces that were closed before: to allow one, or
// not to name the join account's any more.
func (r *REST) opens(ctx context.Context, cluster *v1beta1.KubeFedCluster, before *v1beta1.KubeFedClusterSpec) error {
	var opened []string
	for _, namespace := range cluster.Spec.AllowedSystemNamespaces {
		if !slices.Contains(before.AllowedSystemNamespaces, namespace) {
			opened = append(opened, namespace)
		}
	}
	if join := before.JoinNamespace; join != "" && join != cluster.Spec.JoinNamespace && !slices.Contains(before.AllowedSystemNamespaces, join) {
		opened = append(opened, join)
	}
	if len(opened) == 0 {
		return nil
	}
	return privilege.Need(ctx, r.authorizer, authorizer.AttributesRecord{
		Verb: manifest.VerbEscalate, APIGroup: v1beta1.GroupName, APIVersion: v1beta1.SchemeGroupVersion.Version, Resource: "kubefedclusters",
		Namespace: cluster.Namespace, Name: cluster.Name, ResourceRequest: true,
	}, privilege.Object{Resource: v1beta1.SchemeGroupVersion.WithResource("kubefedclusters").GroupResource(), Name: cluster.Name},
		fmt.Sprintf("spec: to open %s, which the member has for itself,", strings.Join(opened, ", ")))
}
