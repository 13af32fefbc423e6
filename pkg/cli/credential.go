package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/pkg/apis/clientauthentication/v1beta1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// execInfo is the variable by which clients tell a program which cluster they need a credential for.
const execInfo = "KUBERNETES_EXEC_INFO"

// credentialOptions are the options of "kubectl koinon credential".
type credentialOptions struct {
	genericiooptions.IOStreams
	flags *connection

	TokenFile string

	getenv func(string) string
	now    func() time.Time
}

func newCredentialCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &credentialOptions{IOStreams: streams, flags: flags, getenv: os.Getenv, now: time.Now}
	cmd := &cobra.Command{
		Use:   "credential",
		Short: "Give a client of ClusterProfiles your credential for Koinon's proxies",
		Long: `Give a client of ClusterProfiles your credential for Koinon's proxies.

Programs that find clusters in ClusterProfiles run this command, as the exec plugin of the access
provider "koinon"; it prints an ExecCredential. The provider's execConfig must say
provideClusterInfo: true.

The credential is the token or client certificate of the current context, or what is in
--token-file, such as the token of a pod's service account; the server is then that of --server,
or that of the cluster that the pod is in. Who uses it acts as you in the members.

Profiles are written by others. The credential is given for the paths of proxies on your own server
only, over https, and not without verification, for another name or by another proxy than yours. An
authority of the profile must be one of yours, where the context or --certificate-authority says which.`,
		Example: `  # What a controller outside of the host is given with --clusterprofile-provider-file
  {"providers": [{"name": "koinon", "execConfig": {
    "apiVersion": "client.authentication.k8s.io/v1", "command": "kubectl-koinon",
    "args": ["credential", "--context=koinon"],
    "provideClusterInfo": true, "interactiveMode": "Never"}}]}

  # The args in a pod of the host
  ["credential", "--token-file=/var/run/secrets/kubernetes.io/serviceaccount/token"]`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	cmd.Flags().StringVar(&o.TokenFile, "token-file", "", "A file with the token to give, instead of what the kubeconfig has. It is read every time.")
	return cmd
}

func (o *credentialOptions) run() error {
	asked, err := o.asked()
	if err != nil {
		return err
	}
	own, user, err := o.caller()
	if err != nil {
		return err
	}
	if err := checkAsked(asked.Spec.Cluster, own); err != nil {
		return err
	}
	if err := checkAuthority(asked.Spec.Cluster, own); err != nil {
		return err
	}
	status, err := o.credential(user)
	if err != nil {
		return err
	}
	return json.NewEncoder(o.Out).Encode(&clientauthenticationv1.ExecCredential{TypeMeta: asked.TypeMeta, Status: status})
}

// asked is what the client has asked for. The versions of the API differ in nothing that is read here.
func (o *credentialOptions) asked() (*clientauthenticationv1.ExecCredential, error) {
	text := o.getenv(execInfo)
	if text == "" {
		return nil, fmt.Errorf("%s is not set: clients of ClusterProfiles run this command, and set it; for a kubeconfig, use \"kubectl koinon kubeconfig\"", execInfo)
	}
	asked := &clientauthenticationv1.ExecCredential{}
	if err := json.Unmarshal([]byte(text), asked); err != nil {
		return nil, fmt.Errorf("%s is no ExecCredential: %w", execInfo, err)
	}
	versions := []string{clientauthenticationv1.SchemeGroupVersion.String(), v1beta1.SchemeGroupVersion.String()}
	switch {
	case asked.Kind != "ExecCredential" || asked.APIVersion != versions[0] && asked.APIVersion != versions[1]:
		return nil, fmt.Errorf("%s has apiVersion %q and kind %q: allowed are an ExecCredential of %s", execInfo, asked.APIVersion, asked.Kind, strings.Join(versions, " or "))
	case asked.Spec.Cluster == nil:
		return nil, fmt.Errorf("%s has no spec.cluster: the provider's execConfig must say provideClusterInfo: true, so that the credential is given for Koinon's server only", execInfo)
	}
	return asked, nil
}

// caller is the server that a credential may be given for, and the user whose it is.
func (o *credentialOptions) caller() (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	if o.TokenFile == "" {
		source, err := loadSource(o.flags)
		if err != nil {
			return nil, nil, err
		}
		own := source.cluster
		own.Server = source.server
		return &own, &source.user, nil
	}
	own := o.flags.overrides.ClusterInfo
	if own.Server == "" {
		host, port := o.getenv("KUBERNETES_SERVICE_HOST"), o.getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, nil, errors.New("--server is not given, and this is no pod of a cluster: with --token-file it must say which server the token is for")
		}
		own.Server = "https://" + net.JoinHostPort(host, port)
	}
	own.Server, _ = splitServer(own.Server)
	return &own, &clientcmdapi.AuthInfo{TokenFile: o.TokenFile}, nil
}

// checkAsked refuses what is no proxy of the own server, or is reached in another way.
func checkAsked(asked *clientauthenticationv1.Cluster, own *clientcmdapi.Cluster) error {
	server, through := splitServer(asked.Server)
	const refused = "no credential is given for it"
	switch {
	case through == nil:
		return fmt.Errorf("spec.cluster.server is %q, which is no proxy of Koinon: %s", asked.Server, refused)
	case !strings.HasPrefix(strings.ToLower(server), "https://"):
		return fmt.Errorf("spec.cluster.server is %q, which is not https: %s", asked.Server, refused)
	case !sameServer(server, own.Server):
		return fmt.Errorf("spec.cluster.server is %q, and Koinon's server is %q: %s; if both are the same, name it as the profile does, with --server or --cell-endpoint-url of Koinon", asked.Server, own.Server, refused)
	case asked.InsecureSkipTLSVerify && !own.InsecureSkipTLSVerify:
		return fmt.Errorf("spec.cluster.insecure-skip-tls-verify is true, and yours is not: %s", refused)
	case asked.TLSServerName != "" && asked.TLSServerName != own.TLSServerName:
		return fmt.Errorf("spec.cluster.tls-server-name is %q, and yours is %q: %s", asked.TLSServerName, own.TLSServerName, refused)
	case asked.ProxyURL != "" && asked.ProxyURL != own.ProxyURL:
		return fmt.Errorf("spec.cluster.proxy-url is not yours: %s", refused)
	}
	return nil
}

// checkAuthority refuses an authority that the caller does not trust himself, if it is known whom he trusts: who has a certificate of it and
// answers at the server's address would be given the credential.
func checkAuthority(asked *clientauthenticationv1.Cluster, own *clientcmdapi.Cluster) error {
	trusted := own.CertificateAuthorityData
	if len(trusted) == 0 && own.CertificateAuthority != "" {
		var err error
		if trusted, err = os.ReadFile(own.CertificateAuthority); err != nil {
			return fmt.Errorf("read the authority of Koinon's server: %w", err)
		}
	}
	if len(trusted) == 0 || own.InsecureSkipTLSVerify {
		return nil
	}
	known := memberaccess.Certificates(trusted)
	for _, authority := range memberaccess.Certificates(asked.CertificateAuthorityData) {
		if !slices.ContainsFunc(known, authority.Equal) {
			return fmt.Errorf("spec.cluster.certificate-authority-data has the authority %q, which yours has not: no credential is given for it; if it is Koinon's, add it to the authority of the context, or name a file that has it with --certificate-authority",
				authority.Subject.String())
		}
	}
	return nil
}

// sameServer compares URLs of servers as clients understand them.
func sameServer(a, b string) bool {
	one, err := url.Parse(a)
	if err != nil {
		return false
	}
	other, err := url.Parse(b)
	return err == nil && one.Scheme == other.Scheme && strings.EqualFold(one.Hostname(), other.Hostname()) && portOf(one) == portOf(other) &&
		strings.TrimSuffix(one.Path, "/") == strings.TrimSuffix(other.Path, "/") && one.User == nil && one.RawQuery == ""
}

func portOf(u *url.URL) string {
	if u.Port() == "" && u.Scheme == "https" {
		return "443"
	}
	return u.Port()
}

// credential is what a user has to show, until a little before it ends.
func (o *credentialOptions) credential(user *clientcmdapi.AuthInfo) (*clientauthenticationv1.ExecCredentialStatus, error) {
	const instead = "use a context with a token or a client certificate, or --token-file"
	switch {
	case user.Impersonate != "" || user.ImpersonateUID != "" || len(user.ImpersonateGroups) > 0 || len(user.ImpersonateUserExtra) > 0:
		return nil, fmt.Errorf("the context impersonates somebody, which no credential can say: %s", instead)
	case user.Exec != nil:
		return nil, fmt.Errorf("the user of the context has his credential from the program %q: name that program in the provider's execConfig, or %s", user.Exec.Command, instead)
	case user.AuthProvider != nil:
		return nil, fmt.Errorf("the user of the context has his credential from the auth provider %q, which clients do not have any more: %s", user.AuthProvider.Name, instead)
	case user.Username != "":
		return nil, fmt.Errorf("the user of the context has a password, which an ExecCredential has no place for: %s", instead)
	}
	status := &clientauthenticationv1.ExecCredentialStatus{}
	if err := o.addToken(status, user); err != nil {
		return nil, err
	}
	if err := o.addCertificate(status, user); err != nil {
		return nil, err
	}
	if status.Token == "" && status.ClientCertificateData == "" {
		return nil, fmt.Errorf("the user of the context has no credential: %s", instead)
	}
	return status, nil
}

func (o *credentialOptions) addToken(status *clientauthenticationv1.ExecCredentialStatus, user *clientcmdapi.AuthInfo) error {
	from := "of the context"
	status.Token = user.Token
	if user.TokenFile != "" {
		content, err := os.ReadFile(user.TokenFile)
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		from = "in " + user.TokenFile
		if status.Token = strings.TrimSpace(string(content)); status.Token == "" {
			return fmt.Errorf("the file %s is empty: it must have a token", user.TokenFile)
		}
	}
	if claims, ok := accounts.ReadClaims(status.Token); ok {
		return o.endsAt(status, claims.Expires, "the token "+from)
	}
	return nil
}

func (o *credentialOptions) addCertificate(status *clientauthenticationv1.ExecCredentialStatus, user *clientcmdapi.AuthInfo) (err error) {
	certificate, key := user.ClientCertificateData, user.ClientKeyData
	if len(certificate) == 0 && user.ClientCertificate != "" {
		if certificate, err = os.ReadFile(user.ClientCertificate); err != nil {
			return fmt.Errorf("read the client certificate: %w", err)
		}
	}
	if len(key) == 0 && user.ClientKey != "" {
		if key, err = os.ReadFile(user.ClientKey); err != nil {
			return fmt.Errorf("read the key of the client certificate: %w", err)
		}
	}
	if len(certificate) == 0 && len(key) == 0 {
		return nil
	}
	if len(certificate) == 0 || len(key) == 0 {
		return errors.New("the user of the context has a client certificate without its key, or a key without a certificate")
	}
	parsed, err := cert.ParseCertsPEM(certificate)
	if err != nil {
		return fmt.Errorf("read the client certificate: %w", err)
	}
	status.ClientCertificateData, status.ClientKeyData = string(certificate), string(key)
	return o.endsAt(status, parsed[0].NotAfter, "the client certificate of the context")
}

// endsAt has the client ask again before what ends: a request that is on its way then is still answered.
func (o *credentialOptions) endsAt(status *clientauthenticationv1.ExecCredentialStatus, end time.Time, what string) error {
	left := end.Sub(o.now())
	if left <= 0 {
		return fmt.Errorf("%s has ended at %s", what, end.UTC().Format(time.RFC3339))
	}
	ask := metav1.NewTime(end.Add(-min(left/10, time.Minute)))
	if status.ExpirationTimestamp == nil || ask.Before(status.ExpirationTimestamp) {
		status.ExpirationTimestamp = &ask
	}
	return nil
}
