package edgehub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
	"github.com/koinon-io/koinon/test/testbed"
)

// cable carries connections to the API server, until it is cut.
type cable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, to: to, conns: map[net.Conn]struct{}{}}
	t.Cleanup(func() { _ = listener.Close(); c.sever() })
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go c.carry(conn) // ends with the connection
		}
	}()
	return c
}

func (c *cable) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer to.Close()
	c.mu.Lock()
	if c.cut {
		c.mu.Unlock()
		return
	}
	c.conns[from], c.conns[to] = struct{}{}, struct{}{}
	c.mu.Unlock()
	go func() { // ends with either
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *cable) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

// node is a machine with koinon-edgehub on it, and nothing else: the test is kubelet and pods.
type node struct {
	*testing.T
	cluster *testbed.Cluster
	cloud   kubernetes.Interface // the administrator's, past the hub
	cable   *cable
	options *app.Options
	stop    func()
}

const nodeName = "edge-1"

// newNode starts a hub with a node that is registered.
func newNode(t *testing.T) *node {
	t.Helper()
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	n := &node{T: t, cluster: cluster, cloud: cluster.Client(t), cable: newCable(t, strings.TrimPrefix(cluster.Server(), "https://"))}
	n.options = app.NewOptions()
	n.options.Node, n.options.StateDir, n.options.CAFile, n.options.ServerName = nodeName, t.TempDir(), cluster.CAFile(), "localhost"
	n.options.Servers = []string{"https://" + n.cable.listener.Addr().String()}
	n.options.LocalAddress, n.options.PodAddress, n.options.StatusAddress = freeAddress(t), freeAddress(t), freeAddress(t)
	n.options.Verbosity = 4
	if err := os.WriteFile(filepath.Join(n.options.StateDir, "node.pem"), testbed.NodeCredential(t, cluster, nodeName), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.cloud.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(func() { n.stop() })
	return n
}

// freeAddress is one that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts the hub with what it has on its disk.
func (n *node) start() {
	n.Helper()
	if err := n.options.Validate(); err != nil {
		n.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.options.Run(ctx) }() // ends with cancel
	n.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			n.Error(err)
		}
		ended <- nil
	}
	testbed.Eventually(n, "the hub serves", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.options.PodAddress)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (n *node) restart() {
	n.Helper()
	n.stop()
	n.start()
}

// kubelet is a client of a program of the node.
func (n *node) kubelet() kubernetes.Interface {
	n.Helper()
	return n.clientOf(n.kubeletConfig())
}

func (n *node) kubeletConfig() *rest.Config {
	n.Helper()
	text, err := n.options.Kubeconfig()
	if err != nil {
		n.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		n.Fatal(err)
	}
	return config
}

func (n *node) clientOf(config *rest.Config) kubernetes.Interface {
	n.Helper()
	config.QPS = -1
	config.Wrap(withoutRetries)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		n.Fatal(err)
	}
	return client
}

// withoutRetries has client-go fail at once, which would try again ten times where it is told when.
func withoutRetries(next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err == nil {
			answer.Header.Del("Retry-After")
		}
		return answer, err
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// podConfig is what a pod has: the hub's address, and who vouches for it by the ConfigMap that kubelet mounts.
func (n *node) podConfig(token string) *rest.Config {
	n.Helper()
	var ca []byte
	testbed.Eventually(n, "kubelet reads whom pods trust", func(ctx context.Context) error {
		root, err := n.kubelet().CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=kube-root-ca.crt"})
		if err != nil {
			return err
		}
		if len(root.Items) != 1 {
			return errors.New("there is none")
		}
		ca = []byte(root.Items[0].Data["ca.crt"])
		return nil
	})
	return &rest.Config{Host: "https://" + n.options.PodAddress, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ca}, QPS: -1}
}

// pod makes a pod of a service account on the node.
func (n *node) pod(name, account string) *corev1.Pod {
	n.Helper()
	ctx := n.Context()
	if _, err := n.cloud.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		n.Fatal(err)
	}
	pod, err := n.cloud.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{NodeName: nodeName, ServiceAccountName: account, Containers: []corev1.Container{{Name: "main", Image: "example.org/main"}}, Volumes: []corev1.Volume{
			{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		n.Fatal(err)
	}
	return pod
}

// grant lets an account do something in the namespace.
func (n *node) grant(account string, rule ...string) {
	n.Helper()
	name := fmt.Sprintf("%s-%d", account, len(rule))
	args := append([]string{"create", "role", name, "-n", "default"}, rule...)
	testbed.Kubectl(n, n.cluster.Kubeconfig(), args...)
	testbed.Kubectl(n, n.cluster.Kubeconfig(), "create", "rolebinding", name, "-n", "default", "--role="+name, "--serviceaccount=default:"+account)
}

// status is that of a raw request, and what it says.
func (n *node) status(config *rest.Config, method, path string, header http.Header) (int, string) {
	n.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		n.Fatal(err)
	}
	r, err := http.NewRequestWithContext(n.Context(), method, config.Host+path, nil)
	if err != nil {
		n.Fatal(err)
	}
	for key, values := range header {
		r.Header[key] = values
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}
