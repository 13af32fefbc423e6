package hostreg

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
	"k8s.io/utils/clock"

	"github.com/koinon-io/koinon/pkg/hoststate"
	"github.com/koinon-io/koinon/pkg/reconcile"
	"github.com/koinon-io/koinon/pkg/servingcert"
)

// SecretName is the Secret in the system namespace that holds the authorities of the serving
// certificates.
const SecretName = "koinon-serving-ca"

// managedBy marks what this package makes.
var managedBy = map[string]string{"app.kubernetes.io/managed-by": "koinon"}

// Priority places a group version in the host's discovery.
type Priority struct{ Group, Version int32 }

// Config says what to register, and where.
type Config struct {
	// Client and APIServices reach the host.
	Client      kubernetes.Interface
	APIServices apiregistrationclient.APIServiceInterface
	// Namespace is the system namespace. It holds the Service and the Secret.
	Namespace string
	// ServiceName and ServicePort are what the APIServices name.
	ServiceName string
	ServicePort int32
	// ExternalName is the DNS name or address by which the host reaches a server that does
	// not run in it; a Service for it is kept. Empty: there is a Service already.
	ExternalName string
	// Certificate keeps the serving certificate. Its authorities are what the APIServices trust.
	Certificate *servingcert.Keeper
	// GroupVersions are registered.
	GroupVersions map[schema.GroupVersion]Priority
	// KindsGroup is the group whose kinds KindsChanged is about.
	KindsGroup string
	// TenantLabels are the labels of namespaces of the host of whose change the server is asked. Empty: the host has no webhook
	// from here, and one that is there is not looked at.
	TenantLabels []string
	// Clock is the real one when nil.
	Clock clock.WithTicker
}

// Registration keeps a server registered.
type Registration struct {
	config Config
	// registered is that Register has succeeded. Register and Run alone use it.
	registered bool
	// webhookProblem is why the webhook was not kept at the last attempt. Register alone uses it.
	webhookProblem string
	// webhookPath is what the host calls about its namespaces; nil while that is not known.
	webhookPath atomic.Pointer[string]

	loop *reconcile.Loop

	mu          sync.Mutex // guards the rest
	fingerprint string
	kinds       string // to be written; empty when it was
}

// New checks the configuration. It does no I/O and starts nothing.
func New(config Config) (*Registration, error) {
	switch {
	case config.Client == nil || config.APIServices == nil:
		return nil, errors.New("hostreg: clients of the host must be set")
	case config.Certificate == nil:
		return nil, errors.New("hostreg: Certificate must be set")
	case config.Namespace == "" || config.ServiceName == "" || config.ServicePort == 0:
		return nil, errors.New("hostreg: Namespace, ServiceName and ServicePort must be set")
	}
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	return &Registration{config: config, loop: reconcile.New()}, nil
}

// Prepare makes what the server needs before it can serve: the namespace, and the serving
// certificate. It registers nothing yet.
func (r *Registration) Prepare(ctx context.Context) error {
	if err := hoststate.EnsureNamespace(ctx, r.config.Client, r.config.Namespace); err != nil {
		return err
	}
	if err := r.config.Certificate.Prepare(ctx); err != nil {
		return err
	}
	if !r.asked() {
		return nil
	}
	if err := r.adoptPath(ctx); err != nil && !apierrors.IsNotFound(err) {
		klog.FromContext(ctx).V(2).Info("Could not read how the host calls this server about namespaces", "err", err)
	}
	return nil
}

// Register registers the server. Call it when the server is ready: a host in which an
// APIService is not available cannot delete namespaces.
func (r *Registration) Register(ctx context.Context) error {
	bundle, err := r.config.Certificate.Ensure(ctx)
	if err != nil {
		return err
	}
	if err := r.ensureService(ctx); err != nil {
		return err
	}
	if err := r.ensureAPIServices(ctx, bundle); err != nil {
		return err
	}
	if r.asked() {
		r.ensureWebhook(ctx, bundle)
	}
	r.config.Certificate.Trusted(bundle)
	return nil
}

// Run registers the server and keeps it registered until ctx is done. What it registered
// stays: the server may come back, and other replicas may be there. onRegistered is called
// after the first success.
func (r *Registration) Run(ctx context.Context, onRegistered func()) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { r.watch(ctx) })
	attempt := func(ctx context.Context) (time.Duration, error) {
		err := r.Register(ctx)
		return r.config.Certificate.NextLook(reconcile.Resync), err
	}
	succeeded := sync.OnceFunc(onRegistered)
	r.loop.Run(ctx, attempt, func(err error) {
		if err != nil {
			klog.FromContext(ctx).Error(err, "Registration in the host failed and will be tried again")
			return
		}
		succeeded()
	})
}

// watch looks again when one of our APIServices changes, or the webhook if there is to be one.
func (r *Registration) watch(ctx context.Context) {
	names := map[string]bool{}
	for gv := range r.config.GroupVersions {
		names[apiServiceName(gv)] = true
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		r.follow(ctx, names, &apiregistrationv1.APIService{}, cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				return r.config.APIServices.List(ctx, options)
			},
			WatchFuncWithContext: r.config.APIServices.Watch,
		}, r.config.APIServices))
	})
	if !r.asked() {
		return
	}
	webhooks := r.config.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	watching.Go(func() {
		r.follow(ctx, map[string]bool{NamespacesWebhook: true}, &admissionregistrationv1.ValidatingWebhookConfiguration{}, cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				return webhooks.List(ctx, ofWebhook(options))
			},
			WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
				return webhooks.Watch(ctx, ofWebhook(options))
			},
		}, webhooks))
	})
}

// ofWebhook asks for the one configuration of ours.
func ofWebhook(options metav1.ListOptions) metav1.ListOptions {
	options.FieldSelector = fields.OneTermEqualSelector("metadata.name", NamespacesWebhook).String()
	return options
}

// follow looks again when one of the names changes, until ctx is done.
func (r *Registration) follow(ctx context.Context, names map[string]bool, example runtime.Object, objects cache.ListerWatcher) {
	enqueue := func(obj any) {
		key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
		if err == nil && names[key] {
			r.loop.Changed()
		}
	}
	informer := cache.NewSharedInformer(objects, example, 0)
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }, DeleteFunc: enqueue,
	}); err != nil {
		klog.FromContext(ctx).Error(err, "What registers this server in the host is not watched, only looked at from time to time", "interval", reconcile.Resync)
		return
	}
	informer.RunWithContext(ctx)
}
