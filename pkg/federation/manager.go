package federation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// Requests per second to the host when the caller sets no limit. A new object costs three.
const hostQPS, hostBurst = 500, 1000

// leaseName is the Lease in the system namespace that the leader holds.
const leaseName = "koinon-controllers"

// propagationLabel of the Lease says whether its holder propagates: true or false. Every
// holder writes it with its first renewal.
const propagationLabel = "federation.koinon.io/propagation"

// Config is what a Manager works with.
type Config struct {
	// RESTConfig reaches the host and our API groups in one endpoint.
	RESTConfig *rest.Config
	// Namespace is the system namespace. Default: kube-federation-system.
	Namespace string
	// DialMember opens connections to members; nil: the network.
	DialMember func(ctx context.Context, network, address string) (net.Conn, error)
	// Tunnel reaches members through their agents: see memberaccess.Dialer; nil: nobody does.
	Tunnel memberaccess.Tunnel
	// OtherEngine leaves propagation, and with it the health of members, to somebody else, such
	// as a stock KubeFed controller-manager. Members are then connected to for the rights of cells'
	// accounts only.
	OtherEngine bool
	// CellEndpoint is where clients find the server that has the endpoints of cells. Nil: nobody has,
	// and the KubeFedCluster of a cell says what its member's does.
	CellEndpoint *cellaccess.Endpoint
	// ProfileNamespace has the ClusterProfiles of members. Default: Namespace.
	ProfileNamespace string
	// FollowNative has federated objects follow the native objects of the host that are labelled: see package follow.
	// It has no effect with OtherEngine.
	FollowNative bool
	// LeaderElection lets one of several processes work at a time.
	LeaderElection bool
	// Identity names this process among them. Needed with LeaderElection.
	Identity string
	// LeaseDuration, RenewDeadline and RetryPeriod of the election. Default: 15, 10 and 2 s.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// Manager runs the controllers.
type Manager struct {
	config Config
	kube   kubernetes.Interface
	koinon versioned.Interface
	// federation is what this one is called on namespaces of members; bootstrap sets it.
	federation string
	// scope is that of the KubeFedConfig; bootstrap sets it.
	scope v1beta1.ResourceScope
	// do is work, or what a test has instead.
	do func(context.Context) error
}

// New checks the configuration and makes clients. It does no I/O and starts nothing.
func New(config Config) (*Manager, error) {
	if config.RESTConfig == nil {
		return nil, errors.New("federation: RESTConfig must be set")
	}
	if config.LeaderElection && config.Identity == "" {
		return nil, errors.New("federation: Identity must be set with LeaderElection")
	}
	if config.Namespace == "" {
		config.Namespace = v1beta1.DefaultNamespace
	}
	if config.ProfileNamespace == "" {
		config.ProfileNamespace = config.Namespace
	}
	setDefault(&config.LeaseDuration, 15*time.Second)
	setDefault(&config.RenewDeadline, 10*time.Second)
	setDefault(&config.RetryPeriod, 2*time.Second)
	config.RESTConfig = rest.CopyConfig(config.RESTConfig)
	if config.RESTConfig.QPS == 0 && config.RESTConfig.RateLimiter == nil {
		config.RESTConfig.QPS, config.RESTConfig.Burst = hostQPS, hostBurst
	}
	kube, err := kubernetes.NewForConfig(config.RESTConfig)
	if err != nil {
		return nil, fmt.Errorf("make host client: %w", err)
	}
	koinon, err := versioned.NewForConfig(config.RESTConfig)
	if err != nil {
		return nil, fmt.Errorf("make federation client: %w", err)
	}
	m := &Manager{config: config, kube: kube, koinon: koinon}
	m.do = m.work
	return m, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Run works until ctx ends, and returns once every goroutine it began has. It waits for
// an API that does not answer yet. A lost lease is not an error: it stops working, and
// competes again.
func (m *Manager) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx).WithName("federation")
	ctx = klog.NewContext(ctx, logger)
	if !m.config.LeaderElection {
		return m.do(ctx)
	}
	for ctx.Err() == nil {
		if err := m.compete(ctx); err != nil {
			return err
		}
	}
	return nil
}

// compete waits for the lease, works while it is held, and returns when it is lost.
func (m *Manager) compete(ctx context.Context) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var working sync.WaitGroup
	var workErr error
	working.Add(1)
	started := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: m.config.Namespace, Name: leaseName},
			Client:     m.kube.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: m.config.Identity},
			Labels:     map[string]string{propagationLabel: fmt.Sprint(!m.config.OtherEngine)},
		},
		LeaseDuration:   m.config.LeaseDuration,
		RenewDeadline:   m.config.RenewDeadline,
		RetryPeriod:     m.config.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            leaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				close(started)
				defer working.Done()
				defer giveUp() // who does not work gives the lease to somebody who may
				workErr = m.do(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("set up leader election: %w", err)
	}
	if err := m.untilDone(ctx, "Failed to make the system namespace", m.ensureNamespace); err != nil {
		return nil
	}
	elector.Run(ctx)
	select {
	case <-started:
		working.Wait()
		klog.FromContext(ctx).Info("Stopped leading", "identity", m.config.Identity)
		return workErr
	default:
		return nil // ctx ended before this process led
	}
}
