// Package autonomy_test cuts nodes off from a stock kube-apiserver and kube-controller-manager, and looks at what becomes of their pods and of the endpoints of
// these. The nodes are those of the tests: what a kubelet writes they write.
package autonomy_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/edge/autonomy"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const (
	namespace = "default"
	// beat is how often a kubelet says that it is there, and looks at its pods. The grace period is many times that: the machine may be busy.
	beat        = time.Second
	gracePeriod = "10s"
	// defaultSeconds are those that the API server gives to pods.
	defaultSeconds = 5
)

// fixture is a cluster with nodes.
type fixture struct {
	*testing.T
	cluster *testbed.Cluster
	client  kubernetes.Interface
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{
		APIServerArgs: []string{fmt.Sprintf("--default-not-ready-toleration-seconds=%d", defaultSeconds), fmt.Sprintf("--default-unreachable-toleration-seconds=%d", defaultSeconds)},
		ControllerManagerArgs: []string{
			"--controllers=taint-eviction-controller", "--node-monitor-period=1s", "--node-monitor-grace-period=" + gracePeriod, "--node-startup-grace-period=20s",
			"--node-eviction-rate=100", // else the taint that evicts comes to one node each 10 s
		},
	})
	client, err := kubernetes.NewForConfig(cluster.RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t, cluster, client}
}

// eventually tries until check succeeds.
func (f *fixture) eventually(what string, check func(ctx context.Context) error) {
	f.Helper()
	testbed.Eventually(f, what, check)
}

// must fails the test for an error.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// system has the Deployment that is tested, and its Lease.
const system, deployment = "kube-federation-system", "koinon-autonomy"

// install applies artifacts/autonomy, and returns a kubeconfig with the rights of its account.
func (f *fixture) install() (kubeconfig string) {
	f.Helper()
	root, err := testbed.Root()
	f.must(err)
	applied := testbed.RunKubectl(f, f.cluster.Kubeconfig(), "", "apply", "-k", filepath.Join(root, "artifacts", "autonomy"))
	if applied.Err != nil || applied.Stderr != "" {
		f.Fatalf("kubectl apply -k: %v\n%s", applied.Err, applied.Stderr)
	}
	return f.cluster.AccountKubeconfig(f, system, deployment)
}

// manage runs what is tested within the test until stop is called, or the test ends.
func (f *fixture) manage(kubeconfig string) (stop func()) {
	f.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	f.must(err)
	manager, err := autonomy.New(autonomy.Config{RESTConfig: config, Namespace: system, Identity: "test"})
	f.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Run(ctx); err != nil {
			f.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	f.Cleanup(stop)
	return stop
}

// deploy runs the program of the Deployment, but for what is of a pod.
func (f *fixture) deploy(kubeconfig string) {
	f.Helper()
	d, err := f.client.AppsV1().Deployments(system).Get(f.Context(), deployment, metav1.GetOptions{})
	f.must(err)
	args := slices.DeleteFunc(d.Spec.Template.Spec.Containers[0].Args[1:], func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return slices.Contains([]string{"--in-cluster", "--bind-address", "--secure-port", "--data-dir"}, name)
	})
	testbed.StartKoinon(f, testbed.KoinonOptions{HostKubeconfig: kubeconfig, Args: args})
}

// node is one with its kubelet.
type node struct {
	*fixture
	name string
	// cut has it be unheard of.
	cut atomic.Bool

	mu   sync.Mutex
	sick map[string]bool // names of pods that are not ready; guarded by mu
}

// newNode adds one, whose kubelet runs until the test ends.
func (f *fixture) newNode(name string, annotations map[string]string) *node {
	f.Helper()
	n := &node{fixture: f, name: name, sick: map[string]bool{}}
	_, err := f.client.CoreV1().Nodes().Create(f.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}, Annotations: annotations}}, metav1.CreateOptions{})
	f.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			if !n.cut.Load() {
				if err := n.beat(ctx); err != nil && ctx.Err() == nil {
					f.Logf("the kubelet of %s: %v", name, err)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(beat):
			}
		}
	})
	f.Cleanup(func() { cancel(); running.Wait() })
	return n
}

// beat is what a kubelet does from time to time.
func (n *node) beat(ctx context.Context) error {
	if err := n.renew(ctx); err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	if err := n.report(ctx); err != nil {
		return fmt.Errorf("report the node: %w", err)
	}
	pods, err := n.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.name})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		if err := n.reportPod(ctx, &pods.Items[i]); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (n *node) renew(ctx context.Context) error {
	leases, now, seconds := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease), metav1.NowMicro(), int32(40)
	lease, err := leases.Get(ctx, n.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: n.name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now}}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// report says that the node is ready, unless that is known.
func (n *node) report(ctx context.Context) error {
	known, err := n.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	for _, c := range known.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	known.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now}}
	_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, known, metav1.UpdateOptions{FieldManager: "kubelet"})
	return err
}

// reportPod says how a pod is, unless that is known, and removes one that is deleted.
func (n *node) reportPod(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil {
		return n.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	}
	n.mu.Lock()
	status := corev1.ConditionTrue
	if n.sick[pod.Name] {
		status = corev1.ConditionFalse
	}
	n.mu.Unlock()
	if c := condition(pod, corev1.PodReady); c != nil && c.Status == status && c.Reason == "" && condition(pod, corev1.ContainersReady).Status == status {
		return nil
	}
	now := metav1.Now()
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs, pod.Status.StartTime = corev1.PodRunning, address(pod.Name), []corev1.PodIP{{IP: address(pod.Name)}}, &now
	pod.Status.Conditions = nil
	for _, c := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: c, Status: status, LastTransitionTime: now})
	}
	_, err := n.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{FieldManager: "kubelet"})
	return err
}

// address is one of a pod, by its name.
func address(name string) string {
	sum := 0
	for _, c := range name {
		sum = (sum*31 + int(c)) % 60000
	}
	return fmt.Sprintf("10.1.%d.%d", sum/250, sum%250+1)
}

// makeSick has a pod be unready, or ready again.
func (n *node) makeSick(pod string, sick bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sick[pod] = sick
}

// annotate gives it annotations; nil removes one.
func (n *node) annotate(annotations map[string]any) {
	n.Helper()
	patch := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	testbed.Kubectl(n, n.cluster.Kubeconfig(), "patch", "node", n.name, "--type=merge", "-p", mustJSON(n, patch))
}

// since is when its condition Ready changed last.
func (n *node) since() time.Time {
	n.Helper()
	known, err := n.client.CoreV1().Nodes().Get(n.Context(), n.name, metav1.GetOptions{})
	n.must(err)
	return known.Status.Conditions[slices.IndexFunc(known.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })].LastTransitionTime.Time
}

// unheardOf waits until nodes are, and have the taint that evicts.
func (f *fixture) unheardOf(nodes ...*node) {
	f.Helper()
	f.eventually("the nodes are unheard of", func(ctx context.Context) error {
		for _, n := range nodes {
			known, err := f.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, c := range known.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status != corev1.ConditionUnknown {
					return fmt.Errorf("%s is Ready=%s", n.name, c.Status)
				}
			}
			if !slices.ContainsFunc(known.Spec.Taints, func(t corev1.Taint) bool {
				return t.Key == corev1.TaintNodeUnreachable && t.Effect == corev1.TaintEffectNoExecute
			}) {
				return fmt.Errorf("%s has the taints %s", n.name, mustJSON(f, known.Spec.Taints))
			}
		}
		return nil
	})
}

func condition(pod *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == conditionType {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// newPod makes a pod on a node that is part of the Service web.
func (n *node) newPod(name string, tolerations ...corev1.Toleration) *corev1.Pod {
	n.Helper()
	pod, err := n.client.CoreV1().Pods(namespace).Create(n.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       podSpec(n.name, tolerations...),
	}, metav1.CreateOptions{})
	n.must(err)
	return pod
}

func podSpec(node string, tolerations ...corev1.Toleration) corev1.PodSpec {
	return corev1.PodSpec{NodeName: node, Tolerations: tolerations, Containers: []corev1.Container{{Name: "web", Image: "registry.example/web:v1"}}}
}

// newService makes the Service web, of all pods of the tests.
func (f *fixture) newService() {
	f.Helper()
	_, err := f.client.CoreV1().Services(namespace).Create(f.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	f.must(err)
}

// endpoints are those of the Service web by the name of the pod: ready, serving or terminating, joined.
func (f *fixture) endpoints(ctx context.Context) (map[string]string, error) {
	list, err := f.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			all[e.TargetRef.Name] = stateOf(e.Conditions)
		}
	}
	return all, nil
}

func stateOf(c discoveryv1.EndpointConditions) string {
	switch {
	case c.Terminating != nil && *c.Terminating:
		return "terminating"
	case c.Ready != nil && *c.Ready:
		return "ready"
	}
	return "unready"
}

// sees waits until some of the endpoints are so; "" is that there is none.
func (f *fixture) sees(what string, want map[string]string) {
	f.Helper()
	f.eventually(what, func(ctx context.Context) error {
		all, err := f.endpoints(ctx)
		if err != nil {
			return err
		}
		for _, pod := range slices.Sorted(maps.Keys(want)) {
			if all[pod] != want[pod] {
				return fmt.Errorf("the endpoint of %s is %q, want %q", pod, all[pod], want[pod])
			}
		}
		return nil
	})
}

// pod returns one.
func (f *fixture) pod(name string) *corev1.Pod {
	f.Helper()
	pod, err := f.client.CoreV1().Pods(namespace).Get(f.Context(), name, metav1.GetOptions{})
	f.must(err)
	return pod
}

// evicted waits until pods are being deleted.
func (f *fixture) evicted(pods ...*corev1.Pod) {
	f.Helper()
	f.eventually("pods are evicted", func(ctx context.Context) error {
		for _, pod := range pods {
			now, err := f.client.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
			case err != nil:
				return err
			case now.UID == pod.UID && now.DeletionTimestamp == nil:
				return fmt.Errorf("%s is there", pod.Name)
			}
		}
		return nil
	})
}

// stayed checks that pods are there.
func (f *fixture) stayed(when string, pods ...*corev1.Pod) {
	f.Helper()
	for _, pod := range pods {
		if now := f.pod(pod.Name); now.UID != pod.UID || now.DeletionTimestamp != nil {
			f.Errorf("%s %s is another, or being deleted: %s", when, pod.Name, now.DeletionTimestamp)
		}
	}
}

// tolerated waits until a pod tolerates the two taints for some seconds each; nil is without end.
func (f *fixture) tolerated(pod string, seconds *int64) {
	f.Helper()
	f.eventually("the tolerations of "+pod, func(ctx context.Context) error {
		now, err := f.client.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, t := range now.Spec.Tolerations {
			if t.Effect == corev1.TaintEffectNoExecute && (t.TolerationSeconds == nil) != (seconds == nil) || seconds != nil && t.TolerationSeconds != nil && *t.TolerationSeconds != *seconds {
				return fmt.Errorf("they are %s", mustJSON(f, now.Spec.Tolerations))
			}
		}
		return nil
	})
}
