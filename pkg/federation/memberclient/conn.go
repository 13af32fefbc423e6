package memberclient

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

const (
	// FieldManager owns our fields in members.
	FieldManager = "koinon"
	// callTimeout bounds every call but watches, which have HTTP/2's keepalive.
	callTimeout = 15 * time.Second
	// Limits of requests per second to one member, all types together. Beyond them
	// requests wait; the member's own priority and fairness does the rest.
	memberQPS, memberBurst = 200, 400
	// maxVersionBytes bounds the version of Kubernetes that goes into a KubeFedCluster.
	maxVersionBytes = 128
)

// Type is a target kind.
type Type struct {
	Resource   schema.GroupVersionResource
	Kind       string
	Namespaced bool
}

// Conn is a connection to one member with one set of credentials.
type Conn struct {
	dynamic   dynamic.Interface
	metadata  metadata.Interface
	discovery rest.Interface
	onEvent   func(schema.GroupVersionResource, *Live)
	budget    *budget
	events    *rate.Limiter // of watches
	// sleep waits for a time, or until ctx ends.
	sleep func(ctx context.Context, d time.Duration)

	ctx   context.Context
	close context.CancelFunc
	wg    sync.WaitGroup

	mu     sync.Mutex
	caches map[schema.GroupVersionResource]*Cache // guarded by mu
	// held are the namespaces that were seen to be held, by name: at most one entry for
	// each that was written to. Guarded by mu.
	held map[string]held
}

// NewConn prepares a connection with a configuration that Config made; it does no I/O. onEvent is called, from any goroutine
// and without blocking for long, for every change of an object in a watched type, and
// with nil when a type's cache changes its state. ctx ends all caches, as Close does.
func NewConn(ctx context.Context, config *rest.Config, onEvent func(schema.GroupVersionResource, *Live)) (*Conn, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "koinon"
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(memberQPS, memberBurst)
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make dynamic client: %w", err)
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make metadata client: %w", err)
	}
	config.Timeout = pageTimeout // the longest of all that this client asks
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make discovery client: %w", err)
	}
	c := &Conn{
		dynamic:   dynamicClient,
		metadata:  metadataClient,
		discovery: discoveryClient.RESTClient(),
		onEvent:   onEvent,
		budget:    &budget{limitBytes: maxCachedBytes},
		events:    rate.NewLimiter(eventsPerSecond, eventBurst),
		sleep:     sleep,
		caches:    map[schema.GroupVersionResource]*Cache{},
		held:      map[string]held{},
	}
	c.ctx, c.close = context.WithCancel(ctx)
	return c, nil
}

// Close ends all caches and waits for them.
func (c *Conn) Close() {
	c.close()
	c.wg.Wait()
}

// Health asks whether the member is well. healthy is false if it answered and said no;
// err is set if it did not answer, or refused our credentials.
func (c *Conn) Health(ctx context.Context) (healthy bool, version string, err error) {
	body, err := c.discovery.Get().AbsPath("/healthz").Do(ctx).Raw()
	if apierrors.IsInternalError(err) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	if string(body) != "ok" {
		return false, "", nil
	}
	body, err = c.discovery.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return false, "", err
	}
	var info struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return false, "", fmt.Errorf("read /version: %w", err)
	}
	return true, status.Cut(info.GitVersion, maxVersionBytes), nil
}

// serves asks whether the member has the type.
func (c *Conn) serves(ctx context.Context, t Type) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := c.discovery.Get().AbsPath(versionPath(t.Resource.GroupVersion())).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return false, fmt.Errorf("read discovery of %s: %w", t.Resource.GroupVersion(), err)
	}
	for _, resource := range list.APIResources {
		if resource.Name == t.Resource.Resource && resource.Namespaced == t.Namespaced {
			return true, nil
		}
	}
	return false, nil
}

func (c *Conn) resource(gvr schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return c.dynamic.Resource(gvr)
	}
	return c.dynamic.Resource(gvr).Namespace(namespace)
}

// Get reads an object from the member, past the cache. It returns nil and no error if
// there is none.
func (c *Conn) Get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	object, err := c.resource(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

// Apply applies a manifest. Its namespace must be held: if it is not there, although it was
// a moment ago, it is held anew. The answer is in the cache at once.
func (c *Conn) Apply(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, manifest []byte, hold Hold) (*Live, error) {
	live, err := c.apply(ctx, gvr, namespace, name, manifest)
	if namespace == "" || !isNamespaceMissing(err) {
		return live, err
	}
	c.forgetHeld(hold.Name)
	if err := c.Hold(ctx, hold); err != nil {
		return nil, err
	}
	return c.apply(ctx, gvr, namespace, name, manifest)
}

func (c *Conn) apply(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, manifest []byte) (*Live, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	force := true
	object, err := c.resource(gvr, namespace).Patch(ctx, name, types.ApplyPatchType, manifest,
		metav1.PatchOptions{FieldManager: FieldManager, Force: &force})
	if err != nil {
		return nil, err
	}
	if object.GetName() != name || object.GetNamespace() != namespace {
		return nil, &AnswerError{Problem: "the member answers another object than the one that was applied"}
	}
	return c.remember(gvr, object)
}

func (c *Conn) remember(gvr schema.GroupVersionResource, object *unstructured.Unstructured) (*Live, error) {
	c.mu.Lock()
	cache := c.caches[gvr]
	c.mu.Unlock()
	if cache == nil {
		return NewLive(object, false)
	}
	live, err := NewLive(object, cache.keepStatus)
	if err == nil {
		cache.wrote(live.Namespace, live.Name, write{live: live})
	}
	return live, err
}

// Gone tells the cache that the object with that UID is not there any more, or not ours,
// ahead of the watch.
func (c *Conn) Gone(gvr schema.GroupVersionResource, namespace, name string, uid types.UID) {
	c.mu.Lock()
	cache := c.caches[gvr]
	c.mu.Unlock()
	if cache != nil {
		cache.wrote(namespace, name, write{gone: uid})
	}
}

// isNamespaceMissing tells "no such namespace" from "no such object" and "no such type".
func isNamespaceMissing(err error) bool {
	if !apierrors.IsNotFound(err) {
		return false
	}
	status, ok := err.(apierrors.APIStatus)
	return ok && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// Delete deletes one object, if it is still the one with that UID.
func (c *Conn) Delete(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, uid types.UID, options metav1.DeleteOptions) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if options.Preconditions == nil {
		options.Preconditions = &metav1.Preconditions{}
	}
	options.Preconditions.UID = &uid
	if options.PropagationPolicy == nil && options.OrphanDependents == nil { //nolint:staticcheck // clients may still send it
		background := metav1.DeletePropagationBackground
		options.PropagationPolicy = &background
	}
	err := c.resource(gvr, namespace).Delete(ctx, name, options)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Release takes our label and the given annotation from an object and leaves the rest as
// it is. It is no error if the object does not exist.
func (c *Conn) Release(ctx context.Context, gvr schema.GroupVersionResource, namespace, name, annotation string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels":      map[string]any{v1beta1.ManagedLabel: nil},
		"annotations": map[string]any{annotation: nil},
	}})
	if err != nil {
		return err
	}
	_, err = c.resource(gvr, namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
