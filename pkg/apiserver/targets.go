package apiserver

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/static"
)

// lookupTimeout bounds what admission asks of the host.
const lookupTimeout = 5 * time.Second

// fromCache reads what the watch cache holds: no round trip to the database.
var fromCache = &metav1.GetOptions{ResourceVersion: "0"}

// hostNamespaces reads the labels of the host's namespaces.
type hostNamespaces struct {
	client corev1client.NamespaceInterface
}

// NamespaceLabels returns the error of the API if there is no such namespace.
func (n hostNamespaces) NamespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	namespace, err := n.client.Get(ctx, name, *fromCache)
	if err != nil {
		return nil, err
	}
	return namespace.Labels, nil
}

// IsEnding reports whether a namespace is gone, or being deleted. The host is asked: its answer decides what
// becomes of cells.
func (n hostNamespaces) IsEnding(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	namespace, err := n.client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return err == nil && namespace.DeletionTimestamp != nil, err
}

// CurrentLabels implements strategy.HostNamespaces. The host is asked: who labels a namespace
// and federates it then is not told that it lacks the label.
func (n hostNamespaces) CurrentLabels(ctx context.Context, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	namespace, err := n.client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return namespace.Labels, nil
}

// targets answers what admission asks about clusters, cells and edge units.
type targets struct {
	registry   *static.Registry
	namespace  string
	namespaces hostNamespaces
}

func (t targets) Cluster(ctx context.Context, name string) (*corev1beta1.KubeFedCluster, error) {
	obj, err := t.registry.Clusters.Get(genericapirequest.WithNamespace(ctx, t.namespace), name, fromCache)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return obj.(*corev1beta1.KubeFedCluster), nil
}

func (t targets) Unit(ctx context.Context, topologyType, namespace, name string) (*strategy.Unit, error) {
	var getter rest.Getter = t.registry.Cells
	if topologyType == typesv1beta2.TopologyEdgeUnit {
		getter = t.registry.EdgeUnits
	}
	obj, err := getter.Get(genericapirequest.WithNamespace(ctx, namespace), name, fromCache)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	member, memberNamespace := "", ""
	switch unit := obj.(type) {
	case *federationv1alpha1.Cell:
		member, memberNamespace = unit.Spec.ClusterName, unit.Spec.MemberNamespace
	case *edgev1alpha1.EdgeUnit:
		member, memberNamespace = unit.Spec.ClusterName, unit.Spec.MemberNamespace
	}
	object, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	return &strategy.Unit{
		Labels: object.GetLabels(), Member: member,
		Namespace: ownership.MemberNamespaceOf(memberNamespace, namespace, name),
	}, nil
}

// LabelsOf implements strategy.Targets, from the watch cache.
func (t targets) LabelsOf(ctx context.Context, topologyType, namespace string) (map[string]map[string]string, error) {
	var lister rest.Lister = t.registry.Clusters
	switch topologyType {
	case typesv1beta2.TopologyCell:
		lister = t.registry.Cells
	case typesv1beta2.TopologyEdgeUnit:
		lister = t.registry.EdgeUnits
	default:
		namespace = t.namespace
	}
	list, err := lister.List(genericapirequest.WithNamespace(ctx, namespace), &metainternalversion.ListOptions{ResourceVersion: fromCache.ResourceVersion})
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]string{}
	err = meta.EachListItem(list, func(item runtime.Object) error {
		object, err := meta.Accessor(item)
		if err == nil {
			found[object.GetName()] = object.GetLabels()
		}
		return err
	})
	return found, err
}

func (t targets) Page(ctx context.Context, namespace string) (*federationv1alpha1.MemberNamespace, error) {
	page, err := t.registry.Pages.GetCached(ctx, namespace)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return page, err
}

func (t targets) NamespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	labels, err := t.namespaces.NamespaceLabels(ctx, name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return labels, err
}

// OnlyNamespace implements strategy.Targets, from the watch cache.
func (t targets) OnlyNamespace(ctx context.Context) (string, error) {
	obj, err := t.registry.Configs.Get(genericapirequest.WithNamespace(ctx, t.namespace), corev1beta1.KubeFedConfigName, fromCache)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if config, ok := obj.(*corev1beta1.KubeFedConfig); ok && config.Spec.Scope == corev1beta1.NamespaceScoped {
		return t.namespace, nil
	}
	return "", nil
}
