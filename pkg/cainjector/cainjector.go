package cainjector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/reconcile"
	"github.com/koinon-io/koinon/pkg/servingcert"
)

// fieldManager owns what is injected.
const fieldManager = "koinon-cainjector"

// Config says whose callers to keep.
type Config struct {
	// Dynamic and Metadata reach the cluster.
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	// Service is what callers of the server name.
	Service types.NamespacedName
	// Group is that of the CRDs that are looked at.
	Group string
	// Certificate keeps the serving certificate. Nobody else may use it.
	Certificate *servingcert.Keeper
}

// Injector keeps the callers of one server.
type Injector struct {
	config    Config
	informers metadatainformer.SharedInformerFactory
	resources []resource
	loop      *reconcile.Loop
	// bundle is what Sync injects, and right are the versions of objects that have it, by UID.
	// Sync alone uses them.
	bundle []byte
	right  map[types.UID]string
}

// resource is one kind of object that may name the server. The informer has metadata only:
// others' CRDs can be many, and large.
type resource struct {
	schema.GroupVersionResource
	informer informers.GenericInformer
	suffix   string // of names
}

// New checks the configuration. It does no I/O and starts nothing.
func New(config Config) (*Injector, error) {
	switch {
	case config.Dynamic == nil || config.Metadata == nil || config.Certificate == nil:
		return nil, errors.New("cainjector: Dynamic, Metadata and Certificate must be set")
	case config.Service.Namespace == "" || config.Service.Name == "" || config.Group == "":
		return nil, errors.New("cainjector: Service and Group must be set")
	}
	i := &Injector{
		config:    config,
		informers: metadatainformer.NewSharedInformerFactory(config.Metadata, 0),
		loop:      reconcile.New(),
	}
	for gvr, suffix := range map[schema.GroupVersionResource]string{
		customResourceDefinitions: "." + config.Group, mutatingConfigurations: "", validatingConfigurations: "",
	} {
		if err := i.follow(gvr, suffix); err != nil {
			return nil, fmt.Errorf("cainjector: watch %s: %w", gvr.Resource, err)
		}
	}
	return i, nil
}

func (i *Injector) follow(gvr schema.GroupVersionResource, suffix string) error {
	r := resource{gvr, i.informers.ForResource(gvr), suffix}
	if err := r.informer.Informer().SetTransform(nameAndVersion); err != nil {
		return err
	}
	look := func(any) { i.loop.Changed() }
	_, err := r.informer.Informer().AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: r.concerns,
		Handler:    cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, obj any) { look(obj) }},
	})
	i.resources = append(i.resources, r)
	return err
}

// nameAndVersion keeps what Sync needs of an object.
func nameAndVersion(obj any) (any, error) {
	object, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: object.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: object.Name, UID: object.UID, ResourceVersion: object.ResourceVersion,
	}}, nil
}

func (r resource) concerns(obj any) bool {
	object, err := meta.Accessor(obj)
	return err == nil && strings.HasSuffix(object.GetName(), r.suffix)
}

// Run keeps certificate and callers until ctx is done. onFirst is called after the first
// attempt, whether it has succeeded or not: what callers were told before is good too.
func (i *Injector) Run(ctx context.Context, onFirst func()) {
	defer i.informers.Shutdown()
	i.informers.Start(ctx.Done())
	attempt := func(ctx context.Context) (time.Duration, error) {
		err := i.Sync(ctx)
		return i.config.Certificate.NextLook(reconcile.Resync), err
	}
	first := sync.OnceFunc(onFirst)
	i.loop.Run(ctx, attempt, func(err error) {
		if err != nil {
			klog.FromContext(ctx).Error(err, "Webhooks were not given the authority of this server, which will be tried again", "service", i.config.Service)
		}
		first()
	})
}

// Sync looks at everything once. Informers must have been started.
func (i *Injector) Sync(ctx context.Context) error {
	bundle, err := i.config.Certificate.Ensure(ctx)
	if err != nil {
		return err
	}
	before := i.right
	if !bytes.Equal(bundle, i.bundle) {
		before = nil
	}
	i.bundle, i.right = bundle, map[types.UID]string{}
	var errs []error
	for _, r := range i.resources {
		errs = append(errs, i.injectAll(ctx, r, before))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	i.config.Certificate.Trusted(bundle)
	return nil
}

// injectAll injects into all objects of a resource but those of which that version was right
// before. One that cannot be written does not hold up the others.
func (i *Injector) injectAll(ctx context.Context, r resource, before map[types.UID]string) error {
	if !cache.WaitForCacheSync(ctx.Done(), r.informer.Informer().HasSynced) {
		return fmt.Errorf("%s could not be listed: the account of this server needs the rights to list and watch them", r.GroupResource())
	}
	objects, err := r.informer.Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	var errs []error
	for _, obj := range objects {
		object, err := meta.Accessor(obj)
		if err != nil || !r.concerns(obj) {
			continue
		}
		if version, ok := before[object.GetUID()]; ok && version == object.GetResourceVersion() {
			i.right[object.GetUID()] = version
			continue
		}
		if err := i.inject(ctx, r.GroupVersionResource, object.GetName()); err != nil {
			errs = append(errs, fmt.Errorf("inject the authority into the %s %q: %w", r.Resource, object.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

// inject injects into one object. The event of a write has it looked at once more.
func (i *Injector) inject(ctx context.Context, gvr schema.GroupVersionResource, name string) error {
	object, err := i.config.Dynamic.Resource(gvr).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	patch, err := patchFor(object, i.config.Service, i.bundle)
	if err != nil {
		return err
	}
	if patch == nil {
		i.right[object.GetUID()] = object.GetResourceVersion()
		return nil
	}
	if err := i.loop.MayWrite(ctx); err != nil {
		return err
	}
	_, err = i.config.Dynamic.Resource(gvr).Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err == nil {
		klog.FromContext(ctx).V(2).Info("Injected the authority of this server", "resource", gvr.Resource, "name", name)
	}
	return err
}
