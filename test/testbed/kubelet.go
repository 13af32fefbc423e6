package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
)

// Kubelet serves what an API server asks of a node for exec, attach, logs and port-forward, by
// Kubernetes' own library, over processes of this machine: a container is a directory, exec runs a
// command in it, attach talks to a program that answers each line, and a port of a pod is one of
// 127.0.0.1.
type Kubelet struct {
	// Node is the name of the node.
	Node    string
	dir     string
	network *Network // nil: the node is on loopback, and pods have no addresses
	client  kubernetes.Interface
	server  *http.Server
	at      string     // HOST:PORT where it listens
	ended   chan error // has what Serve returned
}

const (
	streamIdle    = time.Minute
	streamCreate  = 20 * time.Second
	kubeletHeader = 10 * time.Second
)

// StartKubelet adds a node to a cluster that lives as long as the test.
func StartKubelet(t testing.TB, cluster *Cluster, node string) *Kubelet {
	t.Helper()
	return startKubelet(t, cluster, KubeletOptions{Node: node, Network: cluster.Network})
}

func startKubelet(t testing.TB, cluster *Cluster, o KubeletOptions) *Kubelet {
	t.Helper()
	o.PKI, o.Dir = cluster.pki(), t.TempDir()
	k, err := ServeKubelet(t.Context(), cluster.Client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// KubeletOptions say what node to add to a cluster.
type KubeletOptions struct {
	// Node is its name.
	Node string
	// PKI is the directory of the cluster's certificates, Dir the one that containers are in.
	PKI, Dir string
	// Network is where the node and its pods have addresses; nil for loopback, and for none.
	Network *Network
	// Hidden is an InternalIP that the Node has and that leads to nobody, as at an edge where many sites have the same: the node
	// is reached by its name, at port 10250, by what knows Kubelet.Listens, and its certificate is for the name alone.
	Hidden string
}

// StartHiddenKubelet is StartKubelet with an InternalIP that leads to nobody.
func StartHiddenKubelet(t testing.TB, cluster *Cluster, node, address string) *Kubelet {
	t.Helper()
	return startKubelet(t, cluster, KubeletOptions{Node: node, Hidden: address})
}

// Listens is where the kubelet is on this machine, HOST:PORT.
func (k *Kubelet) Listens() string { return k.at }

// ServeKubelet adds a node to the cluster that client reaches as its administrator, without a test.
// It serves until Close.
func ServeKubelet(ctx context.Context, client kubernetes.Interface, o KubeletOptions) (*Kubelet, error) {
	address := "127.0.0.1"
	if o.Network != nil {
		address = o.Network.Address()
	}
	host := address
	if o.Hidden != "" {
		address, host = o.Hidden, o.Node
	}
	tlsConfig, err := kubeletTLS(o.PKI, o.Node, host)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for node %s: %w", o.Node, err)
	}
	k := &Kubelet{Node: o.Node, dir: o.Dir, network: o.Network, client: client, at: listener.Addr().String(), ended: make(chan error, 1)}
	k.server = &http.Server{Handler: k.authenticated(k.handler(), tlsConfig.ClientCAs), TLSConfig: tlsConfig, ReadHeaderTimeout: kubeletHeader, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { k.ended <- k.server.ServeTLS(listener, "", "") }() // ends with Close
	port := listener.Addr().(*net.TCPAddr).Port
	if o.Hidden != "" {
		port = kubeletPort
	} else if o.Network != nil {
		o.Network.Lead(address, port, port)
	}
	if err := k.register(ctx, client, address, port); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// Close ends the server of the node, and its connections. The Node stays.
func (k *Kubelet) Close() error {
	closeErr := k.server.Close()
	err := <-k.ended
	if errors.Is(err, http.ErrServerClosed) {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("serve node %s: %w", k.Node, err)
	}
	return nil
}

// Client returns a client of the cluster, as its administrator.
func (c *Cluster) Client(t testing.TB) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// kubeletPort is where kubelets are.
const kubeletPort = 10250

// kubeletTLS has the cluster's authority vouch for a node at a host.
func kubeletTLS(dir, node, host string) (*tls.Config, error) {
	ca, err := pki.NewAuthority(dir, "ca", "")
	if err != nil {
		return nil, fmt.Errorf("load the authority of nodes: %w", err)
	}
	files, err := ca.Issue("kubelet-"+host, pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, host)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate of node %s: %w", node, err)
	}
	authority, err := os.ReadFile(ca.Files().Cert)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authority)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequestClientCert, ClientCAs: clients,
	}, nil
}

// authenticated lets in who has a certificate of the cluster's authority, as its API server does, or a token with which the API
// server lets him read metrics of nodes, as a kubelet asks. Another certificate beside the token does not matter.
func (k *Kubelet) authenticated(handler http.Handler, authorities *x509.CertPool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := false
		if len(r.TLS.PeerCertificates) > 0 {
			_, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: authorities, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			known = err == nil
		}
		if !known && !k.allows(r) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// allows asks the API server about a token.
func (k *Kubelet) allows(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !strings.HasPrefix(r.URL.Path, "/metrics") {
		return false
	}
	review, err := k.client.AuthenticationV1().TokenReviews().Create(r.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil || !review.Status.Authenticated {
		return false
	}
	user := review.Status.User
	access, err := k.client.AuthorizationV1().SubjectAccessReviews().Create(r.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Version: "v1", Resource: "nodes", Subresource: "metrics", Name: k.Node},
	}}, metav1.CreateOptions{})
	return err == nil && access.Status.Allowed
}

// resources are what metrics-server reads, of a node that uses a quarter of a processor. The node says which it is.
func (k *Kubelet) resources(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	seconds := float64(now.UnixMilli()%1_000_000_000) / 4000
	fmt.Fprintf(w, "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total %f %d\n", seconds, now.UnixMilli())
	fmt.Fprintf(w, "# TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes %d %d\n", 512<<20, now.UnixMilli())
	fmt.Fprintf(w, "# TYPE kubelet_node_name gauge\nkubelet_node_name{node=%q} 1\n", k.Node)
}

// register makes the Node, which is ready.
func (k *Kubelet) register(ctx context.Context, client kubernetes.Interface, address string, port int) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.Node}}
	if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make node %s: %w", k.Node, err)
	}
	patch, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeHostName, Address: k.Node}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}},
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}},
	}})
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().Nodes().Patch(ctx, k.Node, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("say where node %s is: %w", k.Node, err)
	}
	return nil
}

// Run makes a pod that runs on the node, with one container.
func (k *Kubelet) Run(t testing.TB, client kubernetes.Interface, namespace, name string) {
	t.Helper()
	if err := k.RunPod(t.Context(), client, namespace, name); err != nil {
		t.Fatal(err)
	}
}

// RunPod is Run without a test.
func (k *Kubelet) RunPod(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	pods := client.CoreV1().Pods(namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			NodeName: k.Node, Containers: []corev1.Container{{Name: "main", Image: "example.org/main", Stdin: true, Ports: []corev1.ContainerPort{{ContainerPort: 80}}}},
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make pod %s/%s: %w", namespace, name, err)
	}
	running := metav1.Now()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &running,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: running}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", Ready: true, Image: "example.org/main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: running}},
		}},
	}
	if k.network != nil {
		pod.Status.PodIP = k.network.Address()
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	}
	if _, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("say that pod %s/%s runs: %w", namespace, name, err)
	}
	return nil
}

func (k *Kubelet) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, k, r.PathValue("pod"), "", r.PathValue("container"), r.URL.Query()["command"], options, streamIdle, streamCreate, remotecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeAttach(w, r, k, r.PathValue("pod"), "", r.PathValue("container"), options, streamIdle, streamCreate, remotecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, k, r.PathValue("pod"), "", options, streamIdle, streamCreate, portforward.SupportedProtocols)
	})
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", containerLogs)
	mux.HandleFunc("GET /metrics", k.resources)
	mux.HandleFunc("GET /metrics/resource", k.resources)
	mux.HandleFunc("GET /pods", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"PodList","apiVersion":"v1","items":null}`)
	})
	return mux
}

// containerLogs are three lines; those of one who follows come each after the one before was sent.
func containerLogs(w http.ResponseWriter, r *http.Request) {
	for line := range 3 {
		fmt.Fprintf(w, "line %d of %s/%s\n", line, r.PathValue("namespace"), r.PathValue("pod"))
		_ = http.NewResponseController(w).Flush() // fails if the reader has gone
	}
	if r.URL.Query().Get("follow") == "true" {
		<-r.Context().Done()
	}
}

// ExecInContainer implements remotecommand.Executor.
func (k *Kubelet) ExecInContainer(ctx context.Context, _ string, _, container string, command []string, in io.Reader, out, problems io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	return k.run(ctx, container, command, in, out, problems)
}

// AttachContainer implements remotecommand.Attacher.
func (k *Kubelet) AttachContainer(ctx context.Context, _ string, _, container string, in io.Reader, out, problems io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	return k.run(ctx, container, []string{"sh", "-c", `echo attached; while read line; do echo "heard $line"; done`}, in, out, problems)
}

// run runs a command in the directory of a container.
func (k *Kubelet) run(ctx context.Context, container string, command []string, in io.Reader, out, problems io.WriteCloser) error {
	if len(command) == 0 {
		return errors.New("no command")
	}
	dir := filepath.Join(k.dir, filepath.Base(container))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	if out != nil {
		cmd.Stdout = out
	}
	if problems != nil {
		cmd.Stderr = problems
	}
	if in != nil {
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() { // ends with the input, or with the command, which closes the pipe
			_, _ = io.Copy(stdin, in)
			_ = stdin.Close()
		}()
	}
	err := cmd.Run()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return utilexec.CodeExitError{Err: err, Code: exited.ExitCode()}
	}
	return err
}

// PortForward implements portforward.PortForwarder.
func (k *Kubelet) PortForward(ctx context.Context, _ string, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer conn.Close()
	back := make(chan error, 1)
	go func() { // ends with either side
		_, err := io.Copy(stream, conn)
		_ = stream.Close()
		back <- err
	}()
	_, err = io.Copy(conn, stream)
	if half, ok := conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	return errors.Join(err, <-back)
}
