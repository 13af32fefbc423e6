package propagation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/completion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/health"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// servedPoll is how often a federated kind is asked for until it is served.
const servedPoll = 300 * time.Millisecond

// kind is one federated kind that propagates. It is not modified once it is in the
// engine's map: a change of its FederatedTypeConfig makes another one.
type kind struct {
	name                string
	spec                v1beta1.FederatedTypeConfigSpec
	gvk                 schema.GroupVersionKind
	target              memberclient.Type
	federatedNamespaced bool
	// collectStatus: the whole status of objects is in the federated one.
	collectStatus bool
	// onlyNarrows: its objects are not propagated, and say where those of their namespace go.
	onlyNarrows bool
	// since is when its FederatedTypeConfig was made.
	since time.Time
	// paused: nothing is made or changed in members. What is deleted here is deleted there.
	paused bool
	// completion says when an object has ended; nil if none does.
	completion *completion.Rule
	// health says how an object is; nil if it is well once it is there.
	health *health.Rule
	rules  compose.Rules
	*feed
}

// feed is where a kind's objects come from. Kinds that differ only in how they propagate
// share it.
type feed struct {
	factory   *fedclient.Factory
	plural    string
	namespace string // empty: all
	informer  *hostwatch.Informer
	stop      context.CancelFunc
	stopped   <-chan struct{} // closed once it is
	// problem is why they could not be listed when that was tried last; nil if they could, or that was not tried.
	problem atomic.Pointer[string]
}

func (f *feed) note(err error) {
	if err == nil {
		f.problem.Store(nil)
		return
	}
	f.problem.Store(new(memberclient.Problem(err)))
}

// newKind reads a FederatedTypeConfig. What is wrong with its rules admission refuses, but what
// is stored may be older; nothing is propagated by half of the rules.
func newKind(ftc *v1beta1.FederatedTypeConfig) (*kind, error) {
	target := ftc.Spec.TargetType
	gvk := schema.GroupVersionKind{Group: target.Group, Version: target.Version, Kind: target.Kind}
	ends, err := completion.For(gvk.GroupKind(), ftc.Spec.RunToCompletion)
	if err != nil {
		return nil, fmt.Errorf("spec.runToCompletion.ended: %w", err)
	}
	var states *health.Rule
	if health.HasStatus(gvk.GroupKind()) || ftc.Spec.Health != nil {
		if states, err = health.For(gvk.GroupKind(), ftc.Spec.Health); err != nil {
			return nil, err
		}
	}
	rules, err := reach.RulesOf(&ftc.Spec)
	if err != nil {
		return nil, err
	}
	return &kind{
		name:  ftc.Name,
		spec:  ftc.Spec,
		since: ftc.CreationTimestamp.Time,
		gvk:   gvk,
		target: memberclient.Type{
			Resource:   gvk.GroupVersion().WithResource(target.PluralName),
			Kind:       target.Kind,
			Namespaced: target.Scope == v1beta1.NamespaceScoped,
		},
		federatedNamespaced: ftc.Spec.FederatedType.Scope == v1beta1.NamespaceScoped,
		completion:          ends,
		health:              states,
		rules:               rules,
	}, nil
}

// syncType starts, changes or stops a kind, as its FederatedTypeConfig says.
func (e *Engine) syncType(ctx context.Context, name string) (err error) {
	ftc, err := e.Types.Get(name)
	defer func() { e.lookedAt(name, ftc != nil, err) }()
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		e.stopKind(name)
		return nil
	}
	served, err := e.isServed(ftc)
	if err != nil {
		return err
	}
	if !served || e.isOutOfScope(ftc) {
		e.stopKind(name)
		if ftc.DeletionTimestamp != nil {
			return e.letTypeGo(ctx, ftc)
		}
		return e.writeTypeStatus(ctx, ftc, v1beta1.ControllerNotRunning)
	}
	paused := e.isPaused(ftc)
	if err := e.startKind(ctx, ftc, paused); err != nil {
		return e.notStarted(ctx, ftc, err)
	}
	state := v1beta1.ControllerRunning
	switch k := e.kind(name); {
	case ftc.DeletionTimestamp != nil:
		return e.letTypeGo(ctx, ftc)
	case paused, k != nil && k.onlyNarrows:
		state = v1beta1.ControllerNotRunning
	}
	return e.writeTypeStatus(ctx, ftc, state)
}

// notStarted says of a type that its kind could not be started, and why, and returns that. One that runs goes on by the rules that it has.
func (e *Engine) notStarted(ctx context.Context, ftc *v1beta1.FederatedTypeConfig, why error) error {
	switch {
	case ftc.DeletionTimestamp != nil:
		return errors.Join(why, e.letTypeGo(ctx, ftc))
	case e.kind(ftc.Name) != nil:
		return why
	}
	e.mu.RLock()
	before := e.failed[ftc.Name]
	e.mu.RUnlock()
	if before == nil || !strings.Contains(before.Error(), why.Error()) {
		e.tellOfType(ftc, ReasonNotStarted, fmt.Sprintf("nothing of the type %q is propagated, nor deleted in members: %v", ftc.Name, why))
	}
	return errors.Join(why, e.writeTypeStatus(ctx, ftc, v1beta1.ControllerNotRunning))
}

// lookedAt notes that it is known whether a kind propagates, or why it could not be started. Of a FederatedTypeConfig that is
// not there nothing is known: one that is made anew was not looked at.
func (e *Engine) lookedAt(name string, there bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looked[name] = true; !there {
		delete(e.looked, name)
	}
	if delete(e.failed, name); err != nil {
		e.failed[name] = err
	}
}

// isServed reports whether the federated kind of a configuration is served, and not another's of
// that name: what is read and written under it would be that one's objects.
func (e *Engine) isServed(ftc *v1beta1.FederatedTypeConfig) (bool, error) {
	all, err := e.Types.List(labels.Everything())
	if err != nil {
		return false, fmt.Errorf("list federated type configs: %w", err)
	}
	accepted, _ := validation.ServedTypes(all)
	return slices.ContainsFunc(accepted, func(a *v1beta1.FederatedTypeConfig) bool { return a.Name == ftc.Name }), nil
}

func (e *Engine) startKind(ctx context.Context, ftc *v1beta1.FederatedTypeConfig, paused bool) error {
	old := e.kind(ftc.Name)
	collects := modeIsEnabled(ftc.Spec.StatusCollection) && (collectsServices(ftc) || e.CollectRaw != nil && e.CollectRaw())
	if old != nil && old.paused == paused && old.collectStatus == collects && old.since.Equal(ftc.CreationTimestamp.Time) && reflect.DeepEqual(old.spec, ftc.Spec) {
		return nil
	}
	created, err := newKind(ftc)
	if err != nil {
		return err
	}
	if created.target.Namespaced {
		created.target.Namespace = e.watched()
	}
	created.onlyNarrows = created.name == namespaceType && e.inOneNamespace()
	created.paused, created.collectStatus = paused, collects
	if old != nil && (old.spec.TargetType != ftc.Spec.TargetType || old.spec.FederatedType != ftc.Spec.FederatedType) {
		e.stopKind(ftc.Name)
		old = nil
	}
	if old != nil {
		created.feed = old.feed
	} else if err := e.openFeed(ctx, created); err != nil {
		return err
	}
	e.mu.Lock()
	e.kinds[created.name] = created
	e.namespacesOff = e.namespacesOff && created.name != namespaceType
	e.mu.Unlock()
	if created.name == namespaceType && old == nil {
		// Ends once the feed is filled, or stopped.
		e.wg.Go(func() { e.narrowOnceKnown(created.feed) })
	}
	if created.narrowsAnew(old) {
		e.enqueueNarrowed()
	}
	if paused {
		e.unwatch(created)
	}
	for _, member := range e.Members.List() {
		created.follow(member)
	}
	created.enqueueAll(e)
	klog.FromContext(ctx).V(2).Info("Started propagation", "type", created.name, "deletionsOnly", paused)
	return nil
}

// collectsServices reports whether FederatedServiceStatuses are to be, as KubeFed is told to make them:
// they are computed from the whole statuses in FederatedServices (ADR 46).
func collectsServices(ftc *v1beta1.FederatedTypeConfig) bool {
	target := ftc.Spec.TargetType
	return target.Group == "" && target.Kind == "Service" && ftc.Spec.StatusType != nil
}

// openFeed starts to list and watch the federated objects of a kind.
func (e *Engine) openFeed(ctx context.Context, k *kind) error {
	factory, err := fedclient.New(e.HostConfig, k.spec.FederatedType.Group)
	if err != nil {
		return err
	}
	f := &feed{factory: factory, plural: k.spec.FederatedType.PluralName, namespace: e.watched()}
	f.informer = factory.NewInformer(f.plural, f.namespace)
	name := k.name
	enqueue := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if federated, ok := object.(*v1beta2.FederatedObject); ok {
			e.objects.Add(objectKey{name, federated.Namespace, federated.Name})
			e.changed(objectKey{name, federated.Namespace, federated.Name})
		}
	}
	if _, err := f.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: enqueue,
	}); err != nil {
		return fmt.Errorf("watch %s: %w", k.name, err)
	}
	if err := f.informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		f.note(err)
		cache.DefaultWatchErrorHandler(ctx, r, err)
	}); err != nil {
		return fmt.Errorf("watch %s: %w", k.name, err)
	}
	if k.name == namespaceType {
		if err := e.narrowBy(f); err != nil {
			return fmt.Errorf("watch %s: %w", k.name, err)
		}
	}
	feedCtx, stop := context.WithCancel(ctx)
	f.stop, f.stopped = stop, feedCtx.Done()
	k.feed = f
	// All end with feedCtx: when the kind is stopped, or the engine.
	e.wg.Go(func() { e.suspectOnceKnown(feedCtx, name, f) })
	e.wg.Go(func() {
		if f.waitUntilServed(feedCtx) {
			f.informer.RunWithContext(feedCtx)
		}
	})
	e.wg.Go(func() {
		e.Checker.Follow(feedCtx, factory.Version().WithResource(f.plural), f.namespace, f.informer)
	})
	return nil
}

// waitUntilServed spares the informer its long backoff: a kind is served a moment after
// its FederatedTypeConfig was made. It returns false if ctx ends first.
func (f *feed) waitUntilServed(ctx context.Context) bool {
	ticker := time.NewTicker(servedPoll)
	defer ticker.Stop()
	for {
		call, cancel := context.WithTimeout(ctx, hostTimeout)
		_, err := f.factory.Resource(f.plural, f.namespace).List(call, metav1.ListOptions{Limit: 1})
		cancel()
		if f.note(err); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// stopKind stops writing objects of a kind. What is in members stays.
func (e *Engine) stopKind(name string) {
	e.mu.Lock()
	stopped := e.kinds[name]
	delete(e.kinds, name)
	if stopped != nil { // another may take its place, or none: until that is decided its objects are not known
		delete(e.looked, name)
	}
	known := e.namespacesOff
	e.namespacesOff = known || name == namespaceType
	for key, m := range e.memories {
		if key.kind == name {
			e.unlist(key, m)
			delete(e.memories, key)
		}
	}
	e.mu.Unlock()
	if name == namespaceType && !known {
		e.enqueueNarrowed()
	}
	if stopped == nil {
		return
	}
	stopped.stop()
	e.unwatch(stopped)
}

// unwatch drops the caches of a kind.
func (e *Engine) unwatch(k *kind) {
	for _, member := range e.Members.List() {
		if member.Conn != nil {
			member.Conn.Unwatch(k.target.Resource)
		}
	}
}

// writeTypeStatus patches the fields that are ours; conditions belong to the API server.
func (e *Engine) writeTypeStatus(ctx context.Context, ftc *v1beta1.FederatedTypeConfig, state v1beta1.ControllerStatus) error {
	if ftc.Status.ObservedGeneration == ftc.Generation && ftc.Status.PropagationController == state {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"observedGeneration": ftc.Generation, "propagationController": state,
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	_, err = e.TypeClient.Patch(ctx, ftc.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// follow has a member watched that is well.
func (k *kind) follow(member membership.Member) {
	if !k.paused && member.Conn != nil && member.Health == membership.Ready {
		k.watchIn(member.Conn)
	}
}

func (k *kind) watchIn(conn *memberclient.Conn) {
	if k.onlyNarrows {
		return
	}
	keep := memberclient.Keep{Status: k.collectStatus, Rule: ruleText(&k.spec)}
	if k.completion != nil {
		keep.Ended = k.completion.Ended
	}
	if k.health != nil {
		keep.Summarize = k.health.Of
	}
	conn.Watch(k.target, keep)
}

// get returns a federated object from the cache, nil if there is none.
func (k *kind) get(key objectKey) *v1beta2.FederatedObject {
	object, ok, err := k.informer.GetStore().GetByKey(cache.NewObjectName(key.namespace, key.name).String())
	if err != nil || !ok {
		return nil
	}
	return object.(*v1beta2.FederatedObject)
}

// keys lists the objects of the kind.
func (k *kind) keys() []objectKey {
	stored := k.informer.GetStore().ListKeys()
	keys := make([]objectKey, 0, len(stored))
	for _, key := range stored {
		if namespace, name, err := cache.SplitMetaNamespaceKey(key); err == nil {
			keys = append(keys, objectKey{k.name, namespace, name})
		}
	}
	return keys
}

func (k *kind) enqueueAll(e *Engine) {
	for _, key := range k.keys() {
		e.objects.Add(key)
		e.changed(key)
	}
}

// enqueueOf has the objects whose targets are of a topology type looked at again.
func (k *kind) enqueueOf(e *Engine, topologyType string) {
	for _, object := range k.informer.GetStore().List() {
		federated := object.(*v1beta2.FederatedObject)
		if topology.Base(topologyOf(federated)) == topologyType {
			e.objects.Add(objectKey{k.name, federated.Namespace, federated.Name})
			e.changed(objectKey{k.name, federated.Namespace, federated.Name})
		}
	}
}

func (k *kind) enqueueNamespace(e *Engine, namespace string) {
	objects, err := k.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return // the index is there from the start
	}
	for _, object := range objects {
		key := objectKey{k.name, namespace, object.(*v1beta2.FederatedObject).Name}
		e.objects.Add(key)
		e.changed(key)
	}
}

// splitSource is the inverse of objectKey.source.
func splitSource(source string) (namespace, name string) {
	namespace, name, ok := strings.Cut(source, "/")
	if !ok {
		return "", source
	}
	return namespace, name
}
