package autonomy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// leaseName is the Lease in the system namespace that whoever works holds.
const leaseName = "koinon-autonomy"

const (
	// Requests per second to the cluster: when a large unit is cut off, each of its pods is written once.
	qps, burst = 200, 400

	leaseDuration, renewDeadline, retryPeriod = 15 * time.Second, 10 * time.Second, 2 * time.Second
	// startPause is between attempts to begin.
	startPause = 5 * time.Second
)

// Config is what a Manager works with. All of it is needed.
type Config struct {
	// RESTConfig reaches the cluster that has the nodes.
	RESTConfig *rest.Config
	// Namespace has the Lease; it is made if it is not there.
	Namespace string
	// Identity names this process among those of which one works at a time.
	Identity string
}

// Manager runs the controller while it holds the Lease.
type Manager struct {
	config Config
	client kubernetes.Interface
}

// New checks the configuration. It does no I/O and starts nothing.
func New(config Config) (*Manager, error) {
	if config.RESTConfig == nil || config.Namespace == "" || config.Identity == "" {
		return nil, errors.New("autonomy: RESTConfig, Namespace and Identity must be set")
	}
	rc := rest.CopyConfig(config.RESTConfig)
	if rc.QPS == 0 && rc.RateLimiter == nil {
		rc.QPS, rc.Burst = qps, burst
	}
	// All pods are read: in protobuf that costs less.
	rc.ContentType, rc.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, fmt.Errorf("make a client of the cluster: %w", err)
	}
	return &Manager{config, client}, nil
}

// Run works until ctx ends, and returns once every goroutine it began has. A cluster that does not answer is waited for.
func (m *Manager) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithName("autonomy"))
	for ctx.Err() == nil {
		if err := m.ensureNamespace(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Failed to make the system namespace; it is tried again", "interval", startPause)
			select {
			case <-ctx.Done():
			case <-time.After(startPause):
			}
			continue
		}
		if err := m.compete(ctx); err != nil {
			return err
		}
	}
	return nil
}

// compete waits for the Lease, works while it is held, and returns when it is lost.
func (m *Manager) compete(ctx context.Context) error {
	var (
		working sync.WaitGroup
		workErr error
	)
	working.Add(1)
	started := make(chan struct{})
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: m.config.Namespace, Name: leaseName}, Client: m.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: m.config.Identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true, Name: leaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				close(started)
				defer working.Done()
				defer giveUp()
				workErr = m.work(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("set up leader election: %w", err)
	}
	elector.Run(ctx)
	select {
	case <-started:
		working.Wait()
		return workErr
	default:
		return nil // ctx ended before
	}
}

func (m *Manager) work(ctx context.Context) error {
	recorder, stop := newRecorder(ctx, m.client)
	defer stop()
	c, err := newController(m.client, recorder)
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Started to see to the autonomy of nodes", "identity", m.config.Identity)
	c.run(ctx)
	return nil
}

func (m *Manager) ensureNamespace(ctx context.Context) error {
	_, err := m.client.CoreV1().Namespaces().Get(ctx, m.config.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = m.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.config.Namespace}}, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the namespace %q: %w", m.config.Namespace, err)
	}
	return nil
}
