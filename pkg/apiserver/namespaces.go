package apiserver

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/reconcile"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
)

var namespacesResource = corev1.SchemeGroupVersion.WithResource("namespaces")

// leftoverTimeout bounds the deletion of what a namespace leaves behind, before it is tried
// again.
const leftoverTimeout = 2 * time.Minute

// namespaceWatch knows the UIDs of the host's namespaces, and sees to what those that are
// deleted leave behind.
//
// Only a namespace that was seen being deleted is one that somebody deleted. One that is
// merely absent is not: a host may have been restored to an earlier day.
type namespaceWatch struct {
	client   metadata.Interface
	informer cache.SharedIndexInformer
	// leftovers deletes, and may be called again.
	leftovers func(context.Context, serving.Departure) error
	queue     workqueue.TypedRateLimitingInterface[serving.Departure]
}

func newNamespaceWatch(host *rest.Config, leftovers func(context.Context, serving.Departure) error) (*namespaceWatch, error) {
	client, err := metadata.NewForConfig(host)
	if err != nil {
		return nil, fmt.Errorf("make a metadata client of the host: %w", err)
	}
	w := &namespaceWatch{
		client:    client,
		informer:  metadatainformer.NewFilteredMetadataInformer(client, namespacesResource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer(),
		leftovers: leftovers,
		queue:     reconcile.NewQueue[serving.Departure]("namespace-leftovers", 100*time.Millisecond, time.Minute),
	}
	if err := w.informer.SetTransform(identity); err != nil {
		return nil, fmt.Errorf("trim the host's namespaces: %w", err)
	}
	if err := w.informer.SetWatchErrorHandlerWithContext(unlessStopped); err != nil {
		return nil, err
	}
	_, err = w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: w.seen, UpdateFunc: w.changed, DeleteFunc: w.gone})
	if err != nil {
		return nil, fmt.Errorf("watch the host's namespaces: %w", err)
	}
	return w, nil
}

// identity keeps of a namespace what tells it from others, its tenant, and whether it is being
// deleted.
func identity(object any) (any, error) {
	namespace, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: namespace.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: namespace.Name, UID: namespace.UID, ResourceVersion: namespace.ResourceVersion, DeletionTimestamp: namespace.DeletionTimestamp,
		Labels: tenancy.Of(namespace.Labels).Labels(),
	}}, nil
}

// tenantOf returns the tenant of a namespace, as it was some milliseconds ago. As long as namespaces
// are not known it is an error of the API: none would be another tenant.
func (w *namespaceWatch) tenantOf(name string) (tenancy.Tenant, error) {
	if !w.informer.HasSynced() {
		err := apierrors.NewServiceUnavailable(fmt.Sprintf("the tenant of namespace %q is not known yet: this server has not read the host's namespaces", name))
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
		return tenancy.Tenant{}, err
	}
	object, found, err := w.informer.GetStore().GetByKey(name)
	if err != nil || !found {
		return tenancy.Tenant{}, err
	}
	return tenancy.Of(object.(*metav1.PartialObjectMetadata).Labels), nil
}

// KnownUID implements namespacebound.Namespaces.
func (w *namespaceWatch) KnownUID(name string) types.UID {
	object, found, err := w.informer.GetStore().GetByKey(name)
	if err != nil || !found {
		return ""
	}
	return object.(*metav1.PartialObjectMetadata).UID
}

// CurrentUID implements namespacebound.Namespaces.
func (w *namespaceWatch) CurrentUID(ctx context.Context, name string) (types.UID, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	namespace, err := w.client.Resource(namespacesResource).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return namespace.UID, nil
}

func (w *namespaceWatch) seen(object any) {
	if namespace, err := meta.Accessor(object); err == nil && namespace.GetDeletionTimestamp() != nil {
		w.queue.Add(serving.Departure{Namespace: namespace.GetName(), UID: namespace.GetUID()})
	}
}

func (w *namespaceWatch) changed(old, object any) {
	if before, err := meta.Accessor(old); err == nil {
		if now, err := meta.Accessor(object); err == nil && before.GetUID() != now.GetUID() {
			w.gone(old)
		}
	}
	w.seen(object)
}

// gone is told of the last state of a namespace, or in a tombstone of the last that is known.
func (w *namespaceWatch) gone(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	if namespace, err := meta.Accessor(object); err == nil && namespace.GetDeletionTimestamp() != nil {
		w.queue.Add(serving.Departure{Namespace: namespace.GetName(), UID: namespace.GetUID(), Gone: true})
	}
}

// again looks at every namespace that is being deleted: a kind that is not served any more
// may have had objects there.
func (w *namespaceWatch) again() {
	for _, object := range w.informer.GetStore().List() {
		w.seen(object)
	}
}

// unlessStopped tells of a watch that failed, and not of one that the end of the server ended:
// the library calls that an error, with the server's reason to end.
func unlessStopped(ctx context.Context, reflector *cache.Reflector, err error) {
	if ctx.Err() == nil {
		cache.DefaultWatchErrorHandler(ctx, reflector, err)
	}
}

// run returns when ctx is done.
func (w *namespaceWatch) run(ctx context.Context) {
	go w.informer.RunWithContext(ctx) // ends with ctx
	reconcile.Work[serving.Departure]{Queue: w.queue, Do: w.leftovers, Timeout: leftoverTimeout, Failed: "Failed to delete what a namespace left behind"}.Run(ctx, 1)
}
