package doors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	koinonfake "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
	koinoninformers "github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
	"github.com/koinon-io/koinon/pkg/keypair"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

const system = "kube-federation-system"

// fixture has doors open to agents of m1 and of its node n1, for KubeFedClusters in a fake API.
type fixture struct {
	*testing.T
	client  *koinonfake.Clientset
	dir     string
	proxy   string
	users   keypair.Pair
	serving *tunneltest.Authority
	target  string

	end    func() // of the process: SIGTERM
	ended  chan struct{}
	server *tunneltest.Replica

	mu     sync.Mutex
	asked  int                                                         // guarded by mu
	review func(authorizationv1.SubjectAccessReviewSpec) (bool, error) // guarded by mu
}

func newFixture(t *testing.T, configure func(*Config)) *fixture {
	t.Helper()
	users, err := keypair.NewAuthority("users", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	fx := &fixture{T: t, client: koinonfake.NewSimpleClientset(), dir: filepath.Join(tunneltest.SocketDir(t), "d"), users: users, serving: tunneltest.NewAuthority(t), ended: make(chan struct{})}
	fx.server = tunneltest.Serve(t, "", server.Config{ID: "a", TLS: fx.serving.ServerTLS()})
	fx.target = tunneltest.Target(t, "target")
	for _, name := range []tunnel.Name{{Cluster: "m1"}, {Cluster: "m1", Node: "n1"}} {
		words, err := agent.NewPolicy(map[string]string{tunnel.APIServer: fx.target, tunnel.Kubelet: fx.target}, fx.target)
		if err != nil {
			t.Fatal(err)
		}
		tunneltest.Run(t, agent.Config{Servers: []string{fx.server.Address}, TLS: fx.serving.AgentTLS(name), Policy: words})
		tunneltest.Linked(t, fx.server, name, 1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fx.proxy = listener.Addr().String()
	directory, err := OpenDirectory(fx.dir)
	if err != nil {
		t.Fatal(err)
	}
	pool := ClientCAs(func() ([]byte, error) { return users.CertificatePEM(), nil })
	config := Config{Sockets: directory, Proxy: listener, Drain: tunneltest.Patience, TLS: func() (*tls.Config, error) {
		serving, err := fx.serving.ServerTLS()()
		if err != nil {
			return nil, err
		}
		serving.ClientCAs, err = pool()
		return serving, err
	}}
	if configure != nil {
		configure(&config)
	}
	fx.run(config)
	return fx
}

// run has the doors open until the test ends.
func (fx *fixture) run(config Config) {
	fx.Helper()
	doors, err := New(config)
	if err != nil {
		fx.Fatal(err)
	}
	doors.remembered = 0
	native := fake.NewClientset()
	native.PrependReactor("create", "subjectaccessreviews", fx.answer)
	ctx, cancel := context.WithCancel(fx.Context())
	ending, end := context.WithCancel(ctx)
	members := koinoninformers.NewSharedInformerFactory(fx.client, 0).KubeFedCore().V1beta1().KubeFedClusters().Informer()
	var running sync.WaitGroup
	running.Go(func() { members.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), members.HasSynced) {
		fx.Fatal("KubeFedClusters are not listed")
	}
	fx.end = end
	go func() {
		defer close(fx.ended)
		err := doors.Run(ctx, ending, Parts{Server: fx.server, Members: members, Namespace: system, Reviews: native.AuthorizationV1().SubjectAccessReviews()})
		if err != nil {
			fx.Error(err)
		}
	}()
	fx.Cleanup(func() {
		cancel()
		<-fx.ended
		running.Wait()
	})
}

// answer is the API's to a review.
func (fx *fixture) answer(action clienttesting.Action) (bool, runtime.Object, error) {
	review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
	fx.mu.Lock()
	defer fx.mu.Unlock()
	fx.asked++
	if fx.review == nil {
		review.Status.Allowed = true
		return true, review, nil
	}
	var err error
	review.Status.Allowed, err = fx.review(review.Spec)
	return true, review, err
}

func (fx *fixture) reviews(review func(authorizationv1.SubjectAccessReviewSpec) (bool, error)) {
	fx.mu.Lock()
	defer fx.mu.Unlock()
	fx.review = review
}

// reviewed is how often the API was asked.
func (fx *fixture) reviewed() int {
	fx.mu.Lock()
	defer fx.mu.Unlock()
	return fx.asked
}

func (fx *fixture) join(name string, labels map[string]string) {
	fx.Helper()
	cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name, Labels: labels}}
	if _, err := fx.client.KubeFedCoreV1beta1().KubeFedClusters(system).Create(fx.Context(), cluster, metav1.CreateOptions{}); err != nil {
		fx.Fatal(err)
	}
}

func (fx *fixture) leave(name string) {
	fx.Helper()
	if err := fx.client.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(fx.Context(), name, metav1.DeleteOptions{}); err != nil {
		fx.Fatal(err)
	}
}

// has waits until there are these sockets and no others.
func (fx *fixture) has(want ...string) {
	fx.Helper()
	tunneltest.Eventually(fx.T, fmt.Sprintf("the sockets are %q", want), func() bool {
		got, err := filepath.Glob(filepath.Join(fx.dir, "*.sock"))
		if err != nil || len(got) != len(want) {
			return false
		}
		for i, path := range got {
			if filepath.Base(path) != want[i] {
				return false
			}
		}
		return true
	})
}

// bySocket connects through a cluster's socket.
func (fx *fixture) bySocket(cluster, target string) (net.Conn, error) {
	conn, err := net.Dial("unix", filepath.Join(fx.dir, cluster+".sock"))
	if err != nil {
		return nil, err
	}
	return connect(conn, target, "")
}

// as connects through the port with the certificate of a user.
func (fx *fixture) as(user keypair.Leaf, target, header string) (net.Conn, error) {
	fx.Helper()
	user.Usages, user.Lifetime = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, time.Hour
	pair, err := fx.users.Issue(user, time.Now())
	if err != nil {
		fx.Fatal(err)
	}
	conn, err := tls.Dial("tcp", fx.proxy, &tls.Config{
		RootCAs: fx.serving.Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{pair.Certificate.Raw}, PrivateKey: pair.Key}},
	})
	if err != nil {
		return nil, err
	}
	return connect(conn, target, header)
}

func named(name string, groups ...string) keypair.Leaf {
	return keypair.Leaf{Subject: pkix.Name{CommonName: name, Organization: groups}}
}

// connect asks for a target. The error is what the proxy answers.
func connect(conn net.Conn, target, header string) (net.Conn, error) {
	var headers []string
	if header != "" {
		headers = strings.Split(header, "\r\n")
	}
	status, _, answer, err := tunneltest.Connect(conn, target, headers...)
	if err == nil && status != http.StatusOK {
		err = errors.New(answer.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// works says whether a connection carries.
func works(conn net.Conn) error {
	if _, err := io.WriteString(conn, "!"); err != nil {
		return err
	}
	got := make([]byte, len("target!"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "target!" {
		return fmt.Errorf("got %q: %w", got, err)
	}
	return nil
}

func TestSocketsComeAndGoWithClusters(t *testing.T) {
	fx := newFixture(t, func(c *Config) {
		// What a process has left that was killed.
		for _, name := range []string{"gone.sock", "gone.grpc.sock"} {
			listener, err := net.Listen("unix", filepath.Join(c.Sockets.path, name))
			if err != nil {
				t.Fatal(err)
			}
			listener.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = listener.Close()
		}
	})
	fx.has()
	if _, err := OpenDirectory(fx.dir); err == nil || !strings.Contains(err.Error(), "another process has it") {
		t.Errorf("a second process: got %v", err)
	}
	fx.join("m1", nil)
	fx.join("m1.grpc", nil) // whose socket would be that of m1 for gRPC
	fx.join("cell", map[string]string{v1alpha1.TopologyLabel: "Cell"})
	fx.join(strings.Repeat("long", 40), nil)
	fx.join("m2", nil)
	fx.has("m1.grpc.sock", "m1.sock", "m2.grpc.sock", "m2.sock")
	if found, err := os.Stat(filepath.Join(fx.dir, "m1.sock")); err != nil || found.Mode().Perm() != 0o660 {
		t.Errorf("got %v: %v", found, err)
	}
	conn, err := fx.bySocket("m1", fx.target)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for target, want := range map[string]string{
		"127.0.0.1:1":        "403 ",
		"n2.example.com:443": "403 ",
	} {
		if _, err := fx.bySocket("m1", target); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v", target, err)
		}
	}
	if _, err := fx.bySocket("m2", fx.target); err == nil || !strings.HasPrefix(err.Error(), "503 ") {
		t.Errorf("without an agent: got %v", err)
	}
	fx.leave("m1")
	fx.has("m2.grpc.sock", "m2.sock")
	if err := works(conn); err != nil {
		t.Errorf("what is carried was cut: %v", err)
	}
	if fx.reviewed() > 0 {
		t.Error("the API was asked about clients of sockets")
	}
}

func TestUsersMayWhatTheAPISays(t *testing.T) {
	fx := newFixture(t, func(c *Config) { c.Suffix = "tunnel.test" })
	fx.join("m1", nil)
	fx.has("m1.grpc.sock", "m1.sock")
	allow := func(verb, subresource, name string) func(authorizationv1.SubjectAccessReviewSpec) (bool, error) {
		return func(spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
			a := spec.ResourceAttributes
			return spec.User == "alice" && strings.Join(spec.Groups, " ") == "g system:authenticated" && a.Group == "core.kubefed.io" && a.Resource == "kubefedclusters" &&
				a.Namespace == system && a.Verb == verb && a.Subresource == subresource && a.Name == name, nil
		}
	}
	m1 := keypair.Leaf{Subject: pkix.Name{CommonName: "alice", Organization: []string{"g"}}, URIs: []*url.URL{ClusterURI("m1")}}
	for _, test := range []struct {
		what   string
		user   keypair.Leaf
		target string
		header string
		right  [3]string
		want   string // empty: it is connected
	}{
		{what: "the API server, by a header", user: named("alice", "g"), target: "kubernetes.default.svc:443", header: "Koinon-Cluster: m1", right: [3]string{"get", "tunnel", "m1"}},
		{what: "the API server, by the user of the URL", user: named("alice", "g"), target: "kubernetes.default.svc:443", header: "Proxy-Authorization: Basic bTE6", right: [3]string{"get", "tunnel", "m1"}},
		{what: "the API server, by the host", user: named("alice", "g"), target: "m1.tunnel.test:443", right: [3]string{"get", "tunnel", "m1"}},
		{what: "the API server, by the certificate", user: m1, target: "kubernetes.default.svc:443", right: [3]string{"get", "tunnel", "m1"}},
		{what: "a kubelet", user: m1, target: "n1:10250", right: [3]string{"get", "kubelets", "m1"}},
		{what: "another address", user: m1, target: fx.target, right: [3]string{"create", "connections", "m1"}},
		{what: "the right for kubelets is none for the API server", user: named("alice", "g"), target: "m1.tunnel.test:443", right: [3]string{"get", "kubelets", "m1"},
			want: `403 cluster "m1": apiserver may not be reached by user:alice: the API does not allow get on kubefedclusters/tunnel`},
		{what: "the right for the API server is none for a node", user: m1, target: "n1:10250", right: [3]string{"get", "tunnel", "m1"}, want: `403 cluster "m1": n1:10250 may not be reached`},
		{what: "the right for another cluster", user: m1, target: "kubernetes.default.svc:443", right: [3]string{"get", "tunnel", "m"}, want: "403 "},
		{what: "another user", user: named("bob", "g"), target: "m1.tunnel.test:443", right: [3]string{"get", "tunnel", "m1"}, want: "403 "},
		{what: "without the group", user: named("alice"), target: "m1.tunnel.test:443", right: [3]string{"get", "tunnel", "m1"}, want: "403 "},
		{what: "a certificate for another cluster", user: m1, target: "m2.tunnel.test:443", right: [3]string{"get", "tunnel", "m2"}, want: `403 m2.tunnel.test is not in cluster "m1"`},
		{what: "a certificate that names nobody", user: named(""), target: "m1.tunnel.test:443", right: [3]string{"get", "tunnel", "m1"}, want: "403 the certificate of the client: it names no user"},
		{what: "a cluster that is not there, with the right", user: named("alice", "g"), target: "m3.tunnel.test:443", right: [3]string{"get", "tunnel", "m3"}, want: `404 there is no cluster "m3"`},
		{what: "a cluster that is not there, without", user: named("alice", "g"), target: "m3.tunnel.test:443", right: [3]string{"get", "tunnel", "m1"}, want: "403 "},
		{what: "no cluster", user: named("alice", "g"), target: "kubernetes.default.svc:443", right: [3]string{"get", "tunnel", "m1"}, want: "400 nothing says which cluster"},
	} {
		t.Run(test.what, func(t *testing.T) {
			fx.reviews(allow(test.right[0], test.right[1], test.right[2]))
			conn, err := fx.as(test.user, test.target, test.header)
			if err == nil {
				defer conn.Close()
				err = works(conn)
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)):
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whoever may not reach a node does not learn whether there is one, by the answer or by what is asked of the API.
func TestWhoMayNotReachANodeDoesNotLearnWhetherItHasAnAgent(t *testing.T) {
	fx := newFixture(t, func(c *Config) { c.Suffix = "tunnel.test" })
	fx.join("m1", nil)
	fx.has("m1.grpc.sock", "m1.sock")
	_, port, _ := net.SplitHostPort(fx.target)
	for _, form := range []struct {
		target, header string
		right          string // without which it is not reached
	}{
		{"NODE:10250", "Koinon-Cluster: m1", "kubelets"},
		{"NODE:" + port, "Koinon-Cluster: m1", "connections"},
		{"NODE.m1.tunnel.test:10250", "", "kubelets"},
		{"NODE.m1.tunnel.test:" + port, "", "connections"},
		{"NODE:10250", "Koinon-Cluster: m1\r\nKoinon-Node: NODE", "kubelets"},
		{"kubelet:10250", "Koinon-Cluster: m1\r\nKoinon-Node: NODE", "kubelets"},
		{fx.target, "Koinon-Cluster: m1\r\nKoinon-Node: NODE", "connections"},
	} {
		for _, rights := range []map[string]bool{{}, {"kubelets": true}, {"connections": true}, {"kubelets": true, "connections": true}} {
			fx.reviews(func(spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
				return rights[spec.ResourceAttributes.Subresource], nil
			})
			ask := func(node string) (answer string, asked int) {
				in := strings.NewReplacer("NODE", node)
				before := fx.reviewed()
				conn, err := fx.as(named("alice"), in.Replace(form.target), in.Replace(form.header))
				if err != nil {
					return strings.ReplaceAll(err.Error(), node, "NODE"), fx.reviewed() - before
				}
				defer conn.Close()
				if err := works(conn); err != nil {
					t.Error(err)
				}
				return "200", fx.reviewed() - before
			}
			with, askedWith := ask("n1")
			without, askedWithout := ask("n2")
			what := fmt.Sprintf("%s, %q, with the rights %v", form.target, form.header, rights)
			switch {
			case !rights[form.right] && (with != without || askedWith != askedWithout || !strings.HasPrefix(with, "403 ")):
				t.Errorf("%s: the answers are\n%s, after %d questions, for a node with an agent\n%s, after %d, for one without", what, with, askedWith, without, askedWithout)
			case rights[form.right] && (with != "200" || !strings.Contains(without, `no agent of it is connected`) && !strings.Contains(without, `no agent of node "NODE" is connected`)):
				t.Errorf("%s: the answers are\n%s for a node with an agent\n%s for one without", what, with, without)
			}
		}
	}
}

func TestAHostThatIsNoNodeNeedsTheRightForOtherAddresses(t *testing.T) {
	fx := newFixture(t, nil)
	fx.join("m1", nil)
	fx.has("m1.grpc.sock", "m1.sock")
	for _, test := range []struct {
		rights string
		want   string
	}{
		{"kubelets", `503 node "n2" of cluster "m1": kubelet cannot be reached through the tunnel: no agent of it is connected`},
		{"connections", `403 cluster "m1": n2:10250 may not be reached by user:alice: the API does not allow get on kubefedclusters/kubelets of the system namespace with its name`},
		{"kubelets connections", `403 cluster "m1": n2:10250 cannot be reached through the tunnel: the agent's policy does not allow it: n2:10250 is not among its targets` +
			`; it was tried as a host, since no agent of node "n2" is connected`},
	} {
		fx.reviews(func(spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
			return strings.Contains(test.rights, spec.ResourceAttributes.Subresource), nil
		})
		if _, err := fx.as(named("alice"), "n2:10250", "Koinon-Cluster: m1"); err == nil || err.Error() != test.want {
			t.Errorf("with the rights for %s: got %v", test.rights, err)
		}
	}
}

func TestAnswersOfTheAPIAreRemembered(t *testing.T) {
	native := fake.NewClientset()
	var mu sync.Mutex
	asked, answer := 0, errors.New("it is down")
	native.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		review.Status.Allowed = review.Spec.User == "alice"
		return true, review, answer
	})
	p := newPolicy(Parts{Namespace: system, Reviews: native.AuthorizationV1().SubjectAccessReviews()}, time.Hour)
	allow := func(name string) error {
		return p.Allow(t.Context(), frontend.Client{User: &user{name: name}}, tunnel.Name{Cluster: "m1"}, tunnel.APIServer)
	}
	var said *frontend.Error
	if err := allow("alice"); !errors.As(err, &said) || said.Status != http.StatusServiceUnavailable {
		t.Errorf("an API that is down: got %v", err)
	}
	answer, asked = nil, 0 // an error is not remembered
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := allow("alice"); err != nil {
				t.Error(err)
			}
			if err := allow("bob"); err == nil || errors.As(err, new(*frontend.Error)) {
				t.Errorf("bob: got %v", err)
			}
		})
	}
	all.Wait()
	if asked < 2 || asked > 2*askAtOnce {
		t.Errorf("the API was asked %d times", asked)
	}
	if len(p.asking) > 0 {
		t.Errorf("%d users are asked about", len(p.asking))
	}
	gone, leave := context.WithCancelCause(t.Context())
	leave(frontend.ErrLeft)
	answer = errors.New("canceled")
	if err := p.Allow(gone, frontend.Client{User: &user{name: "carol"}}, tunnel.Name{Cluster: "m1"}, tunnel.APIServer); !errors.Is(err, frontend.ErrLeft) {
		t.Errorf("who has left: got %v", err)
	}
}

// What was answered of one user is not taken for another, whose names have separators in them.
func TestAnAnswerIsForOneUserOnly(t *testing.T) {
	native := fake.NewClientset()
	native.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		review.Status.Allowed = review.Spec.User == "alice"
		return true, review, nil
	})
	p := newPolicy(Parts{Namespace: system, Reviews: native.AuthorizationV1().SubjectAccessReviews()}, time.Hour)
	for _, one := range []struct {
		name   string
		groups []string
	}{
		{"alice", []string{"a", "b"}}, {"alice\x00a", []string{"b"}}, {"alice\x00a\x00b", nil}, {"alice\x00a\x00b\x00system:authenticated", nil},
		{`alice" of ["a" "b`, nil},
	} {
		client, err := p.Client(&x509.Certificate{Subject: pkix.Name{CommonName: one.name, Organization: one.groups}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Allow(t.Context(), client, tunnel.Name{Cluster: "m1"}, tunnel.APIServer); (err == nil) != (one.name == "alice") {
			t.Errorf("%q of %q: got %v", one.name, one.groups, err)
		}
	}
}

func TestSocketsOfOthersAreLeftAlone(t *testing.T) {
	path := tunneltest.SocketDir(t)
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirectory(path); err == nil || !strings.Contains(err.Error(), "everybody may write") {
		t.Errorf("a directory in which everybody may put sockets: got %v", err)
	}
	if err := os.Chmod(path, 0o770); err != nil {
		t.Fatal(err)
	}
	directory, err := OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	for _, name := range []string{"others.sock", "killed.sock"} {
		listener, err := net.Listen("unix", filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		listener.(*net.UnixListener).SetUnlinkOnClose(false)
		if name == "killed.sock" {
			_ = listener.Close()
		} else {
			defer listener.Close()
		}
	}
	if err := directory.clean(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(path, "others.sock")); err != nil {
		t.Errorf("a socket that somebody listens on: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(path, "killed.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a socket that nobody listens on: %v", err)
	}
}

func TestWhatIsCarriedGoesOnWhenTheProcessIsToldToEnd(t *testing.T) {
	fx := newFixture(t, nil)
	fx.join("m1", nil)
	fx.has("m1.grpc.sock", "m1.sock")
	bySocket, err := fx.bySocket("m1", fx.target)
	if err != nil {
		t.Fatal(err)
	}
	byPort, err := fx.as(named("alice"), fx.target, "Koinon-Cluster: m1")
	if err != nil {
		t.Fatal(err)
	}
	fx.end()
	fx.has()
	tunneltest.Eventually(t, "nobody is taken any more", func() bool {
		conn, err := net.Dial("tcp", fx.proxy)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	for what, conn := range map[string]net.Conn{"the socket": bySocket, "the port": byPort} {
		if err := works(conn); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	tunneltest.Eventually(t, "another process may have the directory", func() bool {
		dir, err := OpenDirectory(fx.dir)
		if err == nil {
			dir.Close()
		}
		return err == nil
	})
	select {
	case <-fx.ended:
		t.Error("it has ended with connections")
	default:
	}
	_ = bySocket.Close()
	_ = byPort.Close()
	<-fx.ended
}
