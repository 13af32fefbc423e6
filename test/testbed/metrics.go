package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
)

// What the metrics of a test bed say: nothing runs that could be measured.
const (
	ContainerCPU    = "7m"
	ContainerMemory = "11Mi"
	NodeCPU         = "250m"
	NodeMemory      = "512Mi"
)

const (
	metricsName      = "metrics"
	metricsNamespace = "kube-system"
	metricsWindow    = 30 * time.Second
)

// metrics serves metrics.k8s.io as metrics-server does, of the pods that run in a cluster and of its
// nodes.
type metrics struct {
	client kubernetes.Interface
}

// StartMetrics has a cluster serve metrics.k8s.io until the test ends: an API of its aggregator, at an address of loopback.
func StartMetrics(t testing.TB, cluster *Cluster) {
	t.Helper()
	m := &metrics{client: cluster.Client(t)}
	server := httptest.NewUnstartedServer(m.handler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	config, authority, err := metricsTLS(cluster.pki())
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	port := int32(server.Listener.Addr().(*net.TCPAddr).Port)
	services := m.client.CoreV1().Services(metricsNamespace)
	if _, err := services.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: metricsName}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "127.0.0.1"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make the Service of the metrics: %v", err)
	}
	t.Cleanup(func() {
		if err := services.Delete(context.WithoutCancel(t.Context()), metricsName, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	client, err := aggregator.NewForConfig(cluster.RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	apiServices := client.ApiregistrationV1().APIServices()
	name := metricsv1beta1.SchemeGroupVersion.Version + "." + metricsv1beta1.GroupName
	if _, err := apiServices.Create(t.Context(), &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: metricsv1beta1.GroupName, Version: metricsv1beta1.SchemeGroupVersion.Version, GroupPriorityMinimum: 100, VersionPriority: 100, CABundle: authority,
			Service: &apiregistrationv1.ServiceReference{Namespace: metricsNamespace, Name: metricsName, Port: &port},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make the APIService of the metrics: %v", err)
	}
	t.Cleanup(func() {
		if err := apiServices.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// metricsTLS has the cluster's authority vouch for the server, and lets in the aggregator alone.
func metricsTLS(dir string) (config *tls.Config, authority []byte, err error) {
	ca, err := pki.NewAuthority(dir, "ca", "")
	if err != nil {
		return nil, nil, err
	}
	files, err := ca.Issue(metricsName, pkix.Name{CommonName: metricsName}, metricsName+"."+metricsNamespace+".svc")
	if err != nil {
		return nil, nil, err
	}
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, nil, err
	}
	if authority, err = os.ReadFile(ca.Files().Cert); err != nil {
		return nil, nil, err
	}
	proxies, err := os.ReadFile(filepath.Join(dir, "front-proxy-ca.crt"))
	if err != nil {
		return nil, nil, err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(proxies)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}, authority, nil
}

func (m *metrics) handler() http.Handler {
	root := "GET /apis/" + metricsv1beta1.SchemeGroupVersion.String()
	mux := http.NewServeMux()
	mux.HandleFunc(root, func(w http.ResponseWriter, _ *http.Request) {
		verbs := metav1.Verbs{"get", "list"}
		answer(w, http.StatusOK, &metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: metricsv1beta1.SchemeGroupVersion.String(),
			APIResources: []metav1.APIResource{
				{Name: "nodes", Kind: "NodeMetrics", Verbs: verbs},
				{Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: verbs},
			},
		})
	})
	mux.HandleFunc(root+"/pods", m.pods)
	mux.HandleFunc(root+"/namespaces/{namespace}/pods", m.pods)
	mux.HandleFunc(root+"/namespaces/{namespace}/pods/{name}", func(w http.ResponseWriter, r *http.Request) {
		pod, err := m.client.CoreV1().Pods(r.PathValue("namespace")).Get(r.Context(), r.PathValue("name"), metav1.GetOptions{})
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, podMetrics(pod))
	})
	mux.HandleFunc(root+"/nodes", m.nodes)
	mux.HandleFunc(root+"/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		node, err := m.client.CoreV1().Nodes().Get(r.Context(), r.PathValue("name"), metav1.GetOptions{})
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, nodeMetrics(node))
	})
	return mux
}

// selected are the objects that a request is about.
func selected(r *http.Request) metav1.ListOptions {
	query := r.URL.Query()
	return metav1.ListOptions{LabelSelector: query.Get("labelSelector"), FieldSelector: query.Get("fieldSelector")}
}

func (m *metrics) pods(w http.ResponseWriter, r *http.Request) {
	pods, err := m.client.CoreV1().Pods(r.PathValue("namespace")).List(r.Context(), selected(r))
	if err != nil {
		refuse(w, err)
		return
	}
	list := &metricsv1beta1.PodMetricsList{TypeMeta: typeMeta("PodMetricsList"), Items: []metricsv1beta1.PodMetrics{}}
	for i := range pods.Items {
		if pods.Items[i].Status.Phase == corev1.PodRunning {
			list.Items = append(list.Items, *podMetrics(&pods.Items[i]))
		}
	}
	answer(w, http.StatusOK, list)
}

func (m *metrics) nodes(w http.ResponseWriter, r *http.Request) {
	nodes, err := m.client.CoreV1().Nodes().List(r.Context(), selected(r))
	if err != nil {
		refuse(w, err)
		return
	}
	list := &metricsv1beta1.NodeMetricsList{TypeMeta: typeMeta("NodeMetricsList"), Items: []metricsv1beta1.NodeMetrics{}}
	for i := range nodes.Items {
		list.Items = append(list.Items, *nodeMetrics(&nodes.Items[i]))
	}
	answer(w, http.StatusOK, list)
}

func podMetrics(pod *corev1.Pod) *metricsv1beta1.PodMetrics {
	measured := &metricsv1beta1.PodMetrics{
		TypeMeta: typeMeta("PodMetrics"), ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Labels: pod.Labels, CreationTimestamp: metav1.Now()},
		Timestamp: metav1.Now(), Window: metav1.Duration{Duration: metricsWindow},
	}
	for _, container := range pod.Spec.Containers {
		measured.Containers = append(measured.Containers, metricsv1beta1.ContainerMetrics{Name: container.Name, Usage: usage(ContainerCPU, ContainerMemory)})
	}
	return measured
}

func nodeMetrics(node *corev1.Node) *metricsv1beta1.NodeMetrics {
	return &metricsv1beta1.NodeMetrics{
		TypeMeta: typeMeta("NodeMetrics"), ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: node.Labels, CreationTimestamp: metav1.Now()},
		Timestamp: metav1.Now(), Window: metav1.Duration{Duration: metricsWindow}, Usage: usage(NodeCPU, NodeMemory),
	}
}

func usage(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: metricsv1beta1.SchemeGroupVersion.String()}
}

// refuse passes on what the cluster says of an object.
func refuse(w http.ResponseWriter, err error) {
	status := apierrors.NewInternalError(err).Status()
	if said := apierrors.APIStatus(nil); errors.As(err, &said) {
		status = said.Status()
	}
	status.Kind, status.APIVersion = "Status", "v1"
	answer(w, int(status.Code), &status)
}

func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object) // fails if the reader has gone
}
