package autonomy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
)

// bed is a controller over the objects of a fake, which has no versions: each patch is for version 1.
type bed struct {
	*testing.T
	client *fake.Clientset
	events *record.FakeRecorder
	writes atomic.Int32 // patches of pods that came to something
	fail   atomic.Value // error of patches, or nil
	stop   func()
}

type failure struct{ error }

func newBed(t *testing.T, node *corev1.Node, pod *corev1.Pod) *bed {
	t.Helper()
	b := &bed{T: t, client: fake.NewClientset(), events: record.NewFakeRecorder(100)}
	b.fail.Store(failure{})
	b.client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if err := b.fail.Load().(failure).error; err != nil {
			return true, nil, err
		}
		b.writes.Add(1)
		return false, nil, nil
	})
	for _, object := range []runtime.Object{node, pod} {
		if err := b.client.Tracker().Add(object); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	return b
}

func (b *bed) start() {
	b.Helper()
	c, err := newController(b.client, b.events)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	b.stop = func() { cancel(); running.Wait() }
}

func testNode(ready corev1.ConditionStatus, annotations ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", ResourceVersion: "1", Annotations: map[string]string{}}}
	for i := 0; i < len(annotations); i += 2 {
		n.Annotations[annotations[i]] = annotations[i+1]
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.Now()}}
	return n
}

func testPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "uid", ResourceVersion: "1"},
		Spec:       corev1.PodSpec{NodeName: "n", Tolerations: []corev1.Toleration{tol("", "")}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue},
		}},
	}
}

func (b *bed) pod() *corev1.Pod {
	b.Helper()
	pod, err := b.client.CoreV1().Pods("ns").Get(b.Context(), "p", metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return pod
}

// mark is what the controller of nodes does.
func (b *bed) mark() {
	b.Helper()
	pod := b.pod()
	conditionOf(pod, corev1.PodReady).Status = corev1.ConditionFalse
	if _, err := b.client.CoreV1().Pods("ns").UpdateStatus(b.Context(), pod, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bed) update(node *corev1.Node) {
	b.Helper()
	if _, err := b.client.CoreV1().Nodes().Update(b.Context(), node, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bed) isReady(what string, want corev1.ConditionStatus) {
	b.Helper()
	time.Sleep(500 * time.Millisecond) // informers look every 100 ms whether they have begun
	synctest.Wait()
	if c := conditionOf(b.pod(), corev1.PodReady); c.Status != want {
		b.Errorf("%s: it is Ready=%s, %s", what, c.Status, c.Reason)
	}
}

func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestAPodIsKeptReleasedAndKeptByANewProcess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBed(t, testNode(corev1.ConditionTrue, Autonomy, "true"), testPod())
		defer func() { b.stop() }()
		b.mark()
		b.isReady("its node is heard of", corev1.ConditionFalse)
		b.update(testNode(corev1.ConditionUnknown, Autonomy, "true", Duration, "60s"))
		b.isReady("the node is cut off", corev1.ConditionTrue)
		b.stop()
		b.mark()
		b.start()
		b.isReady("another process began", corev1.ConditionTrue)
		time.Sleep(58 * time.Second)
		b.isReady("a moment before the time is over", corev1.ConditionTrue)
		time.Sleep(2 * time.Second)
		b.isReady("the time is over", corev1.ConditionFalse)
		b.update(testNode(corev1.ConditionUnknown, Autonomy, "true", Duration, "60h"))
		time.Sleep(10 * time.Second)
		b.isReady("there is more time", corev1.ConditionTrue)
		b.update(testNode(corev1.ConditionUnknown))
		time.Sleep(10 * time.Second)
		b.isReady("autonomy is switched off", corev1.ConditionFalse)
	})
}

func TestAFightIsDamped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBed(t, testNode(corev1.ConditionUnknown, Autonomy, "true"), testPod())
		defer func() { b.stop() }()
		for range 600 {
			b.mark()
			time.Sleep(time.Second)
		}
		if n := b.writes.Load(); n < 5 || n > 15 {
			t.Errorf("in ten minutes it was written %d times", n)
		}
		b.update(testNode(corev1.ConditionTrue, Autonomy, "true"))
		b.update(testNode(corev1.ConditionUnknown, Autonomy, "true"))
		b.isReady("the node was heard of meanwhile, and is cut off again", corev1.ConditionTrue)
	})
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	for name, err := range map[string]error{
		"a conflict": apierrors.NewConflict(corev1.Resource("pods"), "p", errors.New("changed")), "a server that is away": errors.New("connection refused"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				pod := testPod()
				pod.Spec.Tolerations = []corev1.Toleration{tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300)}
				conditionOf(pod, corev1.PodReady).Status = corev1.ConditionFalse
				b := newBed(t, testNode(corev1.ConditionUnknown, Autonomy, "true"), pod)
				defer func() { b.stop() }()
				b.fail.Store(failure{err})
				time.Sleep(10 * time.Minute)
				b.fail.Store(failure{})
				time.Sleep(2 * time.Minute)
				b.isReady("in the end", corev1.ConditionTrue)
				if got := b.pod().Spec.Tolerations[0].TolerationSeconds; got != nil {
					t.Errorf("it tolerates for %d s", *got)
				}
			})
		})
	}
}

func TestHeartbeatsCostNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBed(t, testNode(corev1.ConditionTrue, Autonomy, "yes"), testPod())
		defer func() { b.stop() }()
		synctest.Wait()
		for range 10 {
			n := testNode(corev1.ConditionTrue, Autonomy, "yes")
			n.Status.Conditions[0].LastHeartbeatTime = metav1.Now()
			b.update(n)
			time.Sleep(time.Minute)
		}
		if n := b.writes.Load(); n != 0 {
			t.Errorf("there were %d writes", n)
		}
		if n := len(b.events.Events); n != 1 {
			t.Fatalf("there are %d events", n)
		}
		if e := <-b.events.Events; !strings.Contains(e, reasonWrong) || !strings.Contains(e, `edge.koinon.io/autonomy is "yes"`) {
			t.Errorf("the event is %s", e)
		}
	})
}

func TestPodsThatCannotBeEvicted(t *testing.T) {
	controlledBy := func(kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Controller: new(true)}}
	}
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"a pod":                     {func(*corev1.Pod) {}, true},
		"one of a ReplicaSet":       {func(p *corev1.Pod) { p.OwnerReferences = controlledBy("ReplicaSet") }, true},
		"one of a DaemonSet":        {func(p *corev1.Pod) { p.OwnerReferences = controlledBy("DaemonSet") }, false},
		"a static pod":              {func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, false},
		"one that has succeeded":    {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false},
		"one that has failed":       {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, false},
		"one that is being deleted": {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := testPod()
			test.change(pod)
			slim, err := slimPod(pod)
			if err != nil {
				t.Fatal(err)
			}
			if got := evictable(slim.(*corev1.Pod)); got != test.want {
				t.Errorf("it is evictable: %v", got)
			}
		})
	}
}

// A patch names what it changes only: a condition and a toleration of a later version keep what nobody here knows.
func TestPatchesNameNothingElse(t *testing.T) {
	pod := testPod()
	pod.Spec.Tolerations = []corev1.Toleration{tol(notReady, noExecute, 300), tol(unreachable, "")}
	operations, err := tolerationsPatch(pod, decideTolerations(pod.Spec.Tolerations, nil, Policy{On: true}, func(string) bool { return false }))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, o := range append(operations, readinessPatch(pod, keep, time.Now())...) {
		if _, err := json.Marshal(o); err != nil {
			t.Error(err)
		}
		paths = append(paths, o.Path)
	}
	want := "[/metadata/resourceVersion /spec/tolerations/0/tolerationSeconds /metadata/annotations" +
		" /metadata/resourceVersion /status/conditions/1/status /status/conditions/1/reason /status/conditions/1/message /status/conditions/1/lastTransitionTime]"
	if got := fmt.Sprint(paths); got != want {
		t.Errorf("the paths are\n%s, want\n%s", got, want)
	}
}
