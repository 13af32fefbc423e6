package memberaccess

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// What somebody can do who may write KubeFedClusters and must not read Secrets.
func TestACredentialGoesNowhereButWhereItsOwnerSaid(t *testing.T) {
	ca, _ := certificate(t, now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
	other, _ := certificate(t, now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
	said := v1beta1.KubeFedClusterSpec{APIEndpoint: "https://m1:6443", CABundle: ca}
	token := func(change func(*corev1.Secret)) *corev1.Secret {
		s := bound(said, secret("token", "sesame"))
		if change != nil {
			change(s)
		}
		return s
	}
	for name, test := range map[string]struct {
		change func(*v1beta1.KubeFedClusterSpec)
		secret *corev1.Secret
		want   string // empty: it is sent
	}{
		"as it was said":               {nil, token(nil), ""},
		"the same endpoint, shorter":   {func(s *v1beta1.KubeFedClusterSpec) { s.APIEndpoint = "M1:6443" }, token(nil), ""},
		"no bundle: the Secret's":      {func(s *v1beta1.KubeFedClusterSpec) { s.CABundle = nil }, token(nil), ""},
		"through a proxy, within TLS":  {func(s *v1beta1.KubeFedClusterSpec) { s.ProxyURL = "http://p:3128" }, token(nil), ""},
		"to another address":           {func(s *v1beta1.KubeFedClusterSpec) { s.APIEndpoint = "https://evil:6443" }, token(nil), `does not say that its token may be sent to spec.apiEndpoint "https://evil:6443"`},
		"to a path of the same server": {func(s *v1beta1.KubeFedClusterSpec) { s.APIEndpoint += "/evil" }, token(nil), "does not say that its token may be sent to"},
		"over http":                    {func(s *v1beta1.KubeFedClusterSpec) { s.APIEndpoint = "http://m1:6443" }, token(nil), "does not say that its token may be sent to"},
		"over http, if it was said so": {func(s *v1beta1.KubeFedClusterSpec) { s.APIEndpoint = "http://m1:6443" },
			token(func(s *corev1.Secret) { s.Annotations[v1beta1.APIEndpointAnnotation] = "http://m1:6443" }), "is not https"},
		"with another authority":   {func(s *v1beta1.KubeFedClusterSpec) { s.CABundle = other }, token(nil), "spec.caBundle is not what Secret"},
		"with an authority of its": {nil, token(func(s *corev1.Secret) { delete(s.Data, v1beta1.CAKey) }), "spec.caBundle is not what Secret"},
		"without checks of the certificate": {func(s *v1beta1.KubeFedClusterSpec) {
			s.DisabledTLSValidations = []v1beta1.TLSValidation{v1beta1.TLSAll}
		}, token(nil), `does not allow "*"`},
		"a Secret that says nothing of where": {nil, token(func(s *corev1.Secret) { delete(s.Annotations, v1beta1.APIEndpointAnnotation) }), "does not say that its token may be sent to"},
		"a Secret of another cluster":         {nil, token(func(s *corev1.Secret) { s.Annotations[v1beta1.CredentialsForAnnotation] = "m2, m10" }), "does not say that it is for this cluster"},
		"a Secret of several":                 {nil, token(func(s *corev1.Secret) { s.Annotations[v1beta1.CredentialsForAnnotation] = "m2, m1" }), ""},
		"a Secret that is no credential":      {nil, token(func(s *corev1.Secret) { s.Annotations = nil }), "does not say that it is for this cluster"},
		"an account of the host":              {nil, token(func(s *corev1.Secret) { s.Type = corev1.SecretTypeServiceAccountToken }), "it is an account of the host"},
		"somebody's kubeconfig":               {nil, secret("kubeconfig", kubeconfig("server: https://x", "token: sesame")), "does not say that it is for this cluster"},
		"a kubeconfig over http":              {nil, bound(said, secret("kubeconfig", kubeconfig("server: http://x", "token: sesame"))), "is not https"},
		"a kubeconfig without a scheme":       {nil, bound(v1beta1.KubeFedClusterSpec{}, secret("kubeconfig", kubeconfig("server: x", "token: sesame"))), "is not https"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := *said.DeepCopy()
			if test.change != nil {
				test.change(&spec)
			}
			_, err := Config(cluster(spec), test.secret, now)
			var malformed *MalformedError
			switch {
			case test.want == "" && err != nil:
				t.Fatalf("got error %v, want none", err)
			case test.want != "" && (!errors.As(err, &malformed) || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("got error %v, want one with %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "sesame"):
				t.Error("the error holds the token")
			}
		})
	}
}
