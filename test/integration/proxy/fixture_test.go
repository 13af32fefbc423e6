// Package proxy_test reaches members through clusters/NAME/proxy with the real kubectl: real
// kube-apiservers are the members, a server that runs alone and one behind the aggregator of a real
// host carry the requests on, and exec, attach and port-forward come from Kubernetes' own library.
package proxy_test

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

const (
	patience = testbed.Patience
	system   = "kube-federation-system"
	// requestTimeout is for every kubectl that would wait for ever otherwise.
	requestTimeout = "--request-timeout=60s"
	memberName     = "m1"
	// nowhere is an endpoint that answers nobody (RFC 5737).
	nowhere = "https://192.0.2.1:6443"
)

var (
	sharedMember = testbed.SharedCluster(testbed.ClusterOptions{Name: memberName, Nodes: 1, Network: true})
	sharedHost   = testbed.SharedCluster(testbed.ClusterOptions{Name: "host"})
	alone        = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) { return testbed.KoinonOptions{}, nil })
	hostConfig   string
	behind       = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) {
		return testbed.KoinonOptions{HostKubeconfig: hostConfig, Args: []string{"--connection-drain-timeout=0s"}}, nil
	})
	// What is reached through a tunnel, by an agent that a proxy of HTTP is in front of.
	tunnelled = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) {
		return testbed.KoinonOptions{Args: slices.Concat(withTunnel, []string{"--tunnel-advertise-address=koinon.example"})}, nil
	})
	sharedProxy  = testbed.SharedHTTPProxy()
	agentOptions testbed.AgentOptions
	agent        = testbed.SharedAgent(func() (testbed.AgentOptions, error) { return agentOptions, nil })
)

// withTunnel are arguments of a server with a tunnel.
var withTunnel = []string{"--components=all,tunnel", "--tunnel-port=0", "--tunnel-bind-address=127.0.0.1", "--connection-drain-timeout=0s"}

func TestMain(m *testing.M) { testbed.Main(m) }

// place is a server of ours, and the member that it has joined.
type place struct {
	*testing.T
	// name is one word in lower case, which is another for each place: a part of names of what is made.
	name   string
	member *testbed.Cluster
	// server is the access of the administrator, through the host if there is one.
	server *rest.Config
	// direct and proxied are kubeconfigs of the member, as its administrator and as ours.
	direct, proxied string
	// kubeconfig is that of server.
	kubeconfig string
	// hosted says that there is a host.
	hosted bool
}

// places runs a test with a server that runs alone, with one behind a host, and with one that reaches the member through
// its agent and in no other way.
func places(t *testing.T, test func(p *place)) {
	t.Run("alone", func(t *testing.T) { test(standalone(t)) })
	t.Run("behind a host", func(t *testing.T) { test(aggregated(t)) })
	t.Run("through a tunnel", func(t *testing.T) { test(throughTunnel(t)) })
}

// placesAtOnce is places for a test that waits more than it works, and makes nothing in the member that has the same name
// for two places.
func placesAtOnce(t *testing.T, test func(p *place)) {
	places(t, func(p *place) {
		p.Parallel()
		test(p)
	})
}

func standalone(t *testing.T) *place {
	t.Helper()
	server := alone.Get(t)
	return newPlace(t, "alone", server.RESTConfig(t), server.Kubeconfig())
}

func aggregated(t *testing.T) *place {
	t.Helper()
	host := sharedHost.Get(t)
	hostConfig = host.Kubeconfig()
	behind.Get(t)
	p := newPlace(t, "hosted", host.RESTConfig(t), host.Kubeconfig())
	p.hosted = true
	return p
}

func throughTunnel(t *testing.T) *place {
	t.Helper()
	server, proxy := tunnelled.Get(t), sharedProxy.Get(t)
	p := joined(t, "tunnelled", server.RESTConfig(t), server.Kubeconfig(), nowhere)
	agentOptions = testbed.AgentOptions{Kubeconfig: p.kubeconfig, Member: p.member, Env: []string{"HTTPS_PROXY=" + proxy.URL()}}
	agent.Get(t)
	p.isServed()
	if proxy.Carried() == 0 {
		t.Error("the agent did not use the proxy")
	}
	return p
}

func newPlace(t *testing.T, name string, server *rest.Config, kubeconfig string) *place {
	t.Helper()
	p := joined(t, name, server, kubeconfig, "")
	p.isServed()
	return p
}

// joined is a place whose member may not be reached yet.
func joined(t *testing.T, name string, server *rest.Config, kubeconfig, endpoint string) *place {
	t.Helper()
	p := &place{T: t, name: name, member: sharedMember.Get(t), server: server, kubeconfig: kubeconfig}
	p.direct = p.member.Kubeconfig()
	join(t, server, p.member, endpoint)
	p.proxied = p.through(kubeconfig, memberName)
	return p
}

// isServed waits until requests reach the member.
func (p *place) isServed() {
	p.Helper()
	p.eventually("the member is served", func(ctx context.Context) error {
		_, err := p.client(p.proxied).CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// through writes a kubeconfig that reaches a member through the server that another one reaches.
func (p *place) through(kubeconfig, member string) string {
	p.Helper()
	return testbed.ProxyKubeconfig(p, kubeconfig, "clusters/"+member)
}

func (p *place) client(kubeconfig string) kubernetes.Interface {
	p.Helper()
	client, err := kubernetes.NewForConfig(p.config(kubeconfig))
	if err != nil {
		p.Fatal(err)
	}
	return client
}

func (p *place) config(kubeconfig string) *rest.Config {
	p.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		p.Fatal(err)
	}
	config.QPS = -1
	return config
}

// namespace makes a namespace of the member for one test.
func (p *place) namespace() string {
	p.Helper()
	client := p.client(p.direct)
	made, err := client.CoreV1().Namespaces().Create(p.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "proxied-"}}, metav1.CreateOptions{})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.WithoutCancel(p.Context()), made.Name, metav1.DeleteOptions{}); err != nil {
			p.Error(err)
		}
	})
	p.eventually("the account of the namespace", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(made.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return made.Name
}

// eventually tries until check succeeds.
func (p *place) eventually(what string, check func(ctx context.Context) error) {
	p.Helper()
	testbed.Eventually(p, what, check)
}

// join makes a member of a cluster: an account with all rights in it, and rights for the
// administrators of our server, by the name that they have there. One that is given an endpoint is reached through its agent;
// who has joined stays as he is.
func join(t *testing.T, server *rest.Config, member *testbed.Cluster, endpoint string) {
	t.Helper()
	ctx := t.Context()
	inMember := member.Client(t)
	ignoreExisting(t, func() error {
		_, err := inMember.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "koinon"}}, metav1.CreateOptions{})
		return err
	})
	bind(t, inMember, "koinon", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "koinon"})
	for _, group := range []string{"koinon:administrators", "host:system:masters"} {
		bind(t, inMember, group, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group})
	}
	host, err := kubernetes.NewForConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := versioned.NewForConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	ignoreExisting(t, func() error {
		_, err := host.CoreV1().Secrets(system).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: member.Name(), Annotations: map[string]string{v1beta1.CredentialsForAnnotation: member.Name()}},
			Data:       map[string][]byte{v1beta1.KubeconfigKey: member.AccountAccess(t, "default", "koinon", endpoint)},
		}, metav1.CreateOptions{})
		return err
	})
	spec := v1beta1.KubeFedClusterSpec{APIEndpoint: member.Server(), SecretRef: v1beta1.LocalSecretReference{Name: member.Name()}}
	if endpoint != "" {
		spec.APIEndpoint, spec.Tunnel = endpoint, v1beta1.TunnelAlways
	}
	ignoreExisting(t, func() error {
		_, err := ours.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, &v1beta1.KubeFedCluster{
			ObjectMeta: metav1.ObjectMeta{Name: member.Name()}, Spec: spec,
		}, metav1.CreateOptions{})
		return err
	})
}

func bind(t *testing.T, client kubernetes.Interface, name string, subject rbacv1.Subject) {
	t.Helper()
	ignoreExisting(t, func() error {
		_, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{subject},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		}, metav1.CreateOptions{})
		return err
	})
}

// allow gives a group rights at our server.
func (p *place) allow(group string, rules ...rbacv1.PolicyRule) {
	p.Helper()
	client, err := kubernetes.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	ignoreExisting(p.T, func() error {
		_, err := client.RbacV1().ClusterRoles().Create(p.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: group}, Rules: rules}, metav1.CreateOptions{})
		return err
	})
	ignoreExisting(p.T, func() error {
		_, err := client.RbacV1().ClusterRoleBindings().Create(p.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: group}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: group},
		}, metav1.CreateOptions{})
		return err
	})
}

func ignoreExisting(t *testing.T, create func() error) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		err := create()
		// Behind a host the API may come a moment after the server.
		if apierrors.IsServiceUnavailable(err) || apierrors.IsNotFound(err) {
			return false, nil
		}
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
		return true, err
	})
	if err != nil {
		t.Fatal(err)
	}
}
