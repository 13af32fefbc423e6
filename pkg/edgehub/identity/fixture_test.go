package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	goodToken  = "abcdef.0123456789abcdef"
	otherToken = "fedcba.0123456789abcdef"
	nodeName   = "n1"
)

// cloud is an API server that knows tokens, and signs what it is asked for.
type cloud struct {
	*httptest.Server
	t *testing.T
	// clients is who signs certificates of nodes that are accepted, and servers signs that of the API server.
	clients keypair.Pair

	mu sync.Mutex
	// What follows is guarded by mu.

	servers  keypair.Pair
	signer   *keypair.Pair // signs certificates of nodes, if it is not clients
	tokens   map[string]bool
	requests map[string]*certificatesv1.CertificateSigningRequest
	// answer is what becomes of requests; nil leaves them.
	answer     func(*certificatesv1.CertificateSigningRequest)
	configMaps map[string]map[string]string
	// rejects: certificates of nodes are not accepted.
	rejects bool
	// lose loses the answers to so many POSTs.
	lose int
	// ahead is how far its clock is, and lifetime that of certificates.
	ahead, lifetime time.Duration
	asked           []string // methods and users, in order
}

func newCA(t *testing.T, name string) keypair.Pair {
	t.Helper()
	pair, err := keypair.NewAuthority(name, time.Now().Add(-1000*24*time.Hour), 2000*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, clients: newCA(t, "clients"), tokens: map[string]bool{goodToken: true}, requests: map[string]*certificatesv1.CertificateSigningRequest{},
		configMaps: map[string]map[string]string{}, lifetime: time.Hour}
	c.answer = c.sign
	c.Server = httptest.NewUnstartedServer(c)
	c.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		pair, err := c.servers.Issue(keypair.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Hosts: []string{"127.0.0.1"}, Lifetime: time.Hour}, time.Now())
		return &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{{Certificate: [][]byte{pair.Certificate.Raw}, PrivateKey: pair.Key}}}, err
	}}
	c.servers = newCA(t, "servers")
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// ServeHTTP implements http.Handler.
func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
	user := c.user(r)
	c.asked = append(c.asked, r.Method+" "+user)
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case user == "":
		refuse(w, http.StatusUnauthorized, "Unauthorized")
	case r.Method == http.MethodPost && r.URL.Path == requestsPath:
		c.create(w, r, user)
	case strings.HasPrefix(r.URL.Path, requestsPath+"/"):
		if found := c.requests[name]; found != nil {
			if c.answer != nil && found.Status.Certificate == nil {
				c.answer(found)
			}
			_ = json.NewEncoder(w).Encode(found)
			return
		}
		refuse(w, http.StatusNotFound, "not found")
	case strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/kube-public/configmaps/"):
		if data := c.configMaps[name]; data != nil {
			_ = json.NewEncoder(w).Encode(corev1.ConfigMap{Data: data})
			return
		}
		refuse(w, http.StatusForbidden, "forbidden")
	default:
		refuse(w, http.StatusNotFound, "not found")
	}
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{Message: message})
}

// user is who asks, empty if nobody that is known.
func (c *cloud) user(r *http.Request) string {
	if certificates := r.TLS.PeerCertificates; len(certificates) > 0 {
		if c.rejects {
			return ""
		}
		roots := x509.NewCertPool()
		roots.AddCert(c.clients.Certificate)
		if _, err := certificates[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now().Add(c.ahead), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			return certificates[0].Subject.CommonName
		}
		return ""
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && c.tokens[token] {
		return "token"
	}
	return ""
}

func (c *cloud) create(w http.ResponseWriter, r *http.Request, user string) {
	var request certificatesv1.CertificateSigningRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	request.Spec.Username = user
	c.requests[request.Name] = &request
	if c.lose > 0 {
		c.lose--
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(request)
}

// sign approves and signs a request.
func (c *cloud) sign(request *certificatesv1.CertificateSigningRequest) {
	block, _ := pem.Decode(request.Spec.Request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		c.t.Error(err)
		return
	}
	request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	request.Status.Certificate = c.certificate(csr.Subject, csr.PublicKey, time.Now().Add(c.ahead), c.lifetime)
}

var serials atomic.Int64

func (c *cloud) certificate(subject pkix.Name, public any, from time.Time, lifetime time.Duration) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(serials.Add(1)), Subject: subject, NotBefore: from.Add(-time.Minute), NotAfter: from.Add(lifetime), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	signer := &c.clients
	if c.signer != nil {
		signer = c.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Certificate, public, signer.Key)
	if err != nil {
		c.t.Error(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// pairFor is PEM of a node's certificate, and of its key.
func (c *cloud) pairFor(node string, from time.Time, lifetime time.Duration) (certificate, key []byte) {
	c.t.Helper()
	signer, err := keypair.NewKey()
	if err != nil {
		c.t.Fatal(err)
	}
	if key, err = keypair.EncodeKey(signer); err != nil {
		c.t.Fatal(err)
	}
	return c.certificate(pkix.Name{CommonName: userPrefix + node, Organization: []string{group}}, signer.Public(), from, lifetime), key
}

// fixture is a node.
type fixture struct {
	t     *testing.T
	cloud *cloud
	Config
	log *bytes.Buffer
}

func newNode(t *testing.T, c *cloud) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{t: t, cloud: c, log: &bytes.Buffer{}}
	f.Config = Config{
		Dir: filepath.Join(dir, "identity"), NodeName: nodeName, TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt"),
		Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	f.put(f.TokenFile, goodToken+"\n")
	f.put(f.CAFile, string(c.servers.CertificatePEM()))
	return f
}

func (f *fixture) put(path, text string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// clock sets the clock of the node.
func (f *fixture) clock(ahead time.Duration) {
	f.Now = func() time.Time { return time.Now().Add(ahead) }
}

func (f *fixture) open() *Identity {
	f.t.Helper()
	i, err := Open(f.Config)
	if err != nil {
		f.t.Fatal(err)
	}
	return i
}

// tend does what is due, and says what is wrong afterwards.
func (f *fixture) tend(i *Identity) error {
	err := i.tend(f.t.Context(), f.ways(i))
	i.note(err)
	return err
}

func (f *fixture) good(i *Identity) {
	f.t.Helper()
	if err := f.tend(i); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wrong(i *Identity, wants ...string) {
	f.t.Helper()
	err := f.tend(i)
	for _, want := range wants {
		if err == nil || !strings.Contains(err.Error(), want) {
			f.t.Fatalf("got %v, want %q", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), goodToken) || strings.Contains(f.log.String(), goodToken) {
		f.t.Error("a token is told")
	}
}

// via makes connections as upstream does, a new one for each request.
type via struct {
	f *fixture
	i *Identity
	// certificate is the one that is shown; nil is the token.
	certificate func() (*tls.Certificate, error)
}

func (f *fixture) ways(i *Identity) Ways {
	return Ways{Node: via{f, i, i.Certificate}, Next: via{f, i, i.Next}, Bootstrap: via{f, i, nil}}
}

// RoundTrip implements http.RoundTripper.
func (v via) RoundTrip(r *http.Request) (*http.Response, error) {
	roots, err := v.i.CAs()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots}
	out := r.Clone(r.Context())
	if v.certificate != nil {
		certificate, err := v.certificate()
		if err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	} else {
		token, err := v.i.Token()
		if err != nil {
			return nil, err
		}
		out.Header.Set("Authorization", "Bearer "+token)
	}
	to, err := url.Parse(v.f.cloud.URL)
	if err != nil {
		return nil, err
	}
	out.URL.Scheme, out.URL.Host = to.Scheme, to.Host
	return (&http.Transport{TLSClientConfig: config, DisableKeepAlives: true}).RoundTrip(out)
}
