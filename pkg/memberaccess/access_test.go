package memberaccess

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func cluster(spec v1beta1.KubeFedClusterSpec) *v1beta1.KubeFedCluster {
	spec.SecretRef.Name = "s"
	return &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: "sys"}, Spec: spec}
}

func secret(keyValue ...string) *corev1.Secret {
	s := &corev1.Secret{Data: map[string][]byte{}}
	for i := 0; i < len(keyValue); i += 2 {
		s.Data[keyValue[i]] = []byte(keyValue[i+1])
	}
	return s
}

// bound is a Secret that agrees with a spec, by whoever may write it.
func bound(spec v1beta1.KubeFedClusterSpec, secret *corev1.Secret) *corev1.Secret {
	if secret == nil {
		return nil
	}
	secret.Name = "s"
	var disabled []string
	for _, validation := range spec.DisabledTLSValidations {
		disabled = append(disabled, string(validation))
	}
	secret.Annotations = map[string]string{
		v1beta1.CredentialsForAnnotation:         "m1",
		v1beta1.APIEndpointAnnotation:            spec.APIEndpoint,
		v1beta1.DisabledTLSValidationsAnnotation: strings.Join(disabled, ","),
	}
	if len(spec.CABundle) > 0 {
		secret.Data[v1beta1.CAKey] = spec.CABundle
	}
	return secret
}

// certificate makes a self-signed one that is valid in 2026 and its key, PEM in base64.
func certificate(t *testing.T, from, until time.Time, names ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "c"}, NotBefore: from, NotAfter: until,
		DNSNames: names, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func kubeconfig(clusterFields, userFields string) string {
	return fmt.Sprintf(`{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}],
clusters: [{name: k, cluster: {%s}}], users: [{name: u, user: {%s}}]}`, clusterFields, userFields)
}

func withCertificate(t *testing.T, from, until time.Time) string {
	cert, key := certificate(t, from, until)
	encode := base64.StdEncoding.EncodeToString
	return kubeconfig("server: https://x", fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", encode(cert), encode(key)))
}

func TestConfig(t *testing.T) {
	for name, test := range map[string]struct {
		spec   v1beta1.KubeFedClusterSpec
		secret *corev1.Secret
		want   string
	}{
		"a token and a host":     {v1beta1.KubeFedClusterSpec{APIEndpoint: "m1:6443"}, secret("token", "t\n"), "https://m1:6443 t"},
		"a token and a URL":      {v1beta1.KubeFedClusterSpec{APIEndpoint: "https://m1:8080/k"}, secret("token", "t"), "https://m1:8080/k t"},
		"a kubeconfig says all":  {v1beta1.KubeFedClusterSpec{APIEndpoint: "m1"}, secret("kubeconfig", kubeconfig("server: https://other", "token: kt")), "https://other kt"},
		"a kubeconfig wins":      {v1beta1.KubeFedClusterSpec{APIEndpoint: "m1"}, secret("token", "t", "kubeconfig", kubeconfig("server: https://other", "token: kt")), "https://other kt"},
		"a certificate is taken": {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", withCertificate(t, now, now.AddDate(1, 0, 0))), "https://x "},
		"a proxy is taken":       {v1beta1.KubeFedClusterSpec{APIEndpoint: "m1", ProxyURL: "socks5://p:1080"}, secret("token", "t"), "https://m1 t"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := Config(cluster(test.spec), bound(test.spec, test.secret), now)
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Host + " " + config.BearerToken; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if (config.Proxy != nil) != (test.spec.ProxyURL != "") {
				t.Error("the proxy is not what the spec says")
			}
		})
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spec   v1beta1.KubeFedClusterSpec
		secret *corev1.Secret
		want   string
	}{
		"a missing Secret":          {v1beta1.KubeFedClusterSpec{}, nil, `spec.secretRef: there is no Secret "s" in namespace "sys"`},
		"a Secret of another kind":  {v1beta1.KubeFedClusterSpec{}, secret("password", "x"), `Secret "s" has neither the key "token" nor the key "kubeconfig"`},
		"an endpoint that is none":  {v1beta1.KubeFedClusterSpec{APIEndpoint: "https://"}, secret("token", "sesame"), `spec.apiEndpoint "https://" is not a host, host:port or URL`},
		"a bundle that is none":     {v1beta1.KubeFedClusterSpec{APIEndpoint: "m1", CABundle: []byte("x")}, secret("token", "sesame"), `holds no certificate in PEM`},
		"a proxy of another kind":   {v1beta1.KubeFedClusterSpec{APIEndpoint: "m1", ProxyURL: "ftp://p"}, secret("token", "sesame"), `spec.proxyURL is not a URL with scheme http, https or socks5`},
		"text as kubeconfig":        {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", "]["), `Secret "s", key "kubeconfig": is not a kubeconfig`},
		"an exec plugin":            {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", kubeconfig("server: https://x", "exec: {command: rm, apiVersion: client.authentication.k8s.io/v1}")), `user "u" runs a program`},
		"a token file":              {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", kubeconfig("server: https://x", "tokenFile: /etc/shadow")), `user "u" names a file`},
		"a certificate file":        {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", kubeconfig("server: https://x, certificate-authority: /etc/ca", "token: t")), `cluster "k" names a file`},
		"a context that is missing": {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", `{current-context: c}`), `current-context "c" is not one of its contexts`},
		"no server":                 {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", kubeconfig("", "token: t")), `cluster "k" of the current context has no server`},
		"an expired certificate":    {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", withCertificate(t, now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0))), `the client certificate expired at 2025-06-01T00:00:00Z`},
		"a certificate of tomorrow": {v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", withCertificate(t, now.AddDate(0, 0, 1), now.AddDate(1, 0, 0))), `the client certificate is not valid before 2026-06-02T00:00:00Z`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Config(cluster(test.spec), bound(test.spec, test.secret), now)
			var malformed *MalformedError
			if !errors.As(err, &malformed) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Error("the error holds the token")
			}
		})
	}
}

// TestDisabledTLSValidations asks a server whose certificate is for another host.
func TestDisabledTLSValidations(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok"))
	}))
	server.StartTLS() // for example.com and 127.0.0.1, valid until 2084
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	foreign, _ := certificate(t, now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
	otherHost := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for name, test := range map[string]struct {
		url      string
		ca       []byte
		disabled []v1beta1.TLSValidation
		want     bool
	}{
		"a good certificate is taken":                  {server.URL, ca, nil, true},
		"another host is refused":                      {otherHost, ca, nil, false},
		"another host is taken without SubjectName":    {otherHost, ca, []v1beta1.TLSValidation{v1beta1.TLSSubjectName}, true},
		"ValidityPeriod does not concern the host":     {otherHost, ca, []v1beta1.TLSValidation{v1beta1.TLSValidityPeriod}, false},
		"another authority is refused all the same":    {server.URL, foreign, []v1beta1.TLSValidation{v1beta1.TLSSubjectName, v1beta1.TLSValidityPeriod}, false},
		"another authority is taken without any check": {server.URL, foreign, []v1beta1.TLSValidation{v1beta1.TLSAll}, true},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1beta1.KubeFedClusterSpec{APIEndpoint: test.url, CABundle: test.ca, DisabledTLSValidations: test.disabled}
			config, err := Config(cluster(spec), bound(spec, secret("token", "t")), now)
			if err != nil {
				t.Fatal(err)
			}
			client, err := rest.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Get(test.url)
			if err == nil {
				_ = response.Body.Close()
			}
			if (err == nil) != test.want {
				t.Errorf("got error %v, want an answer: %v", err, test.want)
			}
		})
	}
}

func TestAccountNamespace(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for name, test := range map[string]struct{ token, want string }{
		"a service account":                {jwt(`{"sub":"system:serviceaccount:fleet:koinon"}`), "fleet"},
		"somebody else":                    {jwt(`{"sub":"alice"}`), ""},
		"a subject that ends too early":    {jwt(`{"sub":"system:serviceaccount:fleet"}`), ""},
		"a token that says nothing":        {"abcdef.0123456789abcdef", ""},
		"three parts that are no claims":   {"a.b.c", ""},
		"no token: a client certificate":   {"", ""},
		"claims that are not in an object": {jwt(`"sub"`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := AccountNamespace(&rest.Config{BearerToken: test.token}); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAProxyOfTheSpecIsUsedWithAKubeconfigThatNamesNone(t *testing.T) {
	through := func(spec v1beta1.KubeFedClusterSpec, clusterFields string) (string, error) {
		config, err := Config(cluster(spec), bound(spec, secret("kubeconfig", kubeconfig(clusterFields, "token: kt"))), now)
		if err != nil {
			return "", err
		}
		if config.Proxy == nil {
			return "", nil
		}
		proxy, err := config.Proxy(httptest.NewRequest(http.MethodGet, "https://x/", nil))
		if err != nil {
			return "", err
		}
		return proxy.String(), nil
	}
	spec := v1beta1.KubeFedClusterSpec{ProxyURL: "http://ours:1"}
	for what, test := range map[string]struct{ fields, want, problem string }{
		"none":                  {"server: https://x", "http://ours:1", ""},
		"its own":               {"server: https://x, proxy-url: http://own:1", "http://own:1", ""},
		"none, and no checking": {"server: https://x, insecure-skip-tls-verify: true", "", "a proxy has to be named in its kubeconfig"},
	} {
		got, err := through(spec, test.fields)
		if got != test.want || (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
	}
}
