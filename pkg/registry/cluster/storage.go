package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/kubefedcluster"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// Source is where KubeFedClusters are read from.
type Source interface {
	rest.Getter
	List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error)
	rest.Watcher
}

// REST serves the view.
type REST struct {
	rest.TableConvertor

	source Source
	// namespace that members are in.
	namespace string
	// notScoped selects members.
	notScoped labels.Requirement
}

var (
	_ rest.Scoper               = &REST{}
	_ rest.Getter               = &REST{}
	_ rest.Lister               = &REST{}
	_ rest.Watcher              = &REST{}
	_ rest.CategoriesProvider   = &REST{}
	_ rest.SingularNameProvider = &REST{}
)

type column = objectstore.Column[*v1alpha1.Cluster]

// NewREST returns the view of the KubeFedClusters in a namespace of source.
func NewREST(source Source, namespace string) (*REST, error) {
	notScoped, err := labels.NewRequirement(v1alpha1.TopologyLabel, selection.DoesNotExist, nil)
	if err != nil {
		return nil, fmt.Errorf("make the selector of members: %w", err)
	}
	return &REST{
		source:    source,
		namespace: namespace,
		notScoped: *notScoped,
		TableConvertor: objectstore.Table(
			column{Name: "Ready", Description: "Whether the cluster answers.",
				Value: func(c *v1alpha1.Cluster) any { return kubefedcluster.Ready(&c.Status) }},
			column{Name: "Kubernetes-Version", Description: "What the cluster's API server reports.",
				Value: func(c *v1alpha1.Cluster) any { return c.Status.KubernetesVersion }},
			objectstore.Age[*v1alpha1.Cluster](),
			column{Name: "Endpoint", Description: "The cluster's API server.", Wide: true,
				Value: func(c *v1alpha1.Cluster) any { return c.Spec.APIEndpoint }},
			column{Name: "Tenant", Description: "The tenant that the cluster belongs to.", Wide: true,
				Value: func(c *v1alpha1.Cluster) any { return c.Labels[v1alpha1.TenantLabel] }},
		),
	}, nil
}

// New returns an empty Cluster.
func (r *REST) New() runtime.Object { return &v1alpha1.Cluster{} }

// NewList returns an empty ClusterList.
func (r *REST) NewList() runtime.Object { return &v1alpha1.ClusterList{} }

// Destroy does nothing: nothing is held.
func (r *REST) Destroy() {}

// NamespaceScoped is false.
func (r *REST) NamespaceScoped() bool { return false }

// GetSingularName returns cluster.
func (r *REST) GetSingularName() string { return "cluster" }

// Categories returns objectstore.Category.
func (r *REST) Categories() []string { return []string{objectstore.Category} }

// Get returns a member. What stands for a cell is not found.
func (r *REST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	notFound := apierrors.NewNotFound(v1alpha1.Resource("clusters"), name)
	obj, err := r.source.Get(r.inNamespace(ctx), name, options)
	switch {
	case apierrors.IsNotFound(err):
		return nil, notFound
	case err != nil:
		return nil, err
	}
	source, ok := obj.(*corev1beta1.KubeFedCluster)
	if !ok {
		return nil, fmt.Errorf("get KubeFedCluster %q: got a %T", name, obj)
	}
	if !isMember(source) {
		return nil, notFound
	}
	return view(source), nil
}

// List returns the members that the options select.
func (r *REST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	obj, err := r.source.List(r.inNamespace(ctx), r.members(options))
	if err != nil {
		return nil, err
	}
	sources, ok := obj.(*corev1beta1.KubeFedClusterList)
	if !ok {
		return nil, fmt.Errorf("list KubeFedClusters: got a %T", obj)
	}
	list := &v1alpha1.ClusterList{ListMeta: sources.ListMeta, Items: make([]v1alpha1.Cluster, 0, len(sources.Items))}
	for i := range sources.Items {
		list.Items = append(list.Items, *view(&sources.Items[i]))
	}
	return list, nil
}

// Watch reports changes of the members that the options select. A cluster that becomes or
// ceases to be a member is added or deleted.
func (r *REST) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	source, err := r.source.Watch(r.inNamespace(ctx), r.members(options))
	if err != nil {
		return nil, err
	}
	return watch.Filter(source, viewEvent), nil
}

// viewEvent turns an event of a KubeFedCluster into one of a Cluster. Errors pass as they
// are.
func viewEvent(event watch.Event) (watch.Event, bool) {
	object := event.Object
	if cached, ok := object.(runtime.CacheableObject); ok {
		object = cached.GetObject()
	}
	if source, ok := object.(*corev1beta1.KubeFedCluster); ok {
		event.Object = view(source)
	}
	return event, true
}

func (r *REST) inNamespace(ctx context.Context) context.Context {
	return genericapirequest.WithNamespace(ctx, r.namespace)
}

// members adds to the options that only members are asked for.
func (r *REST) members(options *metainternalversion.ListOptions) *metainternalversion.ListOptions {
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	narrowed := options.DeepCopy()
	if narrowed.LabelSelector == nil {
		narrowed.LabelSelector = labels.Everything()
	}
	narrowed.LabelSelector = narrowed.LabelSelector.Add(r.notScoped)
	return narrowed
}
