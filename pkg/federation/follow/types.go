package follow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
)

const (
	// lookEvery is how often it is looked which types the host serves, and sayEvery how often the log says what
	// the host does not let us list.
	lookEvery, sayEvery = 10 * time.Second, 10 * time.Minute
)

// nativeType is one type of the host whose labelled objects are watched. It is not modified.
type nativeType struct {
	resource schema.GroupVersionResource
	// rules are what of the FederatedTypeConfig another look at all objects is for.
	rules string
	// custom: the type had a CustomResourceDefinition when it began to be watched. What is deleted once there is none went with it. It is
	// set before the informer runs.
	custom   *atomic.Bool
	informer *hostwatch.Informer
	stop     context.CancelFunc
}

// followTypes watches what the host serves of the types that are federated, until ctx ends.
func (c *Controller) followTypes(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		c.syncTypes(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-c.typesChanged:
		}
	}
}

// TypeChanged has it looked again which types are followed.
func (c *Controller) TypeChanged() {
	select {
	case c.typesChanged <- struct{}{}:
	default: // it is about to be looked
	}
}

// syncTypes starts and stops to watch types. What is not known changes nothing.
func (c *Controller) syncTypes(ctx context.Context) {
	configs, err := c.Types.List(labels.Everything())
	if err != nil {
		return // never: it is a cache
	}
	asked := discovery{host: c.host, groups: map[string]groupAnswer{}, versions: map[schema.GroupVersion]versionAnswer{}}
	wanted := map[string]bool{}
	for _, config := range configs {
		resource, known := asked.as(ctx, config)
		switch {
		case !known:
			wanted[config.Name] = true // as it is
		case resource != nil && hasOneName(config) && config.DeletionTimestamp == nil && c.isInScope(config):
			wanted[config.Name] = true
			c.watch(ctx, config, *resource)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, t := range c.types {
		if !wanted[name] {
			t.stop()
			delete(c.types, name)
			klog.FromContext(ctx).Info("Stopped following objects of the host", "type", name)
		}
	}
}

// isInScope: where one namespace is federated, objects of none are not.
func (c *Controller) isInScope(config *v1beta1.FederatedTypeConfig) bool {
	return c.Namespace == "" || config.Spec.TargetType.Scope == v1beta1.NamespaceScoped
}

// discovery is what the host serves, asked once for each group and version.
type discovery struct {
	host     *host
	groups   map[string]groupAnswer
	versions map[schema.GroupVersion]versionAnswer
}

// groupAnswer is what the host serves of a group: nothing if it does not serve it. err says that this is not known.
type groupAnswer struct {
	versions []schema.GroupVersion
	err      error
}

type versionAnswer struct {
	resources []metav1.APIResource
	err       error
}

// as finds the version in which the host serves a type: that of the type, or the one that the host prefers. resource is nil if
// it does not serve it.
func (d *discovery) as(ctx context.Context, config *v1beta1.FederatedTypeConfig) (resource *schema.GroupVersionResource, known bool) {
	target := config.Spec.TargetType
	wanted := schema.GroupVersion{Group: target.Group, Version: target.Version}
	versions := []schema.GroupVersion{wanted}
	if target.Group != "" {
		group := d.group(ctx, target.Group)
		if group.err != nil {
			return nil, false
		}
		others := slices.DeleteFunc(slices.Clone(group.versions), func(v schema.GroupVersion) bool { return v == wanted })
		if len(others) == len(group.versions) {
			versions = nil // it serves the others alone
		}
		versions = append(versions, others...)
	}
	for _, version := range versions {
		found := d.version(ctx, version)
		if found.err != nil {
			return nil, false
		}
		for i := range found.resources {
			r := &found.resources[i]
			if r.Name == target.PluralName && r.Kind == target.Kind && r.Namespaced == (target.Scope == v1beta1.NamespaceScoped) &&
				slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch") {
				gvr := version.WithResource(r.Name)
				return &gvr, true
			}
		}
	}
	return nil, true
}

func (d *discovery) group(ctx context.Context, name string) groupAnswer {
	answer, asked := d.groups[name]
	if !asked {
		answer.versions, answer.err = d.host.group(ctx, name)
		d.groups[name] = answer
	}
	return answer
}

func (d *discovery) version(ctx context.Context, version schema.GroupVersion) versionAnswer {
	answer, asked := d.versions[version]
	if !asked {
		answer.resources, answer.err = d.host.resources(ctx, version)
		d.versions[version] = answer
	}
	return answer
}

// rulesOf is what of a FederatedTypeConfig makes templates, and says whether they are made.
func rulesOf(config *v1beta1.FederatedTypeConfig) string {
	return fmt.Sprintf("%v %v %v %q", config.Spec.TargetType, config.Spec.FederatedType, config.Spec.PropagatingAnnotations, config.Annotations[v1beta1.FollowAnnotation])
}

// watch starts to watch a type, unless it is watched, or has all looked at again if the rules are others.
func (c *Controller) watch(ctx context.Context, config *v1beta1.FederatedTypeConfig, resource schema.GroupVersionResource) {
	rules := rulesOf(config)
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.types[config.Name]
	if old != nil && old.resource == resource {
		if old.rules != rules {
			changed := *old
			changed.rules = rules
			c.types[config.Name] = &changed
			c.lookAnew(config.Name, &changed)
		}
		return
	}
	if old != nil {
		old.stop()
	}
	namespace := ""
	if config.Spec.TargetType.Scope == v1beta1.NamespaceScoped {
		namespace = c.Namespace
	}
	source := c.host.source(resource, namespace)
	t := &nativeType{resource: resource, rules: rules, custom: new(atomic.Bool)}
	t.informer = hostwatch.NewSelectingInformer[*metav1.PartialObjectMetadataList](source, v1beta1.FederateLabel, &metav1.PartialObjectMetadata{})
	// Both fail only once the informer runs.
	_ = t.informer.SetTransform(strip)
	_, _ = t.informer.AddEventHandler(c.handler(config.Name))
	watching, stop := context.WithCancel(ctx)
	t.stop = stop
	c.types[config.Name] = t
	// All end with watching: when the type is stopped, or the controller.
	c.wg.Go(func() {
		if !until(watching, resource, func(call context.Context) error {
			if _, err := source.List(call, metav1.ListOptions{Limit: 1, LabelSelector: v1beta1.FederateLabel}); err != nil {
				return err
			}
			custom, err := c.isCustom(call, config)
			t.custom.Store(custom)
			return err
		}) {
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { t.informer.RunWithContext(watching) })
		wg.Go(func() { c.Checker.Follow(watching, resource, namespace, t.informer) })
		if cache.WaitForCacheSync(watching.Done(), t.informer.HasSynced) {
			klog.FromContext(ctx).V(2).Info("Started following objects of the host", "type", config.Name)
			c.mu.Lock()
			c.enqueueAll(config.Name, t)
			c.mu.Unlock()
		}
		wg.Wait()
	})
}

// isCustom reports whether a type has a CustomResourceDefinition.
func (c *Controller) isCustom(ctx context.Context, config *v1beta1.FederatedTypeConfig) (bool, error) {
	definition, err := c.definition(ctx, config)
	if err != nil {
		return false, fmt.Errorf("look at the CustomResourceDefinition: %w", err)
	}
	return definition != nil, nil
}

// enqueueAll has all objects of a type looked at: those that are labelled, and those that are followed. It is called with mu held.
func (c *Controller) enqueueAll(kind string, t *nativeType) {
	for _, stored := range t.informer.GetStore().ListKeys() {
		if namespace, name, err := cache.SplitMetaNamespaceKey(stored); err == nil {
			c.queue.Add(key{kind, namespace, name})
		}
	}
	for k := range c.marked {
		if k.kind == kind {
			c.queue.Add(k)
		}
	}
}

// lookAnew has all objects of a type looked at, also those with which there was nothing to do. It is called with mu held.
func (c *Controller) lookAnew(kind string, t *nativeType) {
	maps.DeleteFunc(c.seen, func(k key, _ versions) bool { return k.kind == kind })
	c.enqueueAll(kind, t)
}

func (c *Controller) handler(kind string) cache.ResourceEventHandler {
	enqueue := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if m, ok := object.(*metav1.PartialObjectMetadata); ok {
			c.queue.Add(key{kind, m.Namespace, m.Name})
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) }, DeleteFunc: enqueue}
}

// strip drops what nobody reads: annotations may hold a whole Secret.
func strip(object any) (any, error) {
	m, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: map[string]string{v1beta1.FederateLabel: strings.Clone(m.Labels[v1beta1.FederateLabel])},
	}}, nil
}

// until waits until the host answers what is asked of a type, and says that it does not: the informer would say so all the time.
// It returns false if ctx ends first.
func until(ctx context.Context, resource schema.GroupVersionResource, ask func(context.Context) error) bool {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var said time.Time
	for {
		call, cancel := context.WithTimeout(ctx, hostTimeout)
		err := ask(call)
		cancel()
		if err == nil {
			return true
		}
		if !apierrors.IsNotFound(err) && ctx.Err() == nil && time.Since(said) > sayEvery {
			said = time.Now()
			klog.FromContext(ctx).Info("Failed to ask the host for objects that are to be followed", "type", resource.GroupResource(), "problem", err.Error())
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// get returns what is known of an object, nil if it has no label.
func (t *nativeType) get(k key) *metav1.PartialObjectMetadata {
	object, ok, err := t.informer.GetStore().GetByKey(cache.NewObjectName(k.namespace, k.name).String())
	if err != nil || !ok {
		return nil
	}
	return object.(*metav1.PartialObjectMetadata)
}
