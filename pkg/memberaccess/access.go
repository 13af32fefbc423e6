package memberaccess

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// MalformedError says in one sentence why a KubeFedCluster and its Secret make no
// connection. Somebody has to change one of them: retrying does not help. It holds no
// credentials.
type MalformedError struct{ Problem string }

func (e *MalformedError) Error() string { return e.Problem }

func malformed(format string, args ...any) error {
	return &MalformedError{fmt.Sprintf(format, args...)}
}

// Config returns how to reach the member, without bounds on what it may answer: that is for who
// makes a client of it. secret is nil if it does not exist. now is what a client certificate's
// validity is checked against.
//
// A Secret with the key kubeconfig says everything: server, authorities, credentials. Of spec it needs the proxy, if
// it names none.
// Else spec says where, the key token how, and the Secret agrees. A member that is reached through its
// agent only is connected to once DialWith was given its Dialer. Config returns a
// *MalformedError if the two do not make a connection.
func Config(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret, now time.Time) (*rest.Config, error) {
	name := cluster.Spec.SecretRef.Name
	if secret == nil {
		return nil, malformed("spec.secretRef: there is no Secret %q in namespace %q", name, cluster.Namespace)
	}
	if problem := notLent(cluster.Name, secret); problem != "" {
		return nil, malformed("%s", problem)
	}
	config, err := fromSecret(cluster, secret, now)
	if err != nil {
		return nil, err
	}
	if cluster.Spec.Tunnel == v1beta1.TunnelAlways {
		if err := onlyThroughAgent(config); err != nil {
			return nil, err
		}
	}
	if problem := inTheClear(config); problem != "" {
		return nil, malformed("%s", problem)
	}
	return config, nil
}

func fromSecret(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret, now time.Time) (*rest.Config, error) {
	if data := secret.Data[v1beta1.KubeconfigKey]; len(data) > 0 {
		return fromKubeconfig(&cluster.Spec, secret.Name, data, now)
	}
	token := strings.TrimSpace(string(secret.Data[v1beta1.TokenKey]))
	if token == "" {
		return nil, malformed("Secret %q has neither the key %q nor the key %q", secret.Name, v1beta1.TokenKey, v1beta1.KubeconfigKey)
	}
	if problem := notBound(&cluster.Spec, secret); problem != "" {
		return nil, malformed("%s", problem)
	}
	return fromToken(&cluster.Spec, token, secret.Data[v1beta1.CAKey])
}

func fromToken(spec *v1beta1.KubeFedClusterSpec, token string, authority []byte) (*rest.Config, error) {
	config := &rest.Config{
		Host:            withScheme(spec.APIEndpoint),
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAData: authority},
	}
	if _, _, err := rest.DefaultServerURL(config.Host, "", schema.GroupVersion{}, true); err != nil {
		return nil, malformed("spec.apiEndpoint %q is not a host, host:port or URL", spec.APIEndpoint)
	}
	if len(authority) > 0 && !x509.NewCertPool().AppendCertsFromPEM(authority) {
		return nil, malformed("the authority of the token, spec.caBundle and the Secret's key %q, holds no certificate in PEM", v1beta1.CAKey)
	}
	if err := setProxy(config, proxyOf(spec)); err != nil {
		return nil, err
	}
	return relax(config, spec.DisabledTLSValidations)
}

// proxyOf is the proxy on the way to a member; empty if there is none. What is reached through its agents only has one for other
// clients of its KubeFedCluster.
func proxyOf(spec *v1beta1.KubeFedClusterSpec) string {
	if spec.Tunnel == v1beta1.TunnelAlways {
		return ""
	}
	return spec.ProxyURL
}

func setProxy(config *rest.Config, proxyURL string) error {
	if proxyURL == "" {
		return nil
	}
	parsed, err := url.Parse(proxyURL)
	if err != nil || parsed.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, parsed.Scheme) {
		return malformed("spec.proxyURL is not a URL with scheme http, https or socks5")
	}
	config.Proxy = http.ProxyURL(parsed)
	return nil
}

// DialWith has a configuration that Config made open its connections with dial.
func DialWith(config *rest.Config, dial dialFunc) {
	if own, ok := config.Transport.(*http.Transport); ok { // see relax
		own.DialContext = dial
		return
	}
	config.Dial = dial
}

// relax turns off the checks of the server's certificate that the spec names. The chain
// to the authorities is checked unless all checks are off.
func relax(config *rest.Config, disabled []v1beta1.TLSValidation) (*rest.Config, error) {
	switch {
	case len(disabled) == 0:
		return config, nil
	case slices.Contains(disabled, v1beta1.TLSAll):
		config.Insecure, config.CAData = true, nil
		return config, nil
	}
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, malformed("spec.caBundle: %v", err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	tlsConfig.InsecureSkipVerify = true
	tlsConfig.VerifyConnection = verifier(tlsConfig.RootCAs, disabled)
	transport := utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: tlsConfig})
	if config.Proxy != nil {
		transport.Proxy = config.Proxy
	}
	config.Transport, config.Proxy, config.TLSClientConfig = transport, nil, rest.TLSClientConfig{}
	return config, nil
}

func verifier(roots *x509.CertPool, disabled []v1beta1.TLSValidation) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		options := x509.VerifyOptions{Roots: roots, DNSName: state.ServerName, Intermediates: x509.NewCertPool()}
		for _, certificate := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(certificate)
		}
		if slices.Contains(disabled, v1beta1.TLSSubjectName) {
			options.DNSName = ""
		}
		if slices.Contains(disabled, v1beta1.TLSValidityPeriod) {
			options.CurrentTime = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
		}
		_, err := leaf.Verify(options)
		return err
	}
}

// fromKubeconfig takes server and credentials of the current context. A kubeconfig in a
// Secret comes from somebody else: it may neither run programs nor read files here.
func fromKubeconfig(spec *v1beta1.KubeFedClusterSpec, secretName string, data []byte, now time.Time) (*rest.Config, error) {
	kubeconfig, err := clientcmd.Load(data)
	if err != nil {
		return nil, malformed("Secret %q, key %q: is not a kubeconfig", secretName, v1beta1.KubeconfigKey)
	}
	if problem := refuseKubeconfig(kubeconfig); problem != "" {
		return nil, malformed("Secret %q, key %q: %s", secretName, v1beta1.KubeconfigKey, problem)
	}
	config, err := clientcmd.NewDefaultClientConfig(*kubeconfig, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, malformed("Secret %q, key %q: %v", secretName, v1beta1.KubeconfigKey, err)
	}
	if err := checkCertificate(config.CertData, now); err != nil {
		return nil, malformed("Secret %q, key %q: %v", secretName, v1beta1.KubeconfigKey, err)
	}
	if config.Proxy != nil || proxyOf(spec) == "" {
		return config, nil
	}
	if config.Insecure {
		return nil, malformed("spec.proxyURL: Secret %q has the member's certificate not checked, so that a proxy has to be named in its kubeconfig: it could read the credential", secretName)
	}
	return config, setProxy(config, spec.ProxyURL)
}

func refuseKubeconfig(kubeconfig *clientcmdapi.Config) string {
	for name, user := range kubeconfig.AuthInfos {
		switch {
		case user.Exec != nil || user.AuthProvider != nil:
			return fmt.Sprintf("user %q runs a program (exec or auth-provider); only tokens and certificates in the kubeconfig itself are allowed", name)
		case user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "":
			return fmt.Sprintf("user %q names a file; only credentials in the kubeconfig itself are allowed", name)
		}
	}
	for name, cluster := range kubeconfig.Clusters {
		if cluster.CertificateAuthority != "" {
			return fmt.Sprintf("cluster %q names a file; put it in certificate-authority-data", name)
		}
	}
	context, ok := kubeconfig.Contexts[kubeconfig.CurrentContext]
	if !ok {
		return fmt.Sprintf("current-context %q is not one of its contexts", kubeconfig.CurrentContext)
	}
	if cluster, ok := kubeconfig.Clusters[context.Cluster]; !ok || cluster.Server == "" {
		return fmt.Sprintf("cluster %q of the current context has no server", context.Cluster)
	}
	return ""
}

// checkCertificate refuses a client certificate that is not valid now: API servers answer
// it with a bare 401.
func checkCertificate(data []byte, now time.Time) error {
	if len(data) == 0 {
		return nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return errors.New("client-certificate-data holds no certificate in PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return errors.New("client-certificate-data holds no X.509 certificate")
	case now.After(certificate.NotAfter):
		return fmt.Errorf("the client certificate expired at %s", certificate.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(certificate.NotBefore):
		return fmt.Errorf("the client certificate is not valid before %s", certificate.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// ValidUntil is when the client certificate of a configuration expires; zero if it has none.
func ValidUntil(config *rest.Config) time.Time {
	block, _ := pem.Decode(config.CertData)
	if block == nil {
		return time.Time{}
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return certificate.NotAfter
}

// AccountNamespace returns the namespace of the service account that a token stands for, as
// its claim sub says; empty if the credential is something else. The token is not verified:
// the member does that, and nobody else is told.
func AccountNamespace(config *rest.Config) string {
	claims, _ := accounts.ReadAnyClaims(config.BearerToken)
	namespace, _ := claims.ServiceAccount()
	return namespace
}
