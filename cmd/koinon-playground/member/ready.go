package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

const readyTimeout = 2 * time.Minute

// await waits until the cluster is ready, or one of the programs has ended.
func (c *Cluster) await(ctx context.Context, ready func(context.Context) error, names ...string) error {
	var programs []process.Program
	for _, name := range names {
		if name != Nodes || c.Nodes > 0 {
			programs = append(programs, process.Program{Name: name, PIDFile: c.pidFile(name), LogFile: c.LogFile(name)})
		}
	}
	return process.Await(ctx, readyTimeout, ready, programs...)
}

// client returns a clientset of the administrator; probes make their own, so that none
// holds on to a connection to a server that was killed.
func (c *Cluster) client() (kubernetes.Interface, func(), error) {
	cfg, err := c.RESTConfig()
	if err != nil {
		return nil, nil, err
	}
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, nil, err
	}
	client, err := kubernetes.NewForConfigAndClient(cfg, httpClient)
	return client, httpClient.CloseIdleConnections, err
}

func (c *Cluster) apiReady(ctx context.Context) error {
	client, closeIdle, err := c.client()
	if err != nil {
		return err
	}
	defer closeIdle()
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// workloadsReady tells whether the controllers run, pods can be made in the default
// namespace, and all nodes are Ready.
func (c *Cluster) workloadsReady(ctx context.Context) error {
	if err := c.controllersReady(ctx); err != nil {
		return err
	}
	client, closeIdle, err := c.client()
	if err != nil {
		return err
	}
	defer closeIdle()
	if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ready := 0
	for i := range nodes.Items {
		if nodeReady(&nodes.Items[i]) {
			ready++
		}
	}
	if ready < c.Nodes {
		return fmt.Errorf("%d of %d nodes are Ready", ready, c.Nodes)
	}
	return nil
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (c *Cluster) controllersReady(ctx context.Context) error {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	url := fmt.Sprintf("https://127.0.0.1:%d/healthz", c.state.Ports.ControllerManager)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("kube-controller-manager is not healthy: %s", response.Status)
	}
	return nil
}
