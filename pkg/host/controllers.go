package host

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	validatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
)

const (
	// controllersLease is the lock of the controllers when several servers share a store.
	controllersLease = "koinon-host-controllers"

	// discoveryPeriod is how soon garbage collection notices a new or removed kind.
	discoveryPeriod = 10 * time.Second
	// garbageSyncTimeout is how long collection waits for its watches before it starts.
	garbageSyncTimeout = 30 * time.Second
	// namespaceResync is how often every namespace is looked at again.
	namespaceResync   = 5 * time.Minute
	controllerWorkers = 5
)

// addControllers runs the controllers once the server serves, until it stops.
func addControllers(server *genericapiserver.GenericAPIServer, shared bool) error {
	config := rest.CopyConfig(server.LoopbackClientConfig)
	run := runControllers
	if shared {
		run = runElected
	}
	return server.AddPostStartHook("koinon-host-controllers", func(hook genericapiserver.PostStartHookContext) error {
		// Ends with the server.
		go run(hook, config)
		return nil
	})
}

// runElected runs the controllers while this server holds the lease.
func runElected(ctx context.Context, config *rest.Config) {
	hostname, _ := os.Hostname()
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, metav1.NamespaceSystem, controllersLease,
		resourcelock.ResourceLockConfig{Identity: hostname + "_" + string(uuid.NewUUID())}, config, 10*time.Second)
	if err != nil {
		reportStopped(ctx, err)
		return
	}
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, Name: controllersLease, ReleaseOnCancel: true,
			LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { runControllers(ctx, config) },
				OnStoppedLeading: func() {},
			},
		})
	}
}

// runControllers runs every controller until ctx is done. Each term of a leader starts with
// fresh ones: upstream's cannot be started twice.
func runControllers(ctx context.Context, config *rest.Config) {
	controllers, err := newControllers(ctx, config)
	if err != nil {
		reportStopped(ctx, err)
		return
	}
	controllers.run(ctx)
}

// controllers are the controllers of one term.
type controllers struct {
	client    kubernetes.Interface
	typed     informers.SharedInformerFactory
	started   chan struct{}
	namespace *namespace.NamespaceController
	roles     *clusterroleaggregation.ClusterRoleAggregationController
	garbage   *garbagecollector.GarbageCollector
	policies  *validatingadmissionpolicystatus.Controller
}

func newControllers(ctx context.Context, config *rest.Config) (*controllers, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the controllers: %w", err)
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a metadata client for the controllers: %w", err)
	}
	c := &controllers{
		client:  client,
		typed:   informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim)),
		started: make(chan struct{}),
	}
	c.namespace = namespace.NewNamespaceController(ctx, client, metadataClient, client.Discovery().ServerPreferredNamespacedResources,
		c.typed.Core().V1().Namespaces(), namespaceResync, corev1.FinalizerKubernetes)
	c.roles = clusterroleaggregation.NewClusterRoleAggregation(c.typed.Rbac().V1().ClusterRoles(), client.RbacV1())
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	c.garbage, err = garbagecollector.NewGarbageCollector(ctx, client, metadataClient, mapper,
		garbagecollector.DefaultIgnoredResources(), garbageInformers{metadataClient}, c.started)
	if err != nil {
		return nil, fmt.Errorf("make the garbage collector: %w", err)
	}
	c.policies, err = validatingadmissionpolicystatus.NewController(c.typed.Admissionregistration().V1().ValidatingAdmissionPolicies(),
		client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), newTypeChecker(client.Discovery(), mapper))
	if err != nil {
		return nil, fmt.Errorf("make the controller that checks the types of admission policies: %w", err)
	}
	return c, nil
}

// newTypeChecker returns what finds expressions of admission policies that cannot be right.
// It takes every schema from the OpenAPI that is served: so it knows the federated kinds and
// custom resources of now, and none is kept in memory.
func newTypeChecker(client discovery.DiscoveryInterface, mapper meta.RESTMapper) *validatingadmissionpolicy.TypeChecker {
	return &validatingadmissionpolicy.TypeChecker{
		SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: client},
		RestMapper:     mapper,
	}
}

func (c *controllers) run(ctx context.Context) {
	c.typed.Start(ctx.Done())
	close(c.started)

	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.namespace.Run(ctx, controllerWorkers) })
	running.Go(func() { c.roles.Run(ctx, 1) })
	running.Go(func() { c.policies.Run(ctx, controllerWorkers) })
	running.Go(func() { c.garbage.Run(ctx, controllerWorkers, garbageSyncTimeout) })
	running.Go(func() { c.garbage.Sync(ctx, c.client.Discovery(), discoveryPeriod) })
}
