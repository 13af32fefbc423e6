package memberclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

const (
	// FieldManager owns our fields in members.
	FieldManager = compose.FieldManager
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
	// Namespace is the only one of which objects are listed and watched; empty: all.
	Namespace string
}

// Conn is a connection to one member with one set of credentials.
type Conn struct {
	dynamic  dynamic.Interface
	metadata metadata.Interface
	client   rest.Interface // of lists, watches, discovery and health
	// transport is what all three use. Another Conn may use it too, if it has the same authorities.
	transport http.RoundTripper
	clock     *memberClock
	onEvent   func(schema.GroupVersionResource, Event)
	budget    *budget
	events    *rate.Limiter // of watches
	// sleep waits for a time, or until ctx ends.
	sleep func(ctx context.Context, d time.Duration)
	// wake tells upkeep that something is due sooner.
	wake chan struct{}

	ctx   context.Context
	close context.CancelFunc
	wg    sync.WaitGroup

	mu     sync.Mutex
	tended bool                                   // upkeep runs; guarded by mu
	caches map[schema.GroupVersionResource]*Cache // guarded by mu
	// version of Kubernetes, and when the member was asked for it. Guarded by mu.
	version struct {
		name  string
		asked time.Time
	}
	// held are the namespaces that were seen to be held, by name, and some that are to be looked
	// at again; heldOnce is how many there were when those were forgotten. Guarded by mu.
	held     map[string]held
	heldOnce int
}

// Event is a change in the cache of a type.
type Event struct {
	// Live is the object as it is now or, if Deleted is set, as it was last known; nil if the
	// cache has changed its state.
	Live *Live
	// Deleted: the object is not there any more, or has lost our label. Whether anybody saw
	// that happen says SeenDeleted.
	Deleted bool
}

// NewConn prepares a connection with a configuration that Config made; it does no I/O. onEvent
// is called, from any goroutine and without blocking for long, for every change of an object
// in a watched type, and when a type's cache changes its state; resource is that of the Type
// that is watched. ctx ends all caches, as Close does.
func NewConn(ctx context.Context, config *rest.Config, onEvent func(resource schema.GroupVersionResource, event Event)) (*Conn, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "koinon"
	config.WarningHandler, config.WarningHandlerWithContext = nil, warningCollector{}
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(memberQPS, memberBurst)
	clock := &memberClock{}
	config.Wrap(clock.wrap)
	one, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make transport: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfigAndClient(config, one)
	if err != nil {
		return nil, fmt.Errorf("make dynamic client: %w", err)
	}
	metadataClient, err := metadata.NewForConfigAndClient(config, one)
	if err != nil {
		return nil, fmt.Errorf("make metadata client: %w", err)
	}
	config.NegotiatedSerializer = scheme.Codecs
	client, err := rest.UnversionedRESTClientForConfigAndClient(config, one)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	c := &Conn{
		dynamic:   dynamicClient,
		metadata:  metadataClient,
		client:    client,
		transport: one.Transport,
		clock:     clock,
		onEvent:   onEvent,
		budget:    &budget{limitBytes: maxCachedBytes},
		events:    rate.NewLimiter(eventsPerSecond, eventBurst),
		sleep:     sleep,
		wake:      make(chan struct{}, 1),
		caches:    map[schema.GroupVersionResource]*Cache{},
		held:      map[string]held{},
	}
	c.ctx, c.close = context.WithCancel(ctx)
	return c, nil
}

// Close ends all caches and waits for them. Connections that nobody uses are closed; one on which a
// request is still under way is closed when it has been idle for some time.
func (c *Conn) Close() {
	c.close()
	c.wg.Wait()
	utilnet.CloseIdleConnectionsFor(c.transport)
}

// versionEvery is how old the version of a member that stays well may get.
const versionEvery = 5 * time.Minute

// Health asks whether the member is well. healthy is false if it answered and said no;
// err is set if it did not answer, or refused our credentials.
func (c *Conn) Health(ctx context.Context) (healthy bool, version string, err error) {
	healthy, err = c.isHealthy(ctx)
	if err == nil && healthy {
		version, err = c.knownVersion(ctx)
	}
	if err != nil || !healthy {
		c.mu.Lock()
		c.version.asked = time.Time{} // it may be another when the member is back
		c.mu.Unlock()
		return false, "", err
	}
	return true, version, nil
}

func (c *Conn) isHealthy(ctx context.Context) (bool, error) {
	body, err := c.client.Get().AbsPath("/healthz").Do(ctx).Raw()
	if apierrors.IsInternalError(err) {
		return false, nil
	}
	return string(body) == "ok", err
}

// knownVersion asks for the version of Kubernetes unless it was asked for not long ago.
func (c *Conn) knownVersion(ctx context.Context) (string, error) {
	c.mu.Lock()
	known := c.version
	c.mu.Unlock()
	if time.Since(known.asked) < versionEvery {
		return known.name, nil
	}
	body, err := c.client.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var info struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("read /version: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version.name, c.version.asked = status.Cut(info.GitVersion, maxVersionBytes), time.Now()
	return c.version.name, nil
}

func (c *Conn) resource(gvr schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return c.dynamic.Resource(gvr)
	}
	return c.dynamic.Resource(gvr).Namespace(namespace)
}

// ErrTypeNotServed says that the member does not serve the type of an object: whether the
// object is there is not known.
var ErrTypeNotServed = errors.New("the member does not serve this type")

// Get reads an object from the member, past the cache, in the version that the member serves.
// It returns nil and no error if there is none.
func (c *Conn) Get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	object, err := c.resource(c.Served(gvr), namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessMissing(err, name)
	}
	return object, nil
}

// unlessMissing turns the error of a request for an object into none if the object is not
// there. API servers answer 404 also where there is no such type.
func unlessMissing(err error, name string) error {
	if !apierrors.IsNotFound(err) {
		return err
	}
	if IsMissing(err, name) {
		return nil
	}
	return fmt.Errorf("%w (404 Not Found)", ErrTypeNotServed)
}

// IsMissing reports whether an API server says that it has no object of that name. That it does not serve the type says
// nothing.
func IsMissing(err error, name string) bool {
	answered, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return false
	}
	details := answered.Status().Details
	return details != nil && details.Name == name
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
	return unlessMissing(c.resource(c.Served(gvr), namespace).Delete(ctx, name, options), name)
}
