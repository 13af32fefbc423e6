package federatedtypeconfig

import (
	"context"
	"fmt"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// A FederatedTypeConfig is deleted at once, whatever there is of its kind: objects stay in the store and
// in members, and are there again with the kind. Who deletes it is told how many.

// Delete deletes a FederatedTypeConfig, or begins to if it has finalizers.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	var left string
	if config, err := r.Get(ctx, name, &metav1.GetOptions{}); err == nil {
		left = r.served.left(ctx, config.(*v1beta1.FederatedTypeConfig))
	}
	object, deleted, err := r.REST.Delete(ctx, name, validate, options)
	if err == nil && left != "" {
		warning.AddWarning(ctx, "", left)
	}
	return object, deleted, err
}

// DeleteCollection deletes FederatedTypeConfigs.
func (r *REST) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions, list *metainternalversion.ListOptions) (runtime.Object, error) {
	left := map[string]string{}
	if listed, err := r.List(ctx, list); err == nil {
		for i := range listed.(*v1beta1.FederatedTypeConfigList).Items {
			config := &listed.(*v1beta1.FederatedTypeConfigList).Items[i]
			left[config.Name] = r.served.left(ctx, config)
		}
	}
	deleted, err := r.REST.DeleteCollection(ctx, validate, options, list)
	if configs, ok := deleted.(*v1beta1.FederatedTypeConfigList); ok && err == nil {
		for i := range configs.Items {
			if left := left[configs.Items[i].Name]; left != "" {
				warning.AddWarning(ctx, "", left)
			}
		}
	}
	return deleted, err
}

// SetCounter has objects counted of a federated resource. It is called before anything is served.
func (s *Served) SetCounter(count func(ctx context.Context, resource string) (int64, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count = count
}

// left says what a configuration leaves behind that is deleted; empty if that is nothing, or its kind is
// not served by it.
func (s *Served) left(ctx context.Context, config *v1beta1.FederatedTypeConfig) string {
	if config.Namespace != s.systemNamespace {
		return ""
	}
	s.mu.Lock()
	v, count := s.verdicts[config.UID], s.count
	s.mu.Unlock()
	if !v.ok || count == nil {
		return ""
	}
	objects, err := count(ctx, config.Spec.FederatedType.PluralName)
	if err != nil {
		return fmt.Sprintf("%s: objects that there may be stay in the store and in members; they could not be counted: %v", config.Spec.FederatedType.PluralName, err)
	}
	return leftBehind(&config.Spec.FederatedType, objects)
}

// leftBehind says what becomes of objects whose kind is not served any more, and what to do.
func leftBehind(federated *v1beta1.APIResource, objects int64) string {
	if objects == 0 {
		return ""
	}
	what, all := "objects stay", "--all"
	if objects == 1 {
		what = "object stays"
	}
	if federated.Scope == v1beta1.NamespaceScoped {
		all += " --all-namespaces"
	}
	return fmt.Sprintf("%s: %d %s in the store and in members, where nobody looks after them until a FederatedTypeConfig serves the kind again; "+
		"to remove them, create it again and run kubectl delete %s %s before it is deleted, with --cascade=orphan to leave what members have",
		federated.PluralName, objects, what, federated.PluralName, all)
}
