// Package tunnel_test reaches a member that nobody can connect to: a real kube-apiserver whose KubeFedCluster has an address that
// answers nobody, a koinon-agent beside it, which has its certificate for a token of kubectl koinon agent, and a server with
// the component tunnel.
package tunnel_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// patience is how long anything may take before a test gives up. It is no assertion about speed.
	patience = testbed.Patience
	system   = "kube-federation-system"
	// requestTimeout is for every kubectl that would wait for ever otherwise.
	requestTimeout = "--request-timeout=60s"
	member         = "m1"
	// nowhere is an address that answers nobody (RFC 5737).
	nowhere = "https://192.0.2.1:6443"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// federation is a server with the tunnel, and a member that it cannot connect to.
type federation struct {
	*testing.T
	server *testbed.Koinon
	member *testbed.Cluster
	// kubeconfig is the administrator's, of the server or of the host that it is behind.
	kubeconfig string
	ours       versioned.Interface
	host       kubernetes.Interface
	proxied    string // a kubeconfig of the member, through the server
}

// startServer starts a server with the tunnel.
func startServer(t *testing.T, o testbed.KoinonOptions) *testbed.Koinon {
	t.Helper()
	o.Args = append(o.Args, "--components=all,tunnel", "--tunnel-port=0", "--tunnel-bind-address=127.0.0.1", "--connection-drain-timeout=0s")
	return testbed.StartKoinon(t, o)
}

// newFederation makes one of a server, or of one of several.
func newFederation(t *testing.T, server *testbed.Koinon) *federation {
	t.Helper()
	f := &federation{T: t, server: server, member: testbed.StartCluster(t, testbed.ClusterOptions{Name: member, Nodes: 1, Network: true})}
	f.kubeconfig = f.server.Kubeconfig()
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	if f.ours, err = versioned.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if f.host, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	f.join()
	f.proxied = testbed.ProxyKubeconfig(t, f.kubeconfig, "clusters/"+member)
	return f
}

// join makes a KubeFedCluster of the member, with all rights for the federation and its administrators.
func (f *federation) join() {
	f.Helper()
	client, ctx := f.member.Client(f), f.Context()
	if _, err := client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "koinon"}}, metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "koinon"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "koinon"},
			{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "koinon:administrators"},
			{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "host:system:masters"},
		},
	}, metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
	f.eventually("the Secret of the member", func(ctx context.Context) error {
		_, err := f.host.CoreV1().Secrets(system).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: member, Annotations: map[string]string{v1beta1.CredentialsForAnnotation: member}},
			Data:       map[string][]byte{v1beta1.KubeconfigKey: f.member.AccountAccess(f, "default", "koinon", nowhere)},
		}, metav1.CreateOptions{})
		return err
	})
	f.eventually("the KubeFedCluster", func(ctx context.Context) error { // behind a host, the API may come a moment after the server
		_, err := f.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, &v1beta1.KubeFedCluster{
			ObjectMeta: metav1.ObjectMeta{Name: member},
			Spec: v1beta1.KubeFedClusterSpec{
				APIEndpoint: nowhere, SecretRef: v1beta1.LocalSecretReference{Name: member}, Tunnel: v1beta1.TunnelAlways,
			},
		}, metav1.CreateOptions{})
		return err
	})
}

// reached waits until the member answers through the server.
func (f *federation) reached() {
	f.Helper()
	f.eventually("the member is reached", func(context.Context) error {
		return testbed.RunKubectl(f, f.proxied, "", "get", "--raw", "/version", requestTimeout).Err
	})
}

// eventually tries until check succeeds.
func (f *federation) eventually(what string, check func(ctx context.Context) error) {
	f.Helper()
	testbed.Eventually(f, what, check)
}

// is waits until a condition of the member is true, and its message has what is wanted.
func (f *federation) is(condition v1beta1.ClusterConditionType, message string) {
	f.Helper()
	f.eventually(string(condition), func(ctx context.Context) error {
		cluster, err := f.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Get(ctx, member, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range cluster.Status.Conditions {
			if c.Type == condition && c.Status == corev1.ConditionTrue && (message == "" || c.Message != nil && strings.Contains(*c.Message, message)) {
				return nil
			}
		}
		return fmt.Errorf("got %+v", cluster.Status.Conditions)
	})
}

// agentNamespace is where the manifest has the agents.
const agentNamespace = "koinon-agent"

// enrolment is what a manifest has for agents, which run beside the member and not in pods.
type enrolment struct {
	args   []string
	tokens map[string]string // by replica
}

// replica is the name of a pod.
func replica(n int) string { return fmt.Sprintf("koinon-agent-%d", n) }

// enrol runs kubectl koinon agent.
func (f *federation) enrol(args ...string) enrolment {
	f.Helper()
	manifest, said := testbed.Plugin(f, f.kubeconfig, append([]string{"agent", member, "--image=registry.example/koinon-agent:v1"}, args...)...)
	if said != "" {
		f.Fatalf("kubectl koinon agent said %s", said)
	}
	return f.apply(manifest)
}

// apply applies a manifest: a real API server takes all of it.
func (f *federation) apply(manifest string) enrolment {
	f.Helper()
	testbed.KubectlStdin(f, f.member.Kubeconfig(), manifest, "apply", "-f", "-", requestTimeout)
	e := enrolment{tokens: map[string]string{}}
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var secret corev1.Secret
		var set appsv1.StatefulSet
		for _, into := range []any{&secret, &set} {
			if err := yaml.Unmarshal([]byte(document), into); err != nil {
				f.Fatal(err)
			}
		}
		switch {
		case secret.Kind == "Secret":
			maps.Copy(e.tokens, secret.StringData)
		case set.Kind == "StatefulSet":
			e.args = set.Spec.Template.Spec.Containers[0].Args
		}
	}
	return e
}

// pod is what a replica of the StatefulSet finds where it runs: its environment, and a directory for the files of its account.
func (f *federation) pod() (env []string, account string) {
	f.Helper()
	at, err := url.Parse(f.member.Server())
	if err != nil {
		f.Fatal(err)
	}
	ca, err := os.ReadFile(f.member.CAFile())
	if err != nil {
		f.Fatal(err)
	}
	token, err := f.member.Client(f).CoreV1().ServiceAccounts(agentNamespace).CreateToken(f.Context(), "koinon-agent", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	account = f.files(map[string]string{"token": token.Status.Token, "ca.crt": string(ca), "namespace": agentNamespace})
	return []string{"KUBERNETES_SERVICE_HOST=" + at.Hostname(), "KUBERNETES_SERVICE_PORT=" + at.Port()}, account
}

// files writes files to a directory of their own.
func (f *federation) files(texts map[string]string) (dir string) {
	f.Helper()
	dir = f.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	return dir
}

// startAgent runs a replica beside the member, with the arguments and the rights that the manifest gives it. Of what it has in env
// the last counts.
func (f *federation) startAgent(e enrolment, n int, env ...string) *testbed.Agent {
	f.Helper()
	inPod, account := f.pod()
	there := strings.NewReplacer("$(POD_NAME)", replica(n), "/etc/koinon-agent", f.files(e.tokens), "=:8133", "=127.0.0.1:0")
	args := []string{"--account-dir=" + account}
	for _, arg := range e.args {
		args = append(args, there.Replace(arg))
	}
	return testbed.RunAgent(f, args, slices.Concat(inPod, env)...)
}
