package frontends_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
	"github.com/koinon-io/koinon/test/testbed"
)

const (
	hookService = "hook"
	hookSays    = "from behind the tunnel"
)

// hook is a validating webhook that refuses everything.
type hook struct {
	server *httptest.Server
	ca     []byte
}

// selfSigned makes a certificate that is its own authority.
func selfSigned(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter, template.IsCA, template.BasicConstraintsValid = big.NewInt(1), time.Now().Add(time.Hour), true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newHook(t *testing.T) *hook {
	t.Helper()
	certificate := selfSigned(t, &x509.Certificate{DNSNames: []string{hookService + ".default.svc"}})
	h := &hook{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})}
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(rw, "no review", http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: hookSays}}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(review)
	}))
	h.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.server.StartTLS()
	t.Cleanup(h.server.Close)
	return h
}

// configuration has configmaps of the namespace default validated.
func (h *hook) configuration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	fail, none, port := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, int32(h.server.Listener.Addr().(*net.TCPAddr).Port)
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: hookService},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "hook.example.com", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: "default", Name: hookService, Port: &port}, CABundle: h.ca},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "default"}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}
}

// certificateIn is that of a kubeconfig.
func (w *world) certificateIn(kubeconfig string) tls.Certificate {
	w.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		w.Fatal(err)
	}
	tlsConfig, err := clientTLS(config.CertData, config.KeyData, config.CertFile, config.KeyFile)
	if err != nil {
		w.Fatal(err)
	}
	return tlsConfig
}

func clientTLS(cert, key []byte, certFile, keyFile string) (tls.Certificate, error) {
	if len(cert) > 0 {
		return tls.X509KeyPair(cert, key)
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// signedBy has the authority of a cluster sign a certificate for a user.
func (w *world) signedBy(cluster *testbed.Cluster, user string) tls.Certificate {
	w.Helper()
	ca, err := pki.NewAuthority(filepath.Dir(cluster.CAFile()), "ca", "")
	if err != nil {
		w.Fatal(err)
	}
	files, err := ca.Issue("user-"+user, pkix.Name{CommonName: user})
	if err != nil {
		w.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		w.Fatal(err)
	}
	return certificate
}

// connectAs connects through the port with a certificate. The error is what is answered. Who the server is does not matter here: its certificate is looked at by
// other tests.
func (w *world) connectAs(certificate tls.Certificate, target string) (net.Conn, error) {
	conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(w.proxy)), &tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
		InsecureSkipVerify:   true,
	})
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", target)
	var answer *http.Response
	if err == nil {
		answer, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect, URL: &url.URL{}})
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// grantsOne gives a user get on a subresource of one cluster.
func (w *world) grantsOne(user, resource, cluster string) {
	w.Helper()
	roles := w.host.RbacV1()
	if _, err := roles.Roles(system).Create(w.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"core.kubefed.io"}, Resources: []string{resource}, ResourceNames: []string{cluster}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	if _, err := roles.RoleBindings(system).Create(w.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}
