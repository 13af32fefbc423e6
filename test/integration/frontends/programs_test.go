package frontends_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	konnectivityclient "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const (
	// patience is how long anything may take before a test gives up. It is no assertion about speed.
	patience       = testbed.Patience
	system         = "kube-federation-system"
	requestTimeout = "--request-timeout=60s"
	// drain is longer than a test that waits for it.
	drain = "--connection-drain-timeout=5m"
)

// world is a koinon server with front ends, a member m1 whose kube-apiserver reaches its nodes through them, its agent, and a cluster m2 without one.
type world struct {
	*testing.T
	koinon  *testbed.Koinon
	host    kubernetes.Interface
	ours    versioned.Interface
	sockets string
	proxy   int    // port
	limits  string // file
	egress  string // file of the member's API server
	member  *testbed.Cluster
	agent   *testbed.Agent
	kubelet *testbed.Kubelet
}

func newWorld(t *testing.T, hostKubeconfig string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	w := &world{T: t, sockets: filepath.Join(tunneltest.SocketDir(t), "d"), proxy: testbed.FreePort(t), limits: filepath.Join(t.TempDir(), "limits.yaml")}
	w.limit("{}")
	w.koinon = testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: hostKubeconfig, StopGrace: patience, Args: []string{
		"--components=all,tunnel", "--tunnel-port=0", "--tunnel-bind-address=127.0.0.1", "--tunnel-socket-directory=" + w.sockets, "--tunnel-config=" + w.limits,
		"--tunnel-proxy-port=" + strconv.Itoa(w.proxy), "--tunnel-proxy-bind-address=127.0.0.1", "--tunnel-host-suffix=" + suffix, drain,
	}})
	config, err := clientcmd.BuildConfigFromFlags("", w.koinon.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	if w.host, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if w.ours, err = versioned.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return w
}

// limit replaces the file with limits of m1, in YAML's flow style.
func (w *world) limit(m1 string) {
	w.Helper()
	text := "apiVersion: tunnel.koinon.io/v1alpha1\nkind: TunnelConfiguration\nclusters:\n- {name: m1, nodes: {}}\ndefaults: {clusters: " + m1 + "}\n"
	if err := os.WriteFile(w.limits+".new", []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(w.limits+".new", w.limits); err != nil {
		w.Fatal(err)
	}
}

// eventually tries until check succeeds.
func (w *world) eventually(what string, check func(ctx context.Context) error) {
	w.Helper()
	testbed.Eventually(w, what, check)
}

// join makes a KubeFedCluster, which has an address that answers nobody.
func (w *world) join(name string) {
	w.Helper()
	w.eventually("the KubeFedCluster "+name, func(ctx context.Context) error {
		_, err := w.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, &v1beta1.KubeFedCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: "https://192.0.2.1:6443", SecretRef: v1beta1.LocalSecretReference{Name: name}, Tunnel: v1beta1.TunnelAlways},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	w.eventually("the sockets of "+name, func(context.Context) error {
		_, err := os.Stat(w.socket(name))
		_, grpcErr := os.Stat(w.socket(name + ".grpc"))
		return errors.Join(err, grpcErr)
	})
}

func (w *world) socket(name string) string { return filepath.Join(w.sockets, name+".sock") }

// startMember starts the cluster m1 and its agent. Its API server reaches its nodes as the file w.egress says at its start.
func (w *world) startMember() {
	w.Helper()
	w.egress = filepath.Join(w.TempDir(), "egress.yaml")
	w.reachNodesBy(fmt.Sprintf("{proxyProtocol: HTTPConnect, transport: {uds: {udsName: %s}}}", w.socket("m1")))
	w.member = testbed.StartCluster(w.T, testbed.ClusterOptions{Name: "m1", APIServerArgs: []string{"--egress-selector-config-file=" + w.egress}})
	w.kubelet = testbed.StartKubelet(w.T, w.member, "edge-1")
	w.startAgent()
	client := w.member.Client(w.T)
	w.eventually("the account of the namespace", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	w.kubelet.Run(w.T, client, "default", "web")
}

func (w *world) reachNodesBy(connection string) {
	w.Helper()
	text := "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- {name: cluster, connection: " + connection + "}\n"
	if err := os.WriteFile(w.egress, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// startAgent runs koinon-agent of m1.
func (w *world) startAgent() {
	w.Helper()
	w.agent = testbed.StartAgent(w, testbed.AgentOptions{
		Kubeconfig: w.koinon.Kubeconfig(), Member: w.member, Args: []string{"--allow=127.0.0.0/8:*", "--transport=direct"},
	})
	w.eventually("the agent is connected", func(ctx context.Context) error {
		conn, err := connectBySocket(ctx, w.socket("m1"), "apiserver:443")
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// connectBySocket connects by HTTP CONNECT. The error is what the front end answers.
func connectBySocket(ctx context.Context, socket, target string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		_ = conn.Close()
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// usesNodes has the member's API server do what it does at nodes.
func (w *world) usesNodes() {
	w.Helper()
	kubeconfig := w.member.Kubeconfig()
	w.eventually("exec", func(context.Context) error {
		got := testbed.RunKubectl(w, kubeconfig, "", "exec", "web", requestTimeout, "--", "echo", "from there")
		if got.Err != nil || got.Stdout != "from there\n" {
			return fmt.Errorf("%w: %s%s", got.Err, got.Stdout, got.Stderr)
		}
		return nil
	})
	if got := testbed.Kubectl(w, kubeconfig, "logs", "web", requestTimeout); !strings.Contains(got, "line 2 of default/web") {
		w.Errorf("logs: got %q", got)
	}
	in := strings.Repeat("0123456789abcdef", 1<<16) // more than a window
	if got := testbed.KubectlStdin(w, kubeconfig, in, "exec", "-i", "web", "--", "cat"); got != in {
		w.Errorf("exec -i: %d bytes of %d came back", len(got), len(in))
	}
	w.forwards()
}

// forwards reaches a port of a pod through kubectl port-forward.
func (w *world) forwards() {
	w.Helper()
	target := tunneltest.Target(w.T, "forwarded")
	_, port, _ := net.SplitHostPort(target)
	cmd := testbed.KubectlCommand(w, w.member.Kubeconfig(), "port-forward", "pod/web", ":"+port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.Fatalf("port-forward: %v", err)
	}
	at := strings.Fields(strings.TrimPrefix(line, "Forwarding from "))[0]
	conn, err := net.Dial("tcp", at)
	if err != nil {
		w.Fatalf("port-forward says %q: %v", line, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := echoes(conn, "forwarded"); err != nil {
		w.Errorf("port-forward: %v", err)
	}
}

// echoes says whether a connection leads to a tunneltest.Target.
func echoes(conn io.ReadWriter, word string) error {
	if _, err := io.WriteString(conn, "!"); err != nil {
		return err
	}
	got := make([]byte, len(word)+1)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != word+"!" {
		return fmt.Errorf("got %q: %w", got, err)
	}
	return nil
}

// metric is the sum of what a server that runs alone has of a metric, with these labels.
func (w *world) metric(name string, labels ...string) (sum float64) {
	w.Helper()
	raw, err := w.host.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	text := string(raw)
lines:
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(line, label) {
				continue lines
			}
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			w.Fatal(err)
		}
		sum += value
	}
	return sum
}

// grants binds a role to a user in the system namespace.
func (w *world) grants(user, role string) {
	w.Helper()
	if _, err := w.host.RbacV1().RoleBindings(system).Create(w.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

// TestAStockAPIServerReachesItsNodes has a kube-apiserver reach nodes behind the agent in each way that an EgressSelectorConfiguration has.
func TestAStockAPIServerReachesItsNodes(t *testing.T) {
	w := newWorld(t, "")
	w.join("m1")
	w.startMember()
	w.usesNodes()
	w.callsWebhooks()
	w.aggregates("connect")

	_, dir := w.koinon.User(t, "apiserver-of-m1", "--tunnel-cluster=m1")
	w.grants("apiserver-of-m1", "koinon:tunnel-connections")
	w.reachNodesBy(fmt.Sprintf("{proxyProtocol: HTTPConnect, transport: {tcp: {url: 'https://127.0.0.1:%d', tlsConfig: {caBundle: %[2]s/ca.crt, clientCert: %[2]s/tls.crt, clientKey: %[2]s/tls.key}}}}", w.proxy, dir))
	w.restartMember()
	before := w.metric("koinon_tunnel_frontend_dials_total", `front="connect"`, `code="200"`)
	w.usesNodes()
	if after := w.metric("koinon_tunnel_frontend_dials_total", `front="connect"`, `cluster="m1"`, `code="200"`); after < before+3 {
		t.Errorf("%v connections were counted, after %v", after, before)
	}

	w.reachNodesBy(fmt.Sprintf("{proxyProtocol: GRPC, transport: {uds: {udsName: %s}}}", w.socket("m1.grpc")))
	w.restartMember()
	w.usesNodes()
	w.aggregates("konnectivity")
	if n := w.metric("koinon_tunnel_frontend_dials_total", `front="konnectivity"`, `cluster="m1"`, `code="200"`); n < 3 {
		t.Errorf("%v connections of konnectivity were counted", n)
	}
	if n := w.metric("koinon_tunnel_frontend_bytes_total", `cluster="m1"`, `direction="sent"`); n < 3<<20 {
		t.Errorf("%v bytes were counted", n)
	}
	w.survivesTheEnd()
}

func (w *world) restartMember() {
	w.Helper()
	w.member.Kill(w.T, testbed.APIServer)
	w.member.Start(w.T)
}

// survivesTheEnd has exec and logs go on through a server that was told to end, until they are done.
func (w *world) survivesTheEnd() {
	w.Helper()
	var kills []func()
	run := func(args ...string) (io.WriteCloser, *bufio.Reader, func() error) {
		cmd := testbed.KubectlCommand(w, w.member.Kubeconfig(), args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			w.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			w.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			w.Fatal(err)
		}
		kills = append(kills, func() { _ = cmd.Process.Kill() })
		return in, bufio.NewReader(out), cmd.Wait
	}
	_, logs, _ := run("logs", "-f", "web")
	in, exec, endExec := run("exec", "-i", "web", "--", "cat")
	says := func(from *bufio.Reader, want string) {
		w.Helper()
		if got, err := from.ReadString('\n'); err != nil || got != want {
			w.Errorf("got %q, want %q: %v", got, want, err)
		}
	}
	for line := range 3 {
		says(logs, fmt.Sprintf("line %d of default/web\n", line))
	}
	_, _ = io.WriteString(in, "before\n")
	says(exec, "before\n")

	stopped := make(chan struct{})
	go func() { // ends with the server
		defer close(stopped)
		w.koinon.Stop(w.T)
	}()
	w.eventually("nobody is taken any more", func(context.Context) error {
		if _, err := os.Stat(w.socket("m1")); err == nil {
			return errors.New("the socket is there")
		}
		return nil
	})
	_, _ = io.WriteString(in, "after\n")
	says(exec, "after\n")
	select {
	case <-stopped:
		w.Error("the server has ended with connections")
	default:
	}
	_ = in.Close()
	if err := endExec(); err != nil {
		w.Errorf("exec: %v", err)
	}
	for _, kill := range kills {
		kill()
	}
	<-stopped
}

// callsWebhooks has the member's API server call a webhook by a Service of the cluster.
func (w *world) callsWebhooks() {
	w.Helper()
	hook := newHook(w.T)
	client := w.member.Client(w.T)
	if _, err := client.CoreV1().Services("default").Create(w.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: hookService}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "127.0.0.1"},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	configuration := hook.configuration()
	if _, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(w.Context(), configuration, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	before := w.metric("koinon_tunnel_frontend_dials_total", `front="connect"`, `code="200"`)
	w.eventually("the webhook is called", func(context.Context) error {
		got := testbed.RunKubectl(w, w.member.Kubeconfig(), "", "create", "configmap", fmt.Sprint("c", time.Now().UnixNano()), requestTimeout)
		if !strings.Contains(got.Stderr, hookSays) {
			return fmt.Errorf("got %s%s", got.Stdout, got.Stderr)
		}
		return nil
	})
	if after := w.metric("koinon_tunnel_frontend_dials_total", `front="connect"`, `code="200"`); after <= before {
		w.Error("it was called in another way")
	}
	if err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(w.Context(), configuration.Name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

// TestStockClientsConnect has client-go, konnectivity's client and curl's kind of client reach m1, or read why they do not.
func TestStockClientsConnect(t *testing.T) {
	w := newWorld(t, "")
	w.join("m1")
	w.join("m2")
	w.startMember()
	w.grants("alice", "koinon:tunnel")
	alice, _ := w.koinon.User(t, "alice")
	bob, _ := w.koinon.User(t, "bob")

	for _, test := range []struct {
		what, user, proxy, server string
		want                      string // empty: it is connected
	}{
		{"the cluster of the proxy's URL", alice, "m1@", "https://kubernetes.default.svc", ""},
		{"who has no right", bob, "m1@", "https://kubernetes.default.svc", `cluster "m1": apiserver may not be reached by user:bob: the API does not allow get on kubefedclusters/tunnel`},
		{"who has the right for API servers only", alice, "m1@", "https://127.0.0.1:1", `may not be reached by user:alice: the API does not allow create on kubefedclusters/connections`},
		{"a cluster without an agent", alice, "m2@", "https://kubernetes.default.svc", `cluster "m2": apiserver cannot be reached through the tunnel: no agent of it is connected`},
		{"a cluster that is not there", alice, "m3@", "https://kubernetes.default.svc", `there is no cluster "m3"`},
		{"no cluster", alice, "", "https://kubernetes.default.svc", "nothing says which cluster"},
		{"a password", alice, "m1:secret@", "https://kubernetes.default.svc", "has a password"},
		{"the certificate of another authority", w.member.Kubeconfig(), "m1@", "https://kubernetes.default.svc", "certificate"},
	} {
		t.Run(test.what, func(t *testing.T) {
			err := w.get(t, test.user, test.proxy, test.server)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("konnectivity's client", func(t *testing.T) {
		target := tunneltest.Target(t, "target")
		for address, want := range map[string]string{target: "", "192.0.2.1:443": "the agent's policy does not allow it"} {
			err := w.dialGRPC(t, "m1", address)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: got %v", address, err)
			}
		}
		if err := w.dialGRPC(t, "m2", target); err == nil || !strings.Contains(err.Error(), "no agent of it is connected") {
			t.Errorf("without an agent: got %v", err)
		}
	})
	t.Run("a client that knows the proxyURL of a KubeFedCluster only", w.servesKubeFed)
	t.Run("another process has the directory", func(t *testing.T) {
		binary, err := testbed.Binary("koinon")
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), binary, "server", "--data-dir", t.TempDir(), "--secure-port=0", "--components=all,tunnel", "--tunnel-port=0",
			"--tunnel-socket-directory="+w.sockets).CombinedOutput()
		if err == nil || !strings.Contains(string(out), w.sockets+" for sockets of the tunnel: another process has it") {
			t.Errorf("got %v: %s", err, out)
		}
	})
	t.Run("limits of a file that changes", w.limitsChange)
	t.Run("sockets go with their cluster", func(t *testing.T) {
		if err := w.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(t.Context(), "m2", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.eventually("no sockets of m2", func(context.Context) error {
			found, err := filepath.Glob(w.socket("m2*"))
			if err == nil && len(found) > 0 {
				err = fmt.Errorf("%q", found)
			}
			return err
		})
	})
	t.Run("a server that was killed finds its sockets", func(t *testing.T) {
		w.koinon.Kill9(t)
		if _, err := os.Stat(w.socket("m1")); err != nil {
			t.Errorf("it has left none: %v", err)
		}
		if conn, err := connectBySocket(t.Context(), w.socket("m1"), "apiserver:443"); err == nil {
			_ = conn.Close()
			t.Error("somebody answers")
		}
		w.koinon.Start(t)
	})
}

// limitsChange changes the file of limits to what is right, and what is wrong.
func (w *world) limitsChange(t *testing.T) {
	target := tunneltest.Target(t, "target")
	conn, err := connectBySocket(t.Context(), w.socket("m1"), target)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const limited = `cluster "m1" has 1 connections, as many as may be`
	second := func() error {
		conn, err := connectBySocket(t.Context(), w.socket("m1"), target)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := second(); err != nil {
		t.Fatal(err)
	}
	w.limit("{connections: 1}")
	w.eventually("the limit holds", func(context.Context) error {
		if err := second(); err == nil || !strings.Contains(err.Error(), limited) {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	w.limit("{connections: none}")
	w.eventually("the log says what is wrong", func(context.Context) error {
		text, err := os.ReadFile(w.koinon.LogFile())
		if err == nil && !strings.Contains(string(text), "The configuration of the tunnel is wrong; what it said before holds") {
			err = errors.New("it does not yet")
		}
		return err
	})
	if err := second(); err == nil || !strings.Contains(err.Error(), limited) {
		t.Errorf("what it said before does not hold: %v", err)
	}
	if w.metric("koinon_tunnel_configuration_right") != 0 || w.metric("koinon_tunnel_configuration_errors_total") != 1 {
		t.Error("no metric says that the file is wrong")
	}
	if err := echoes(conn, "target"); err != nil {
		t.Errorf("what was carried is cut: %v", err)
	}
	w.limit("{}")
	w.eventually("the limit has gone", func(context.Context) error { return second() })
}

// get asks m1 for its namespaces with a kubeconfig that has a certificate for the proxy and a token for the member.
func (w *world) get(t *testing.T, user, proxyUser, server string) error {
	t.Helper()
	config, err := clientcmd.LoadFromFile(user)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		t.Fatal(err)
	}
	of := config.Contexts[config.CurrentContext]
	cluster, auth := config.Clusters[of.Cluster], config.AuthInfos[of.AuthInfo]
	var authorities []byte
	for _, file := range []string{w.member.CAFile(), filepath.Join(w.koinon.DataDir(), "pki", "ca.crt")} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, text...)
	}
	cluster.Server, cluster.CertificateAuthority, cluster.CertificateAuthorityData = server, "", authorities
	cluster.ProxyURL = fmt.Sprintf("https://%s127.0.0.1:%d", proxyUser, w.proxy)
	auth.Token = w.token()
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	rest.Timeout = patience
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	return err
}

// token is one of the member, for an account that may read namespaces.
func (w *world) token() string {
	w.Helper()
	client := w.member.Client(w.T)
	_, err := client.RbacV1().ClusterRoleBindings().Create(w.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "default"}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.Fatal(err)
	}
	return strings.TrimSpace(testbed.Kubectl(w, w.member.Kubeconfig(), "create", "token", "default", requestTimeout))
}

// dialGRPC connects with konnectivity's own client, and looks whether it leads to a target.
func (w *world) dialGRPC(t *testing.T, cluster, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	socket := w.socket(cluster + ".grpc")
	tunnel, err := konnectivityclient.CreateSingleUseGrpcTunnelWithContext(ctx, ctx, "passthrough:///"+socket,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	conn, err := tunnel.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return echoes(conn, "target")
}

// TestBehindAHostUsersAreThoseOfTheHost has a user of a real host reach the port.
func TestBehindAHostUsersAreThoseOfTheHost(t *testing.T) {
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
	w := newWorld(t, host.Kubeconfig())
	w.join("m1")
	ask := func(certificate tls.Certificate, target string) error {
		conn, err := w.connectAs(certificate, target)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	administrator := w.certificateIn(host.Kubeconfig())
	const absent = `503 cluster "m1": apiserver cannot be reached through the tunnel: no agent of it is connected`
	w.eventually("the host has told its authorities", func(context.Context) error {
		if err := ask(administrator, "m1."+suffix+":443"); err == nil || err.Error() != absent {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	if err := ask(administrator, "m3."+suffix+":443"); err == nil || err.Error() != `404 there is no cluster "m3"` {
		t.Errorf("got %v", err)
	}
	nobody := w.signedBy(host, "nobody")
	if err := ask(nobody, "m1."+suffix+":443"); err == nil || !strings.HasPrefix(err.Error(), `403 cluster "m1": apiserver may not be reached by user:nobody`) {
		t.Errorf("who has no right: got %v", err)
	}
	w.grantsOne("nobody", "kubefedclusters/tunnel", "m1")
	w.eventually("the right is known", func(context.Context) error {
		if err := ask(nobody, "m1."+suffix+":443"); err == nil || err.Error() != absent {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	if err := ask(nobody, "m2."+suffix+":443"); err == nil || !strings.HasPrefix(err.Error(), "403 ") {
		t.Errorf("another cluster: got %v", err)
	}
	if _, err := w.connectAs(selfSigned(t, &x509.Certificate{Subject: pkix.Name{CommonName: "nobody"}}), "m1."+suffix+":443"); err == nil {
		t.Error("a certificate of another authority is taken")
	}
}
