package app

import (
	"crypto/x509/pkix"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// clientCertificate returns a certificate that ends at a time, and its key.
func clientCertificate(t *testing.T, notAfter time.Time) (certificate, key []byte) {
	t.Helper()
	authority, err := keypair.NewAuthority("host", time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(keypair.Leaf{Subject: pkix.Name{CommonName: "somebody"}, Lifetime: time.Hour}, notAfter.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if key, err = pair.KeyPEM(); err != nil {
		t.Fatal(err)
	}
	return pair.CertificatePEM(), key
}

// kubeconfigFor writes a kubeconfig for a server.
func kubeconfigFor(t *testing.T, url string, authority []byte, user *clientcmdapi.AuthInfo) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["host"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: authority}
	config.AuthInfos["me"] = user
	config.Contexts["host"] = &clientcmdapi.Context{Cluster: "host", AuthInfo: "me"}
	config.CurrentContext = "host"
	path := filepath.Join(t.TempDir(), "host.kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABadHostKubeconfigIsOneSentence(t *testing.T) {
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`))
	}))
	defer host.Close()
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: host.Certificate().Raw})
	stranger, _ := clientCertificate(t, time.Now().Add(time.Hour))
	expired, expiredKey := clientCertificate(t, time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC))
	token := &clientcmdapi.AuthInfo{Token: "wrong"}
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct{ kubeconfig, want string }{
		"a certificate whose time is over": {
			kubeconfigFor(t, host.URL, authority, &clientcmdapi.AuthInfo{ClientCertificateData: expired, ClientKeyData: expiredKey}),
			`--host-kubeconfig: its client certificate for "somebody" expired on 2025-06-01 00:00:00; get a new kubeconfig from the host ` + host.URL,
		},
		"credentials that the host does not know": {
			kubeconfigFor(t, host.URL, authority, token),
			"the host " + host.URL + " does not accept the credentials of --host-kubeconfig: they have expired or belong to another cluster",
		},
		"the authority of another cluster": {
			kubeconfigFor(t, host.URL, stranger, token),
			"the host " + host.URL + " shows a certificate that the authority in --host-kubeconfig did not sign: the kubeconfig belongs to another cluster",
		},
		"a host that is not there": {
			kubeconfigFor(t, closed.URL, authority, token),
			"the host " + closed.URL + " of --host-kubeconfig does not answer",
		},
		"a file that is not there":      {filepath.Join(t.TempDir(), "none"), "--host-kubeconfig is not readable"},
		"a file that is something else": {garbage, "--host-kubeconfig " + garbage + " is no kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&ServerOptions{HostKubeconfig: test.kubeconfig}).connectHost(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s…", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %q", err)
			}
		})
	}
}
