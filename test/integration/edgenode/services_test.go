package edgenode_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/test/testbed"
)

// servers are pods that answer by HTTP with their names, and their Service.
const servers = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeName: NODE
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "IMAGE"
        command: [sh, -c, 'mkdir /www && echo "$NAME" > /www/index.html && exec httpd -f -p 8080 -h /www']
        env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`

// startProxy starts a stock kube-proxy, which reads what the node's hub says.
func (s *site) startProxy(path string) {
	s.Helper()
	kubeconfig, _ := s.node.KubeletFiles()
	err := s.node.StartService(path, "--kubeconfig", kubeconfig, "--hostname-override", s.node.Name(), "--proxy-mode=nftables",
		"--conntrack-max-per-core=0", "--conntrack-min=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s")
	if err != nil {
		s.Fatal(err)
	}
}

// answers waits until just these pods answer at the address of their Service, from the node.
func (s *site) answers(when string, address string, pods []string) {
	s.Helper()
	testbed.Eventually(s, "the pods of the Service answer "+when, func(ctx context.Context) error {
		left := slices.Clone(pods)
		for range 20 * len(pods) {
			answer, err := s.node.Run(ctx, "timeout", "3", "bash", "-c", `exec 3<>"/dev/tcp/$0/80" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && cat <&3`, address)
			if err != nil {
				return fmt.Errorf("%w: %s", err, answer)
			}
			_, name, _ := strings.Cut(answer, "\r\n\r\n")
			if name = strings.TrimSpace(name); !slices.Contains(pods, name) {
				return fmt.Errorf("%q answers, and there are %v", name, pods)
			}
			if left = slices.DeleteFunc(left, func(one string) bool { return one == name }); len(left) == 0 {
				return nil
			}
		}
		return fmt.Errorf("%v do not answer", left)
	})
}

// running are the pods of the Service, and their addresses as the API server has them.
func (s *site) running() (names, addresses []string) {
	s.Helper()
	list, err := s.client.CoreV1().Pods("default").List(s.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		s.Fatal(err)
	}
	for i := range list.Items {
		names, addresses = append(names, list.Items[i].Name), append(addresses, list.Items[i].Status.PodIP)
	}
	slices.Sort(addresses)
	return names, addresses
}

// publish has the API server be an endpoint of its Service, as it has itself where it is not at a loopback address.
func (s *site) publish() {
	s.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{s.node.Gateway()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:     []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To[int32](6443)}},
	}
	if _, err := s.client.DiscoveryV1().EndpointSlices("default").Create(s.Context(), slice, metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
}

// A node on which nothing keeps the addresses of pods loses its power without the cloud. A stock kube-proxy leads who asks for a Service to its pods all the same, where they are now, and pods
// find the hub by the cluster IP of the API server.
func TestRealNodeLeadsServicesToWhereTheirPodsAreNow(t *testing.T) {
	testbed.RequireNodes(t)
	proxy, err := testbed.Binary("kube-proxy")
	if err != nil {
		t.Skip("kube-proxy is not built: \"make test-edge\" does that")
	}
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	s := &site{T: t, cluster: cluster, client: cluster.Client(t), kubeconfig: cluster.Kubeconfig()}
	testbed.Kubectl(t, s.kubeconfig, "apply", "-f", filepath.Join("..", "..", "..", "artifacts", "deploy", "edgehub-rbac.yaml"))
	s.node = testbed.StartNode(t, cluster, "edge-1", testbed.NodeOptions{Hub: true, HubArgs: []string{"--v=4"}})
	s.startProxy(proxy)
	s.publish()
	testbed.KubectlStdin(t, s.kubeconfig, strings.NewReplacer("NODE", s.node.Name(), "IMAGE", testbed.NodeImage).Replace(servers), "apply", "-f", "-")
	testbed.Kubectl(t, s.kubeconfig, "rollout", "status", "deployment/web", "--timeout=120s")
	service, err := s.client.CoreV1().Services("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names, addresses := s.running()
	s.answers("with the cloud", service.Spec.ClusterIP, names)

	s.node.Kill9(t)
	s.node.StartCut(t)
	s.startProxy(proxy)
	s.answers("without the cloud", service.Spec.ClusterIP, names)
	master, err := s.client.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.node.Run(t.Context(), "timeout", "3", "bash", "-c", `exec 3<>"/dev/tcp/$0/443"`, master.Spec.ClusterIP); err != nil {
		t.Errorf("at the API server's cluster IP: %v %s", err, out)
	}

	s.node.Heal(t)
	s.isReady()
	testbed.Eventually(t, "the cloud knows where pods are now", func(ctx context.Context) error {
		now, where := s.running()
		if slices.Sort(now); !slices.Equal(now, slices.Sorted(slices.Values(names))) {
			return fmt.Errorf("there are %v, and were %v", now, names)
		}
		list, err := s.client.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
		if err != nil {
			return err
		}
		var lead []string
		for i := range list.Items {
			for _, e := range list.Items[i].Endpoints {
				lead = append(lead, e.Addresses...)
			}
		}
		if slices.Sort(lead); !slices.Equal(lead, where) {
			return fmt.Errorf("pods are at %v, and EndpointSlices lead to %v", where, lead)
		}
		if slices.Equal(where, addresses) {
			return errors.New("they are where they were: that shows nothing")
		}
		return nil
	})
	s.answers("when the cloud is back", service.Spec.ClusterIP, names)
}
