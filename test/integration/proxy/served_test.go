package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/testbed"
)

// application is what a pod would serve: it says what it was asked, leads elsewhere, and repeats what it hears.
func application(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/unauthorized":
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case "/leads":
		http.Redirect(w, r, "/there?a=b", http.StatusFound)
	case "/repeats":
		repeat(w, r)
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Application", "yes")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %q", r.Method, r.URL.RequestURI(), body)
	}
}

// repeat answers each message of a WebSocket.
func repeat(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{Subprotocols: []string{"repeats"}}).Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, append([]byte("heard "), message...)) != nil {
			return
		}
	}
}

// serve has a pod of the member that answers at its port 8080, and a service of the same name before it.
func (p *place) serve(kubelet *testbed.Kubelet, namespace, name string) {
	p.Helper()
	server := httptest.NewServer(http.HandlerFunc(application))
	p.Cleanup(server.Close)
	client := p.client(p.direct).CoreV1()
	kubelet.Run(p, p.client(p.direct), namespace, name)
	pod, err := client.Pods(namespace).Get(p.Context(), name, metav1.GetOptions{})
	if err != nil {
		p.Fatal(err)
	}
	const port = 8080
	p.member.Network.Lead(pod.Status.PodIP, port, server.Listener.Addr().(*net.TCPAddr).Port)
	if _, err := client.Services(namespace).Create(p.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(port)}}},
	}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	// API servers read Endpoints to carry requests on to services, not slices.
	if _, err := client.Endpoints(namespace).Create(p.Context(), &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: pod.Status.PodIP, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: name, UID: pod.UID}}},
			Ports:     []corev1.EndpointPort{{Name: "http", Port: port}},
		}},
	}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
}

// TestServicesAndPodsAreReachedAsTheyAreDirectly sends what applications are asked to a member directly,
// through its proxy, and through that of a cell.
func TestServicesAndPodsAreReachedAsTheyAreDirectly(t *testing.T) {
	places(t, func(p *place) {
		shop := "served-" + p.name
		p.hostNamespace(shop)
		cell, in := p.cell(shop, "rz00a"), shop+"-rz00a"
		raw := rawReaches(p)
		p.serve(testbed.StartKubelet(p, p.member, "served-node-"+p.name), in, "web")
		for _, object := range []string{"services/web:80", "services/http:web:http", "pods/web:8080", "pods/http:web:8080"} {
			for _, r := range []struct{ method, path, body string }{
				{"GET", "", ""}, {"GET", "/", ""}, {"GET", "/a/b?c=d&watch=1", ""}, {"GET", "/a/b%20c/%C3%A9", ""}, {"HEAD", "/a", ""},
				{"POST", "/a", "posted"}, {"PUT", "/a", `{"kind":"Put"}`}, {"PATCH", "/a", "patched"}, {"DELETE", "/a/", ""}, {"OPTIONS", "/", ""},
				{"GET", "/unauthorized", ""}, {"GET", "/leads", ""},
			} {
				of := func(namespace string) string {
					return "/api/v1/namespaces/" + namespace + "/" + object + "/proxy" + r.path
				}
				want := p.asks(p.direct, r.method, of(in), r.body)
				if !strings.Contains(want, "X-Application") && !strings.Contains(want, "who are you?") {
					p.Errorf("directly, %s %s is answered\n%s", r.method, of(in), want)
				}
				for kubeconfig, namespace := range map[string]string{p.proxied: in, cell: shop} {
					if led := r.path == "" || r.path == "/leads"; led && p.hosted {
						continue // the host's aggregator passes no redirects on
					}
					if diff := cmp.Diff(want, p.asks(kubeconfig, r.method, of(namespace), r.body)); diff != "" {
						p.Errorf("%s %s (-directly +through):\n%s", r.method, of(namespace), diff)
					}
				}
			}
			for kubeconfig, namespace := range map[string]string{p.direct: in, p.proxied: in, cell: shop} {
				path := "/api/v1/namespaces/" + namespace + "/" + object + "/proxy/"
				if raw {
					p.equal("kubectl get --raw "+path, testbed.Kubectl(p, kubeconfig, "get", "--raw", path+"raw"), `GET /raw ""`)
					p.equal("kubectl create --raw "+path, testbed.KubectlStdin(p, kubeconfig, "{}", "create", "--raw", path+"made", "-f", "-"), `POST /made "{}"`)
				}
				p.converses(kubeconfig, path+"repeats")
			}
		}
	})
}

// asks sends a request and follows where it is led, and returns what is said: code, the application's
// header and the body.
func (p *place) asks(kubeconfig, method, path, body string) string {
	p.Helper()
	config := p.config(kubeconfig)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, config.Host+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		p.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		p.Fatalf("%s %s: %v", method, path, err)
	}
	return fmt.Sprintf("%s\nX-Application: %s\n%s", answer.Status, answer.Header.Get("X-Application"), said)
}

// converses speaks WebSocket with the application.
func (p *place) converses(kubeconfig, path string) {
	p.Helper()
	config := p.config(kubeconfig)
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		p.Fatal(err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{}
	}
	header := http.Header{}
	if config.BearerToken != "" {
		header.Set("Authorization", "Bearer "+config.BearerToken)
	}
	at, err := url.Parse(config.Host + path)
	if err != nil {
		p.Fatal(err)
	}
	at.Scheme = "wss"
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	conn, answer, err := (&websocket.Dialer{TLSClientConfig: tlsConfig, Subprotocols: []string{"repeats"}}).DialContext(ctx, at.String(), header)
	if err != nil {
		if answer != nil {
			said, readErr := io.ReadAll(answer.Body)
			err = errors.Join(err, fmt.Errorf("%s: %s", answer.Status, said), readErr)
		}
		p.Fatalf("WebSocket %s: %v", path, err)
	}
	defer conn.Close()
	if got := conn.Subprotocol(); got != "repeats" {
		p.Errorf("WebSocket %s: the protocol is %q", path, got)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	for _, said := range []string{"one", strings.Repeat("0123456789abcdef", 1<<14)} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(said)); err != nil {
			p.Fatalf("WebSocket %s: %v", path, err)
		}
		_, heard, err := conn.ReadMessage()
		if err != nil || string(heard) != "heard "+said {
			p.Fatalf("WebSocket %s: %d bytes came back of %d: %v", path, len(heard), len(said), err)
		}
	}
}

func TestNodesAreReachedThroughAMemberAndNotThroughACell(t *testing.T) {
	places(t, func(p *place) {
		shop := "nodes-" + p.name
		p.hostNamespace(shop)
		cell := p.cell(shop, "rz00a")
		kubelet := testbed.StartKubelet(p, p.member, "reached-node-"+p.name)
		for path, want := range map[string]string{
			"/api/v1/nodes/" + kubelet.Node + "/proxy/pods":     `"kind":"PodList"`,
			"/api/v1/nodes/" + kubelet.Node + "/proxy/nonsense": "404 page not found",
		} {
			direct := p.asks(p.direct, http.MethodGet, path, "")
			p.equal("what a node says through the proxy", p.asks(p.proxied, http.MethodGet, path, ""), direct)
			if !strings.Contains(direct, want) {
				p.Errorf("%s: the node answers %s, want %s", path, direct, want)
			}
			if rawReaches(p) {
				raw := []string{"get", "--raw", path, requestTimeout}
				direct, proxied := testbed.RunKubectl(p, p.direct, "", raw...), testbed.RunKubectl(p, p.proxied, "", raw...)
				p.equal("what kubectl says of it through the proxy", proxied.Stdout+proxied.Stderr, direct.Stdout+direct.Stderr)
			}
			refused := p.asks(cell, http.MethodGet, path, "")
			if want := `the cell \"rz00a\" of namespace \"` + shop + `\" does not show nodes`; !strings.HasPrefix(refused, "403 ") || !strings.Contains(refused, want) {
				p.Errorf("%s: in a cell it is answered %s, want %s", path, refused, want)
			}
		}
	})
}

// TestKubectlTopShowsWhatAMemberMeasures asks the metrics API, which is another server behind the member's
// aggregator.
func TestKubectlTopShowsWhatAMemberMeasures(t *testing.T) {
	places(t, func(p *place) {
		shop := "top-" + p.name
		p.hostNamespace(shop)
		cell, in := p.cell(shop, "rz00a"), shop+"-rz00a"
		kubelet := testbed.StartKubelet(p, p.member, "top-node-"+p.name)
		kubelet.Run(p, p.client(p.direct), in, "ours")
		kubelet.Run(p, p.client(p.direct), p.namespace(), "theirs")
		testbed.StartMetrics(p, p.member)
		top := func(kubeconfig string, args ...string) string {
			p.Helper()
			return testbed.Kubectl(p, kubeconfig, append([]string{"top"}, args...)...)
		}
		for what, kubeconfig := range map[string]string{"the member": p.direct, "its proxy": p.proxied, "the cell": cell} {
			p.eventually("metrics of "+what, func(context.Context) error {
				if result := testbed.RunKubectl(p, kubeconfig, "", "top", "pods", "-A"); result.Err != nil {
					return fmt.Errorf("%w: %s", result.Err, result.Stderr)
				}
				return nil
			})
		}
		row := regexp.MustCompile(`(?m)^ours +` + testbed.ContainerCPU + ` +` + testbed.ContainerMemory)
		for _, args := range [][]string{{"pods"}, {"pod", "ours"}, {"pods", "-l", "app=ours"}, {"pods", "--field-selector", "metadata.name=ours"}} {
			direct := top(p.direct, append(args, "-n", in)...)
			p.equal("kubectl top through the proxy", top(p.proxied, append(args, "-n", in)...), direct)
			p.equal("kubectl top in a cell", top(cell, append(args, "-n", shop)...), direct)
			if !row.MatchString(direct) {
				p.Errorf("kubectl top %v says\n%s", args, direct)
			}
		}
		if all := top(p.proxied, "pods", "-A"); !strings.Contains(all, "theirs") || !strings.Contains(all, in) {
			p.Errorf("in the member, all pods are\n%s", all)
		}
		if all := top(cell, "pods", "-A", "--containers"); strings.Contains(all, "theirs") || strings.Contains(all, in) || !regexp.MustCompile(`(?m)^`+shop+` +ours +main +`).MatchString(all) {
			p.Errorf("in the cell, all pods are\n%s", all)
		}
		p.equal("kubectl top nodes through the proxy", top(p.proxied, "nodes"), top(p.direct, "nodes"))
		if nodes := top(p.proxied, "nodes"); !regexp.MustCompile(`(?m)^m1-node-1 +` + testbed.NodeCPU).MatchString(nodes) {
			p.Errorf("kubectl top nodes says\n%s", nodes)
		}
		refused := testbed.RunKubectl(p, cell, "", "top", "nodes")
		if want := `the cell "rz00a" of namespace "` + shop + `" does not show nodes`; refused.Err == nil || !strings.Contains(refused.Stderr, want) {
			p.Errorf("in the cell, kubectl top nodes says %v: %s%s, want %q", refused.Err, refused.Stdout, refused.Stderr, want)
		}
	})
}
