package simulated_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/test/simulation"
)

// realm is a whole federation in a bubble of testing/synctest: its controllers as they are wired
// in the binary, its host, and members that are reached over TLS through pipes.
type realm struct {
	*fixture
	doors map[string]*door
}

// inRealm runs a test in a bubble, with members m1, m2, …, which have joined, and the namespace shop.
func inRealm(t *testing.T, members int, do func(*realm)) {
	t.Helper()
	inGuardedRealm(t, members, nil, do)
}

// inGuardedRealm is inRealm with somebody who is shown every request that arrives in a member.
func inGuardedRealm(t *testing.T, members int, watchman func(member string, r *http.Request), do func(*realm)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		r := &realm{doors: map[string]*door{}, fixture: &fixture{
			T: t, host: simulation.NewMember("host", 0, simulation.Options{Types: simulation.HostTypes()}),
		}}
		r.config = federation.Config{RESTConfig: r.host.InProcess(), DialMember: r.dial}
		r.config.RESTConfig.ContentType = "application/json" // the host reads nothing else
		r.client = dynamic.NewForConfigOrDie(r.host.InProcess())
		for _, name := range []string{v1beta1.DefaultNamespace, "shop"} {
			r.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": name}})
		}
		r.put(simulation.FederatedNamespaces, simulation.FederatedNamespace("shop"))
		for i := 1; i <= members; i++ {
			name := fmt.Sprintf("m%d", i)
			m := simulation.NewMember(name, i, simulation.Options{Seed: 1, ManagedFields: true})
			r.members, r.doors[name] = append(r.members, m), open(t, m)
			if watchman != nil {
				r.doors[name].watchman = func(request *http.Request) { watchman(name, request) }
			}
			r.lend(name, name)
			r.join(name)
		}
		r.run()
		t.Cleanup(func() { r.stop() }) // before the doors are shut
		r.pass(time.Minute)
		do(r)
	})
}

// pass lets time go by.
func (r *realm) pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

// join makes the KubeFedCluster of a member.
func (r *realm) join(name string) {
	r.Helper()
	r.put(clusters, r.tree(&v1beta1.KubeFedCluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "KubeFedCluster"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1beta1.DefaultNamespace, Labels: map[string]string{"all": "true"}},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: "https://" + name, SecretRef: v1beta1.LocalSecretReference{Name: name}},
	}))
}

// lend writes the Secret of a member: what opens the door of a member now.
func (r *realm) lend(cluster, door string) {
	r.Helper()
	d := r.doors[door]
	d.mu.Lock()
	defer d.mu.Unlock()
	r.put(simulation.Secrets, r.tree(&corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: cluster, Namespace: v1beta1.DefaultNamespace, Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: cluster, v1beta1.APIEndpointAnnotation: "https://" + door,
		}},
		Data: map[string][]byte{v1beta1.TokenKey: []byte(d.token), v1beta1.CAKey: d.authority.pem},
	}))
}

// says is what the conditions of a KubeFedCluster say.
func (r *realm) says(name string) string {
	r.Helper()
	conditions, _ := r.host.Object(clusters, v1beta1.DefaultNamespace, name)["status"].(map[string]any)["conditions"].([]any)
	var said []string
	for _, c := range conditions {
		condition := c.(map[string]any)
		said = append(said, fmt.Sprintf("%s=%s: %s", condition["type"], condition["status"], condition["message"]))
	}
	return strings.Join(said, "; ")
}

// dial reaches the door of a member by its name.
func (r *realm) dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, _, _ := net.SplitHostPort(address)
	d := r.doors[name]
	if d == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	d.mu.Lock()
	away := d.away
	d.mu.Unlock()
	if away {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	near, far := net.Pipe()
	select {
	case d.arrivals <- far:
		return near, nil
	case <-d.closed:
	case <-ctx.Done():
	}
	return nil, fmt.Errorf("dial %s: %w", address, net.ErrClosed)
}

// door is how a member is reached: with a certificate and a token, which may be replaced. It is the
// listener of its server.
type door struct {
	member   *simulation.Member
	server   *http.Server
	arrivals chan net.Conn
	closed   chan struct{}
	serving  sync.WaitGroup
	// watchman is shown every request before it is answered; nil if nobody looks. It is set before
	// anybody asks.
	watchman func(*http.Request)
	// desk answers requests for tokens; nil: the member does. It is set before anybody asks.
	desk http.HandlerFunc

	mu          sync.Mutex // guards what follows
	authority   *authority
	certificate tls.Certificate
	token       string
	// passes are further tokens, and until when they open it; client is a certificate that does. No other has one.
	passes map[string]time.Time
	client *x509.Certificate
	// away is that nobody answers.
	away bool
	// checks are how often it was asked whether it is well, and held how many requests for tokens are under way.
	checks, held int
	// ahead is by how much the Date of answers is ahead.
	ahead       time.Duration
	connections map[*counted]bool
	// requests that are under way, by token, and how many were refused.
	underWay map[string]int
	refused  int
}

// open has a member answer.
func open(t *testing.T, m *simulation.Member) *door {
	t.Helper()
	d := &door{
		member: m, arrivals: make(chan net.Conn), closed: make(chan struct{}),
		authority: newAuthority(t), token: "first-" + m.Name(), connections: map[*counted]bool{}, underWay: map[string]int{},
	}
	d.renew(t)
	d.server = &http.Server{
		Handler: d, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				d.mu.Lock()
				defer d.mu.Unlock()
				return &d.certificate, nil
			},
		},
	}
	d.serving.Go(func() { _ = d.server.ServeTLS(d, "", "") }) // ends with shut
	t.Cleanup(d.shut)
	return d
}

func (d *door) shut() {
	close(d.closed)
	_ = d.server.Close()
	d.serving.Wait()
}

// renew has the door show a new certificate to whoever comes from now on.
func (d *door) renew(t *testing.T) {
	t.Helper()
	certificate := d.authority.sign(t, d.member.Name())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.certificate = certificate
}

// restart ends all connections, as a server does that is started again.
func (d *door) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.connections {
		_ = c.Conn.Close()
	}
	clear(d.connections)
}

// leave ends all connections, and has nobody answer any more, or has somebody again.
func (d *door) leave(away bool) {
	d.mu.Lock()
	d.away = away
	d.mu.Unlock()
	d.restart()
}

// revoke has the door refuse its token, and accept another one that nobody has yet.
func (d *door) revoke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token += "'"
}

// counts returns the open connections, and requests that are under way with a token.
func (d *door) counts(token string) (connections, requests int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.connections), d.underWay[token]
}

// refusals are how many requests had a wrong token.
func (d *door) refusals() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	d.mu.Lock()
	good := token == d.token || time.Now().Before(d.passes[token]) || d.client != nil && slices.ContainsFunc(r.TLS.PeerCertificates, d.client.Equal)
	d.underWay[token]++
	if !good {
		d.refused++
	}
	forToken := good && d.desk != nil && strings.HasSuffix(r.URL.Path, "/token")
	if forToken {
		d.held++
	}
	if r.URL.Path == "/healthz" {
		d.checks++
	}
	w.Header().Set("Date", time.Now().Add(d.ahead).UTC().Format(http.TimeFormat))
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.underWay[token]--
		if forToken {
			d.held--
		}
	}()
	if good { // the member has a token of its own, and refuses all others
		r.Header.Set("Authorization", "Bearer "+d.member.Token())
		if d.watchman != nil {
			d.watchman(r)
		}
	}
	if forToken {
		d.desk(w, r)
		return
	}
	d.member.ServeHTTP(w, r)
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case <-d.closed:
		return nil, net.ErrClosed
	case arrived := <-d.arrivals:
		c := newCounted(arrived, d)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.connections[c] = true
		return c, nil
	}
}

// Close implements net.Listener.
func (d *door) Close() error { return nil }

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: d.member.Name(), Net: "pipe"} }

// counted is a connection that its door knows until it is closed. What is written to it is kept
// until it is read, as a network does: two that write to a bare pipe at once wait for each other.
type counted struct {
	net.Conn
	door    *door
	written chan []byte
	closed  chan struct{}
	once    sync.Once
}

func newCounted(pipe net.Conn, d *door) *counted {
	c := &counted{Conn: pipe, door: d, written: make(chan []byte, 1000), closed: make(chan struct{})}
	d.serving.Go(func() { // ends with the connection
		defer func() { _ = c.Conn.Close() }()
		for {
			select {
			case <-c.closed:
				return
			case data := <-c.written:
				if _, err := c.Conn.Write(data); err != nil {
					return
				}
			}
		}
	})
	return c
}

func (c *counted) Write(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case c.written <- slices.Clone(p):
		return len(p), nil
	}
}

func (c *counted) Close() error {
	c.door.mu.Lock()
	delete(c.door.connections, c)
	c.door.mu.Unlock()
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) sign(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
