package proxy_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

// following is an informer of one namespace of a member, through the proxy.
type following struct {
	*place
	ns     string
	lister corev1listers.ConfigMapNamespaceLister
}

func (p *place) follow(ns string) *following {
	p.Helper()
	factory := informers.NewSharedInformerFactoryWithOptions(p.client(p.proxied), 0, informers.WithNamespace(ns))
	configMaps := factory.Core().V1().ConfigMaps()
	configMaps.Informer()
	ctx, stop := context.WithCancel(p.Context())
	factory.Start(ctx.Done())
	p.Cleanup(func() { stop(); factory.Shutdown() })
	factory.WaitForCacheSync(ctx.Done())
	return &following{p, ns, configMaps.Lister().ConfigMaps(ns)}
}

// sees makes an object in the member and waits until the informer has it.
func (f *following) sees(name string) {
	f.Helper()
	f.make(name)
	f.eventually("the informer has "+name, func(context.Context) error {
		_, err := f.lister.Get(name)
		return err
	})
}

func (f *following) make(name string) {
	f.Helper()
	_, err := f.client(f.direct).CoreV1().ConfigMaps(f.ns).Create(f.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
}

// ownPlace is a server and a member that belong to one test.
func ownPlace(t *testing.T) (*place, *testbed.Koinon) {
	t.Helper()
	member := testbed.StartCluster(t, testbed.ClusterOptions{Name: memberName})
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{})
	p := &place{T: t, member: member, server: koinon.RESTConfig(t), kubeconfig: koinon.Kubeconfig(), direct: member.Kubeconfig()}
	join(t, p.server, member, "")
	p.proxied = p.through(p.kubeconfig, memberName)
	p.isServed()
	return p, koinon
}

func TestAnInformerThroughTheProxyOutlivesWhateverIsRestarted(t *testing.T) {
	p, koinon := ownPlace(t)
	ns := p.namespace()
	informer := p.follow(ns)
	informer.sees("at-first")

	koinon.Kill9(t)
	informer.make("while-the-server-was-away")
	koinon.Start(t)
	informer.sees("after-the-server")
	if _, err := informer.lister.Get("while-the-server-was-away"); err != nil {
		t.Error(err)
	}

	p.member.Kill(t, testbed.APIServer)
	_, err := p.client(p.proxied).CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{TimeoutSeconds: new(int64)})
	seconds, retry := apierrors.SuggestsClientDelay(err)
	if want := `cluster "m1" does not answer`; !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), want) || !retry {
		t.Errorf("a member that is away: got %v (retry %v after %d s), want %q", err, retry, seconds, want)
	}
	p.member.Start(t)
	informer.sees("after-the-member")

	p.rotate(t)
	informer.sees("after-the-credential")
	if who := testbed.Kubectl(t, p.proxied, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", requestTimeout); strings.Contains(who, "serviceaccount") {
		t.Errorf("the member sees %q", who)
	}
}

// rotate gives the federation another account in the member, and takes the old one away.
func (p *place) rotate(t *testing.T) {
	t.Helper()
	inMember := p.member.Client(t)
	if _, err := inMember.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "koinon-next"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bind(t, inMember, "koinon-next", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "koinon-next"})
	host, err := kubernetes.NewForConfig(p.server)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := host.CoreV1().Secrets(system).Get(t.Context(), memberName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data[v1beta1.KubeconfigKey] = p.member.AccountAccess(t, "default", "koinon-next", "")
	if _, err := host.CoreV1().Secrets(system).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := inMember.CoreV1().ServiceAccounts("default").Delete(t.Context(), "koinon", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// The member believes a token for some seconds after its account has gone.
	p.eventually("the new account is used", func(ctx context.Context) error {
		_, err := p.client(p.proxied).CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
}

func TestAnExecEndsWithWhatCarriesIt(t *testing.T) {
	p, koinon := ownPlace(t)
	ns := p.namespace()
	kubelet := testbed.StartKubelet(t, p.member, "node")
	kubelet.Run(t, p.client(p.direct), ns, "talks")
	for name, cut := range map[string]func(){
		"the credential is replaced": func() { p.rotate(t) },
		"the server is killed":       func() { koinon.Kill9(t) },
	} {
		exec := p.begin(p.proxied, nil, "exec", "-i", "-n", ns, "talks", "--", "sh", "-c", "echo begun; cat")
		exec.await("begun\n")
		cut()
		if _, ended := exec.ends(); !ended { // with 0 or 1: kubectl takes a connection that breaks for either, directly too
			t.Errorf("%s: kubectl exec goes on", name)
		}
		if name == "the server is killed" {
			koinon.Start(t)
		}
	}
}
