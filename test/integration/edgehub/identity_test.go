package edgehub_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
	"github.com/koinon-io/koinon/pkg/keypair"
	"github.com/koinon-io/koinon/test/testbed"
)

// joinable is a cluster that nodes join as those of kubeadm: with bootstrap tokens, and requests that are approved by themselves.
type joinable struct {
	*testbed.Cluster
	client kubernetes.Interface
}

func newJoinable(t *testing.T) *joinable {
	t.Helper()
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "joined", APIServerArgs: []string{"--enable-bootstrap-token-auth"}})
	j := &joinable{cluster, kubernetes.NewForConfigOrDie(cluster.RESTConfig(t))}
	for role, group := range map[string]string{
		"system:node-bootstrapper": "system:bootstrappers",
		"system:certificates.k8s.io:certificatesigningrequests:nodeclient":     "system:bootstrappers",
		"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": "system:nodes",
	} {
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "join-"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
		}
		if _, err := j.client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	j.signRequests(t)
	return j
}

// ca reads the cluster's authority, with its key.
func (j *joinable) ca(t *testing.T) (pair keypair.Pair, keyFile string) {
	t.Helper()
	keyFile = strings.TrimSuffix(j.CAFile(), ".crt") + ".key"
	certificate, err := os.ReadFile(j.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if pair, err = keypair.ParsePair(certificate, key); err != nil {
		t.Fatal(err)
	}
	return pair, keyFile
}

// signRequests runs another kube-controller-manager, of the controllers that clusters of tests do without.
func (j *joinable) signRequests(t *testing.T) {
	t.Helper()
	binary, err := testbed.Binary("kube-controller-manager")
	if err != nil {
		t.Fatal(err)
	}
	_, key := j.ca(t)
	said := &bytes.Buffer{}
	command := exec.Command(binary, "--kubeconfig="+j.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
		"--controllers=certificatesigningrequest-approving-controller,certificatesigningrequest-signing-controller",
		"--cluster-signing-cert-file="+j.CAFile(), "--cluster-signing-key-file="+key)
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("kube-controller-manager:\n%s", said)
		}
	})
}

// token makes a bootstrap token.
func (j *joinable) token(t *testing.T, id string) string {
	t.Helper()
	const secret = "0123456789abcdef"
	_, err := j.client.CoreV1().Secrets("kube-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id}, Type: corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true"},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return id + "." + secret
}

// edgeNode is a node of which nothing runs but what it is known by.
type edgeNode struct {
	t       *testing.T
	cluster *joinable
	config  identity.Config

	identity *identity.Identity
	node     http.RoundTripper
	stop     func()
}

func (j *joinable) newNode(t *testing.T, name, token string) *edgeNode {
	t.Helper()
	dir := t.TempDir()
	n := &edgeNode{t: t, cluster: j, config: identity.Config{
		Dir: filepath.Join(dir, "identity"), NodeName: name, TokenFile: filepath.Join(dir, "token"), CAFile: j.CAFile(), Logger: slog.New(slog.DiscardHandler),
	}}
	n.setToken(token)
	return n
}

func (n *edgeNode) setToken(token string) {
	n.t.Helper()
	if err := os.WriteFile(n.config.TokenFile, []byte(token), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// start runs it, as the hub will.
func (n *edgeNode) start() {
	n.t.Helper()
	var err error
	if n.identity, err = identity.Open(n.config); err != nil {
		n.t.Fatal(err)
	}
	servers, err := upstream.New(upstream.Config{Servers: []upstream.Server{{URL: n.cluster.Server()}}, CAs: n.identity.CAs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		n.t.Fatal(err)
	}
	n.node = servers.Transport(upstream.Certificate(n.identity.Certificate))
	ways := identity.Ways{Node: n.node, Next: servers.Transport(upstream.Certificate(n.identity.Next)), Bootstrap: servers.Transport(upstream.Token(n.identity.Token))}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { servers.Run(ctx) })
	running.Go(func() { n.identity.Run(ctx, ways) })
	n.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	n.t.Cleanup(n.stop)
}

// ask makes a request as the node.
func (n *edgeNode) ask(method, path, body string) (int, string) {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := n.node.RoundTrip(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// joins waits until it has a certificate that is good.
func (n *edgeNode) joins() {
	n.t.Helper()
	testbed.Eventually(n.t, "the node has a certificate", func(context.Context) error {
		s := n.identity.Status()
		if s.Err == nil && !s.NotAfter.After(time.Now()) {
			return errors.New("it has ended")
		}
		return s.Err
	})
}

// isItself checks that the API server takes it for the node that it is, and for no more.
func (n *edgeNode) isItself() {
	n.t.Helper()
	own := "/api/v1/nodes/" + n.config.NodeName
	if code, text := n.ask(http.MethodGet, own, ""); code == http.StatusNotFound {
		if code, text := n.ask(http.MethodPost, "/api/v1/nodes", fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":%q}}`, n.config.NodeName)); code != http.StatusCreated {
			n.t.Errorf("register: %d %s", code, text)
		}
	} else if code != http.StatusOK {
		n.t.Errorf("its own node: %d %s", code, text)
	}
	if code, text := n.ask(http.MethodGet, own, ""); code != http.StatusOK || !strings.Contains(text, n.config.NodeName) {
		n.t.Errorf("its own node: %d %s", code, text)
	}
	for _, path := range []string{"/api/v1/secrets", "/api/v1/nodes/another-node"} {
		if code, text := n.ask(http.MethodGet, path, ""); code != http.StatusForbidden {
			n.t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

// held is the certificate that it has on its disk.
func (n *edgeNode) held() string {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.config.Dir, "node.pem"))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// says waits until its status says something.
func (n *edgeNode) says(want string) {
	n.t.Helper()
	testbed.Eventually(n.t, "the status says "+want, func(context.Context) error {
		if err := n.identity.Status().Err; err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
}

func TestANodeComesByItsCertificateAndKeepsIt(t *testing.T) {
	cluster := newJoinable(t)
	t.Run("with a bootstrap token", func(t *testing.T) {
		t.Parallel()
		n := cluster.newNode(t, "with-token", cluster.token(t, "aaaaaa"))
		n.start()
		n.joins()
		n.isItself()
		n.stop()
		_ = os.Remove(n.config.TokenFile)
		n.start()
		n.joins()
		n.isItself()
	})
	t.Run("with itself when it is due", func(t *testing.T) {
		t.Parallel()
		n := cluster.newNode(t, "renewed", cluster.token(t, "bbbbbb"))
		n.start()
		n.joins()
		first := n.identity.Status()
		held := n.held()
		n.stop()
		_ = os.Remove(n.config.TokenFile)
		n.config.Now = func() time.Time { return first.RenewAt.Add(time.Hour) }
		n.start()
		testbed.Eventually(t, "another certificate", func(context.Context) error {
			if n.held() == held { // two of one second end together
				return fmt.Errorf("it has that of before: %+v", n.identity.Status())
			}
			return nil
		})
		n.isItself()
	})
	t.Run("with a token that is refused and then with another", func(t *testing.T) {
		t.Parallel()
		n := cluster.newNode(t, "refused", "cccccc.0123456789abcdef")
		n.start()
		n.says("the bootstrap token cccccc was refused: it is wrong, or has expired")
		n.setToken(cluster.token(t, "dddddd"))
		n.joins()
		n.isItself()
	})
	t.Run("with a new token after it has ended", func(t *testing.T) {
		t.Parallel()
		n := cluster.newNode(t, "ended", "")
		n.giveEnded()
		n.start()
		n.says(`the certificate of the node "ended" is good from `)
		n.says("and there is no bootstrap token: ")
		n.setToken(cluster.token(t, "eeeeee"))
		n.joins()
		n.isItself()
	})
	t.Run("and learns the authorities that the cluster publishes", func(t *testing.T) {
		t.Parallel()
		cluster.letNodesReadAuthorities(t)
		n := cluster.newNode(t, "learning", cluster.token(t, "ffffff"))
		n.start()
		n.joins()
		testbed.Eventually(t, "the authorities are kept", func(context.Context) error {
			got, err := os.ReadFile(filepath.Join(n.config.Dir, "ca.crt"))
			if err != nil {
				return err
			}
			if want, _ := os.ReadFile(cluster.CAFile()); !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			return nil
		})
		n.stop()
		n.config.CAFile = ""
		n.start()
		n.isItself()
	})
}

// giveEnded gives it a certificate that has ended.
func (n *edgeNode) giveEnded() {
	n.t.Helper()
	ca, _ := n.cluster.ca(n.t)
	pair, err := ca.Issue(keypair.Leaf{
		Subject: pkix.Name{CommonName: "system:node:" + n.config.NodeName, Organization: []string{"system:nodes"}},
		Usages:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Lifetime: time.Hour,
	}, time.Now().Add(-24*time.Hour))
	if err != nil {
		n.t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.MkdirAll(n.config.Dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.config.Dir, "node.pem"), append(pair.CertificatePEM(), key...), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// letNodesReadAuthorities does what the cloud's side is to do.
func (j *joinable) letNodesReadAuthorities(t *testing.T) {
	t.Helper()
	const name, namespace = "edge-authorities", "kube-public"
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"kube-root-ca.crt"}, Verbs: []string{"get"},
	}}}
	if _, err := j.client.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:nodes"}},
	}
	if _, err := j.client.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The publisher and the authorizer take their time.
	testbed.Eventually(t, "they are published, and may be read", func(ctx context.Context) error {
		_, err := j.client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
}
