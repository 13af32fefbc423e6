package nodes_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestNodesAreReachedByTheirNames(t *testing.T) {
	f := newFederation(t)
	nodes := []*node{f.newNode(f.m1, "edge-1"), f.newNode(f.m1, "edge-2"), f.newNode(f.m2, "edge-1")}
	_, prometheus := f.server.User(t, "prometheus")
	for _, n := range nodes {
		f.eventually("the agent of "+n.member.Name()+"/"+n.Node, func(context.Context) error { return f.reaches(prometheus, n) })
	}
	t.Run("whatever their addresses", func(t *testing.T) { f.within(t).byCertificate(prometheus, nodes) })
	t.Run("and by no other name", func(t *testing.T) { f.within(t).byNoOther(prometheus) })
	t.Run("by whom the API lets", func(t *testing.T) { f.within(t).byRight(nodes[2]) })
	t.Run("by kubectl through their API server", func(t *testing.T) { f.within(t).kubectl(nodes[0]) })
	t.Run("by Prometheus", func(t *testing.T) { f.within(t).prometheus(prometheus, nodes[2]) })
	t.Run("by metrics-server", func(t *testing.T) { f.within(t).metricsServer(nodes[2]) })
	t.Run("until they are revoked", func(t *testing.T) { f.within(t).revoked(prometheus, nodes) })
}

// connect asks the TLS front end for a target. header has more of the request's head.
func (f *federation) connect(user, target, header string) (conn *tls.Conn, status int, reason string) {
	f.Helper()
	certificate, err := tls.LoadX509KeyPair(filepath.Join(user, "tls.crt"), filepath.Join(user, "tls.key"))
	if err != nil {
		f.Fatal(err)
	}
	conn, err = tls.Dial("tcp", f.proxy, &tls.Config{RootCAs: f.pool(filepath.Join(user, "ca.crt")), Certificates: []tls.Certificate{certificate}})
	if err != nil {
		f.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, target, header); err != nil {
		f.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		f.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		_ = conn.Close()
	}
	return conn, answer.StatusCode, answer.Status
}

func (f *federation) pool(file string) *x509.CertPool {
	f.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		f.Fatalf("there is no certificate in %s", file)
	}
	return pool
}

// reaches returns nil if the kubelet of a node answers, with a certificate of its cluster and for its name.
func (f *federation) reaches(user string, n *node) error {
	f.Helper()
	for target, header := range map[string]string{
		n.Node + ":10250": "Koinon-Cluster: " + n.member.Name() + "\r\n", n.Node + "." + n.member.Name() + "." + suffix + ":10250": "",
	} {
		conn, status, reason := f.connect(user, target, header)
		if status != http.StatusOK {
			return fmt.Errorf("%s: %s", target, reason)
		}
		defer conn.Close()
		kubelet := tls.Client(conn, &tls.Config{RootCAs: f.pool(n.member.CAFile()), ServerName: n.Node})
		if err := kubelet.Handshake(); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		if got := kubelet.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "system:node:"+n.Node {
			return fmt.Errorf("%s: %q answers", target, got)
		}
	}
	return nil
}

func (f *federation) byCertificate(user string, nodes []*node) {
	for range 5 {
		for _, n := range nodes {
			if err := f.reaches(user, n); err != nil {
				f.Errorf("%s/%s: %v", n.member.Name(), n.Node, err)
			}
		}
	}
}

func (f *federation) byNoOther(user string) {
	const m1, m2 = "Koinon-Cluster: m1\r\n", "Koinon-Cluster: m2\r\n"
	for _, test := range []struct {
		target, header string
		status         int
	}{
		{"edge-2:10250", m2, http.StatusServiceUnavailable}, // who may reach kubelets hears that this one has no agent; as an address it is not for him
		{"edge:10250", m1, http.StatusServiceUnavailable},
		{"edge-11:10250", m1, http.StatusServiceUnavailable},
		{"1:10250", m1, http.StatusBadRequest},
		{sameAddress + ":10250", m1, http.StatusForbidden},
		{"127.0.0.1:10250", m1, http.StatusForbidden},
		{"edge-1:22", m1, http.StatusForbidden}, // another port of the node
		{"kubernetes.default.svc:443", m1, http.StatusForbidden},
		{"edge-1:10250", "", http.StatusBadRequest},
		{"edge-1:10250", "Koinon-Cluster: m\r\n", http.StatusNotFound},
		{"edge-1:10250", m1 + "Koinon-Node: edge-2\r\n", http.StatusForbidden},
		{"edge-1.m2." + suffix + ":10250", m1, http.StatusForbidden},
		{"edge-1.m1.m2." + suffix + ":10250", m2, http.StatusServiceUnavailable}, // the node edge-1.m1 of m2
		{"..:10250", m1, http.StatusBadRequest},
		{"edge-1/../edge-2:10250", m1, http.StatusBadRequest},
		{"edge-1%2e:10250", m1, http.StatusBadRequest},
		{"edge%2d1:10250", m1, http.StatusBadRequest},
		{"edge-1.:10250", m1, http.StatusBadRequest},
		{"edge-1..m1." + suffix + ":10250", "", http.StatusBadRequest},
		{"..%2fnodes%2fedge-1.m1." + suffix + ":10250", "", http.StatusBadRequest},
		{"edge-1@m2:10250", m1, http.StatusBadRequest},
	} {
		conn, status, reason := f.connect(user, test.target, test.header)
		if status == http.StatusOK {
			_ = conn.Close()
		}
		if status != test.status {
			f.Errorf("%s with %q: got %s, want %d", test.target, test.header, reason, test.status)
		}
	}
}

// byRight is refused to whom the API does not let, and to whose certificate is for another cluster.
func (f *federation) byRight(of2 *node) {
	const m1 = "Koinon-Cluster: m1\r\n"
	_, nobody := f.server.User(f, "nobody")
	if _, status, reason := f.connect(nobody, "edge-1:10250", m1); status != http.StatusForbidden || !strings.Contains(reason, "kubefedclusters/kubelets") {
		f.Errorf("without a right: got %s", reason)
	}
	_, only2 := f.server.User(f, "metrics-server-of-m2", "--tunnel-cluster=m2")
	if _, status, reason := f.connect(only2, "edge-1:10250", m1); status != http.StatusForbidden {
		f.Errorf("for another cluster: got %s", reason)
	}
	if err := f.reaches(only2, of2); err != nil {
		f.Error(err)
	}
}

// kubectl uses a pod on a node that the API server reaches by the example's EgressSelectorConfiguration.
func (f *federation) kubectl(n *node) {
	client := f.m1.Client(f)
	f.eventually("the account of the namespace", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	n.Run(f, client, "default", "there")
	if got := testbed.Kubectl(f, f.m1.Kubeconfig(), "exec", "there", "--", "sh", "-c", "echo from the edge"); !strings.Contains(got, "from the edge") {
		f.Errorf("exec: got %q", got)
	}
	if got := testbed.Kubectl(f, f.m1.Kubeconfig(), "logs", "there", requestTimeout); !strings.Contains(got, "default/there") {
		f.Errorf("logs: got %q", got)
	}
	f.eventually("a node without an agent is said to have none", func(context.Context) error {
		said := testbed.RunKubectl(f, f.m1.Kubeconfig(), "", "get", "--raw", "/api/v1/nodes/edge-9/proxy/metrics", requestTimeout)
		if said.Err == nil {
			return errors.New("it answers")
		}
		return nil
	})
}

func (f *federation) revoked(user string, nodes []*node) {
	one, other := nodes[0], nodes[1]
	_, said := testbed.Plugin(f, f.server.Kubeconfig(), "agent", one.member.Name(), "--node", one.Node, "--revoke")
	if !strings.Contains(said, `certificates of agents of node "edge-1" of cluster "m1"`) {
		f.Errorf("it said %s", said)
	}
	one.agent.AwaitOutput(f, "were revoked")
	f.eventually("it is not reached", func(context.Context) error {
		_, status, reason := f.connect(user, one.Node+".m1."+suffix+":10250", "")
		if status != http.StatusServiceUnavailable {
			return errors.New(reason)
		}
		return nil
	})
	for _, n := range []*node{other, nodes[2]} {
		if err := f.reaches(user, n); err != nil {
			f.Errorf("%s/%s: %v", n.member.Name(), n.Node, err)
		}
	}
	if got := testbed.Kubectl(f, f.server.Kubeconfig(), "get", "kubefedcluster", "m1", "-n", system, "-o", "jsonpath={.metadata.annotations}", requestTimeout); !strings.Contains(got, v1beta1.NodeAgentsRevokedAnnotation) {
		f.Errorf("its annotations are %s", got)
	}
	one.enrol(f)
	f.eventually("it is reached with a certificate of a later second", func(context.Context) error { // as times of revocation have seconds
		err := f.reaches(user, one)
		if err != nil && strings.Contains(one.agent.Output(f), "revoked") {
			one.enrol(f)
		}
		return err
	})
}
