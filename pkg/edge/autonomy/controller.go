package autonomy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// callTimeout bounds one look at a pod, which is two writes at most.
	callTimeout = 30 * time.Second
	// workers is how many pods are looked at at a time, and no pod twice at once.
	workers = 8
	// A write that is undone is made again after minPause, and then later and later.
	minPause, maxPause = time.Second, 5 * time.Minute
)

// errLost is the problem of a pod whose annotation was removed.
var errLost = fmt.Errorf("the annotation %s was removed", Originals)

// Reasons of events.
const (
	reasonWrong   = "AutonomyNotUnderstood"
	reasonDamaged = "OriginalTolerationsLost"
)

// controller looks at pods, one at a time each: observe, decide, act.
type controller struct {
	client   kubernetes.Interface
	nodes    cache.SharedIndexInformer
	pods     cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]
	pauses   *flowcontrol.Backoff // of writes, by UID of the pod and what is written
	records  records
	recorder record.EventRecorder
}

// newController makes one. It begins with run.
func newController(client kubernetes.Interface, recorder record.EventRecorder) (*controller, error) {
	c := &controller{
		client:   client,
		nodes:    coreinformers.NewNodeInformer(client, 0, nil),
		pods:     coreinformers.NewPodInformer(client, "", 0, indexers),
		pauses:   flowcontrol.NewBackOff(minPause, maxPause),
		records:  records{last: map[types.UID][]original{}},
		recorder: recorder,
		queue:    reconcile.NewQueue[cache.ObjectName]("autonomy", 50*time.Millisecond, time.Minute),
	}
	_, podErr := c.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { c.enqueue(object) }, UpdateFunc: func(_, object any) { c.enqueue(object) }, DeleteFunc: c.deleted,
	})
	_, nodeErr := c.nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { c.nodeChanged(nil, object) }, UpdateFunc: c.nodeChanged,
	})
	return c, errors.Join(podErr, nodeErr, c.pods.SetTransform(slimPod), c.nodes.SetTransform(slimNode))
}

// newRecorder makes events in a cluster until it is stopped.
func newRecorder(ctx context.Context, client kubernetes.Interface) (recorder record.EventRecorder, stop func()) {
	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "koinon-autonomy"}), events.Shutdown
}

// run works until ctx ends.
func (c *controller) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.nodes.RunWithContext(ctx) })
	running.Go(func() { c.pods.RunWithContext(ctx) })
	defer c.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), c.nodes.HasSynced, c.pods.HasSynced) {
		return // ctx ended
	}
	running.Go(func() { wait.UntilWithContext(ctx, func(context.Context) { c.pauses.GC() }, maxPause) })
	reconcile.Work[cache.ObjectName]{Queue: c.queue, Do: c.look, Timeout: callTimeout, Failed: "Failed to see to the autonomy of a pod"}.Run(ctx, workers)
}

// enqueue has a pod looked at that is on a node.
func (c *controller) enqueue(object any) {
	if pod, ok := object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		c.queue.Add(cache.MetaObjectToName(pod))
	}
}

func (c *controller) deleted(object any) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	if pod, ok := object.(*corev1.Pod); ok {
		c.records.forget(pod.UID)
		c.queue.Forget(cache.MetaObjectToName(pod))
	}
}

// nodeChanged has all pods of a node looked at if it says something else than before, and tells what of it is not understood.
func (c *controller) nodeChanged(before, object any) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return
	}
	var was saying
	if old, ok := before.(*corev1.Node); ok {
		if was = sayingOf(old); was == sayingOf(node) {
			return
		}
	}
	if problem := sayingOf(node).problem; problem != "" && problem != was.problem {
		c.recorder.Event(node, corev1.EventTypeWarning, reasonWrong, problem)
	}
	pods, err := c.pods.GetIndexer().ByIndex(byNode, node.Name)
	if err != nil {
		return // fails only for want of the index
	}
	for _, pod := range pods {
		c.enqueue(pod)
	}
}

// saying is what of a node decides about its pods.
type saying struct {
	policy                Policy
	problem               string
	cutOff                bool
	since                 int64 // Unix
	notReady, unreachable bool  // taints
}

func sayingOf(node *corev1.Node) saying {
	policy, problem := PolicyOf(node)
	since, is := cutOff(node)
	s := saying{policy: policy, cutOff: is, since: since.Unix(), notReady: hasTaint(node, corev1.TaintNodeNotReady), unreachable: hasTaint(node, corev1.TaintNodeUnreachable)}
	if problem != nil {
		s.problem = problem.Error()
	}
	return s
}

// look looks at a pod, and has it looked at again when that is due.
func (c *controller) look(ctx context.Context, key cache.ObjectName) error {
	again, err := c.sync(ctx, key)
	if apierrors.IsNotFound(err) {
		err = nil // there is nothing to see to
	}
	if err == nil && again > 0 {
		c.queue.AddAfter(key, again)
	}
	return err
}

// sync looks at one pod, and again after some time, if that is not 0.
func (c *controller) sync(ctx context.Context, key cache.ObjectName) (again time.Duration, err error) {
	pod, node := c.observe(key)
	if pod == nil || node == nil {
		return 0, nil // whoever deletes pods of nodes that are gone does so
	}
	policy, _ := PolicyOf(node) // an event has told the problem
	again, err = c.seeToReadiness(ctx, pod, node, policy)
	if err != nil || !evictable(pod) {
		return again, err
	}
	later, err := c.seeToTolerations(ctx, pod, node, policy)
	return sooner(again, later), err
}

// observe returns a pod and its node, nil for what is not there.
func (c *controller) observe(key cache.ObjectName) (*corev1.Pod, *corev1.Node) {
	object, _, _ := c.pods.GetStore().GetByKey(key.String())
	pod, _ := object.(*corev1.Pod)
	if pod == nil {
		return nil, nil
	}
	object, _, _ = c.nodes.GetStore().GetByKey(pod.Spec.NodeName)
	node, _ := object.(*corev1.Node)
	return pod, node
}

// seeToReadiness writes the condition Ready if it is to be another.
func (c *controller) seeToReadiness(ctx context.Context, pod *corev1.Pod, node *corev1.Node, policy Policy) (again time.Duration, err error) {
	pause := string(pod.UID) + " readiness"
	now := c.pauses.Clock.Now()
	r, again := decideReadiness(pod, node, policy, now)
	if r == asItIs {
		if _, unreachable := cutOff(node); !unreachable {
			c.pauses.DeleteEntry(pause)
		}
		return again, nil
	}
	if left := c.left(pause, now); left > 0 {
		return sooner(again, left), nil
	}
	if err := patch(ctx, c.client, pod, fieldManager, readinessPatch(pod, r, now), "status"); err != nil {
		return 0, err
	}
	c.pauses.Next(pause, now)
	klog.FromContext(ctx).V(2).Info("Wrote readiness of a pod whose node is not heard of", "pod", klog.KObj(pod), "node", node.Name, "ready", r == keep)
	return again, nil
}

// seeToTolerations writes tolerations if they are to be others.
func (c *controller) seeToTolerations(ctx context.Context, pod *corev1.Pod, node *corev1.Node, policy Policy) (again time.Duration, err error) {
	record, problem := c.records.of(pod)
	to := decideTolerations(pod.Spec.Tolerations, record, policy, func(key string) bool { return hasTaint(node, key) })
	operations, err := tolerationsPatch(pod, to)
	if err != nil || operations == nil {
		return 0, err
	}
	pause := string(pod.UID) + " tolerations"
	now := c.pauses.Clock.Now()
	if left := c.left(pause, now); left > 0 {
		return left, nil
	}
	if err := patch(ctx, c.client, pod, to.manager(), operations); err != nil {
		return 0, err
	}
	c.pauses.Next(pause, now)
	if problem != nil {
		c.recorder.Eventf(pod, corev1.EventTypeWarning, reasonDamaged, "%v: if its tolerations are those that autonomy gave it, they had %d seconds before", problem, defaultSeconds)
	}
	klog.FromContext(ctx).V(2).Info("Wrote tolerations of a pod", "pod", klog.KObj(pod), "node", node.Name, "changed", len(to.record))
	return 0, nil
}

// left is how long a write has to wait at most, before somebody looks again; 0 if it has not to.
func (c *controller) left(pause string, now time.Time) time.Duration {
	if !c.pauses.IsInBackOffSinceUpdate(pause, now) {
		return 0
	}
	return c.pauses.Get(pause)
}

// sooner is the shorter of two times, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
