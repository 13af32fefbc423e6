// Package simnode simulates the nodes of a cluster: Nodes that are Ready and send
// heartbeats, and pods that run on them without anything being run.
//
// A Simulator is the scheduler and the kubelets in one. It binds a pod to the fitting
// node that has the fewest pods (node selectors, required node affinity, taints and
// cordons count; resources and spreading do not), reports it Running and Ready with an
// address, lets pods that are not to be restarted succeed after a moment, and lets pods
// go that are deleted. What it does to a pod is decided by a pure function, decide.
//
// A pod can be told to misbehave by BehaviourAnnotation.
//
// There may be only one Simulator per cluster. It keeps nothing on disk: one that is
// started again goes on where the last one ended.
package simnode

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/reconcile"
)

// Config says what to simulate.
type Config struct {
	// Client of the cluster. It should have no request limit: every pod costs two writes.
	Client kubernetes.Interface
	// Count nodes, named Prefix and a number from 1 up.
	Count  int
	Prefix string
	// CompleteAfter is how long a pod runs that is not to be restarted when it ends.
	// Default 1s.
	CompleteAfter time.Duration
	// Workers is how many pods are handled at a time. Default 16.
	Workers int
	// KubeletPort is where nodes say that their kubelet is; 0 says nothing.
	KubeletPort int
}

// Simulator simulates the nodes of one cluster.
type Simulator struct {
	client        kubernetes.Interface
	nodes         []string
	completeAfter time.Duration
	workers       int
	kubeletPort   int32

	factory informers.SharedInformerFactory
	pods    corelisters.PodLister
	nodeObj corelisters.NodeLister
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]
	board   *board
}

// New checks the configuration and starts nothing.
func New(cfg Config) (*Simulator, error) {
	if cfg.Client == nil || cfg.Count < 1 || cfg.Prefix == "" {
		return nil, errors.New("simulated nodes need a client, a count of at least 1 and a name prefix")
	}
	s := &Simulator{
		client:        cfg.Client,
		completeAfter: cfg.CompleteAfter,
		workers:       cfg.Workers,
		kubeletPort:   int32(cfg.KubeletPort),
		factory:       informers.NewSharedInformerFactoryWithOptions(cfg.Client, 0, informers.WithTransform(trim)),
		queue:         reconcile.NewQueue[types.NamespacedName]("simulated-pods", 10*time.Millisecond, 5*time.Second),
	}
	if s.completeAfter <= 0 {
		s.completeAfter = time.Second
	}
	if s.workers <= 0 {
		s.workers = 16
	}
	for i := range cfg.Count {
		s.nodes = append(s.nodes, fmt.Sprintf("%s%d", cfg.Prefix, i+1))
	}
	s.board = newBoard(s.nodes)
	s.pods = s.factory.Core().V1().Pods().Lister()
	s.nodeObj = s.factory.Core().V1().Nodes().Lister()
	return s, nil
}

// trim drops what nothing here looks at, to save memory.
func trim(obj any) (any, error) {
	if pod, ok := obj.(*corev1.Pod); ok {
		pod.ManagedFields = nil
	}
	return obj, nil
}

// Run simulates until ctx is done.
func (s *Simulator) Run(ctx context.Context) error {
	if err := s.watch(); err != nil {
		return err
	}
	defer s.factory.Shutdown()
	s.factory.Start(ctx.Done())
	for informer, synced := range s.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("the cache of %s did not fill: %w", informer, context.Cause(ctx))
		}
	}
	if err := s.takeStock(); err != nil {
		return err
	}
	var group sync.WaitGroup
	group.Go(func() { s.heartbeat(ctx) })
	reconcile.Work[types.NamespacedName]{Queue: s.queue, Do: s.sync, Failed: "Failed to simulate a pod"}.Run(ctx, s.workers)
	group.Wait()
	return nil
}

// watch registers for events: every event is one key in the queue.
func (s *Simulator) watch() error {
	_, podErr := s.factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.queue.Add(keyOf(obj)) },
		UpdateFunc: func(_, obj any) { s.queue.Add(keyOf(obj)) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				s.board.release(pod.UID)
			}
		},
	})
	_, nodeErr := s.factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.retryUnbound() },
		UpdateFunc: func(_, _ any) { s.retryUnbound() },
	})
	return errors.Join(podErr, nodeErr)
}

func keyOf(obj any) types.NamespacedName {
	pod := obj.(*corev1.Pod)
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// retryUnbound looks again at pods that fitted no node before.
func (s *Simulator) retryUnbound() {
	pods, _ := s.pods.List(labels.Everything()) // a lister of everything has no errors
	for _, pod := range pods {
		if pod.Spec.NodeName == "" {
			s.queue.Add(keyOf(pod))
		}
	}
}

// takeStock fills the board with the pods of an earlier run.
func (s *Simulator) takeStock() error {
	pods, err := s.pods.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for _, pod := range pods {
		s.board.observe(pod)
	}
	return nil
}

// sync does the next thing for one pod. What the pod is by then comes back as an event.
func (s *Simulator) sync(ctx context.Context, key types.NamespacedName) error {
	pod, err := s.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up pod %s: %w", key, err)
	}
	s.board.observe(pod)
	now := time.Now()
	do, wait := decide(pod, s.board.owns, now, s.completeAfter)
	switch do {
	case doBind:
		err = s.bind(ctx, pod)
	case doRun:
		err = s.patchStatus(ctx, pod, runningStatus(pod, now, s.board.address(pod.UID)))
	case doSucceed:
		err = s.patchStatus(ctx, pod, endedStatus(pod, now, corev1.PodSucceeded))
	case doFail:
		err = s.patchStatus(ctx, pod, endedStatus(pod, now, corev1.PodFailed))
	case doRemove:
		err = s.remove(ctx, pod)
	case doWait:
		s.queue.AddAfter(key, wait)
	case doNothing:
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or another pod by now: there will be an event
	}
	return err
}
