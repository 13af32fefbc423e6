package memberaccess

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Whoever may write KubeFedClusters need not be allowed to read Secrets, and must not get
// at one by pointing a cluster at it, or by sending its token to an address of his own. So
// the Secret says for which clusters it is, and a bare token also where it may be sent and
// which authority the receiver has to show. See ADR 16.

// notLent says why a Secret is no credential of a cluster; it is empty if it is.
func notLent(cluster string, secret *corev1.Secret) string {
	if secret.Type == corev1.SecretTypeServiceAccountToken {
		return fmt.Sprintf("Secret %q is of the type %s: it is an account of the host, and is not sent to members; make an account in the member and put its token into a Secret of the type Opaque",
			secret.Name, secret.Type)
	}
	if !slices.Contains(list(secret.Annotations[v1beta1.CredentialsForAnnotation]), cluster) {
		return fmt.Sprintf("Secret %q does not say that it is for this cluster; whoever may write it does so with the annotation %s=%s",
			secret.Name, v1beta1.CredentialsForAnnotation, cluster)
	}
	return ""
}

// notBound says what a cluster's spec asks for that the Secret of its token does not allow;
// it is empty if there is nothing.
func notBound(spec *v1beta1.KubeFedClusterSpec, secret *corev1.Secret) string {
	bound := secret.Annotations[v1beta1.APIEndpointAnnotation]
	if bound == "" || address(bound) != address(spec.APIEndpoint) {
		return fmt.Sprintf("Secret %q does not say that its token may be sent to spec.apiEndpoint %q; whoever may write it does so with the annotation %s=%s",
			secret.Name, spec.APIEndpoint, v1beta1.APIEndpointAnnotation, spec.APIEndpoint)
	}
	if authority := secret.Data[v1beta1.CAKey]; len(spec.CABundle) > 0 && !bytes.Equal(bytes.TrimSpace(authority), bytes.TrimSpace(spec.CABundle)) {
		return fmt.Sprintf("spec.caBundle is not what Secret %q has under the key %q; both must be the same, or spec.caBundle absent", secret.Name, v1beta1.CAKey)
	}
	allowed := list(secret.Annotations[v1beta1.DisabledTLSValidationsAnnotation])
	for _, disabled := range spec.DisabledTLSValidations {
		if !slices.Contains(allowed, string(disabled)) {
			return fmt.Sprintf("spec.disabledTLSValidations: Secret %q does not allow %q; whoever may write it does so with the annotation %s",
				secret.Name, disabled, v1beta1.DisabledTLSValidationsAnnotation)
		}
	}
	return ""
}

// list splits the value of an annotation at its commas.
func list(value string) []string {
	var out []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// withScheme returns an endpoint as a URL.
func withScheme(endpoint string) string {
	if strings.Contains(endpoint, "://") {
		return endpoint
	}
	return "https://" + endpoint
}

// address returns an endpoint in a form in which those that mean the same are the same.
func address(endpoint string) string {
	u, err := url.Parse(withScheme(endpoint))
	if err != nil {
		return endpoint
	}
	if u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host); u.Scheme == "https" {
		u.Host = strings.TrimSuffix(u.Host, ":443")
	}
	return strings.TrimSuffix(u.String(), "/")
}

// inTheClear says why credentials would be readable on their way; it is empty if they are
// not. The library takes an address without a scheme for http unless there is something of
// TLS beside it.
func inTheClear(config *rest.Config) string {
	tls := config.TLSClientConfig
	defaultTLS := len(tls.CAData) > 0 || len(tls.CertData) > 0 || tls.Insecure || config.Transport != nil
	u, _, err := rest.DefaultServerURL(config.Host, "", schema.GroupVersion{}, defaultTLS)
	if err == nil && u.Scheme != "https" {
		return fmt.Sprintf("%s is not https: credentials are not sent where they can be read on the way", u.Host)
	}
	return ""
}
