package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacv1client "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// memberFlags say how the member itself is reached, past Koinon: by a context, or by its address
// with a token.
type memberFlags struct {
	Context, Kubeconfig       string
	Server, TokenFile, CAFile string
}

func (m *memberFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&m.Context, "cluster-context", "", "The context of the member in the kubeconfig. The default is NAME.")
	flags.StringVar(&m.Kubeconfig, "cluster-kubeconfig", "", "The kubeconfig with the member's context, if it is another than Koinon's. Without --cluster-context: its context NAME, or its current one.")
	flags.StringVar(&m.Server, "server", "", "In the place of a context: the URL of the member's API server.")
	flags.StringVar(&m.TokenFile, "token-file", "", "With --server: the file with a token of the member's.")
	flags.StringVar(&m.CAFile, "ca-file", "", "The file with the authorities, in PEM, of the member's API server. The default is what the context says.")
}

func (m *memberFlags) validate() error {
	switch {
	case m.Server != "" && (m.Context != "" || m.Kubeconfig != ""):
		return errors.New("--server, --cluster-context and --cluster-kubeconfig: a context or --server is allowed, not both")
	case m.Server != "" && m.TokenFile == "":
		return errors.New("--token-file is needed with --server")
	case m.Server == "" && m.TokenFile != "":
		return errors.New("--token-file is allowed with --server only")
	case m.Server != "" && !strings.HasPrefix(m.Server, "https://"):
		return fmt.Errorf("--server is %q: it must be a URL with the scheme https", m.Server)
	}
	return nil
}

// memberSource is how the member itself is reached. shown is what makes kubectl reach it, in
// commands that are printed; it begins with "kubectl". No token is in it: a process list shows those.
type memberSource struct {
	cluster clientcmdapi.Cluster
	user    clientcmdapi.AuthInfo
	shown   string
	timeout time.Duration
}

// noContextError says that nothing tells where the member is.
type noContextError struct{ name, files string }

func (e *noContextError) Error() string {
	return fmt.Sprintf("there is no context %q in %s: --cluster-context names that of the member, or --server, --token-file and --ca-file say where it is", e.name, e.files)
}

// load reads where the member is. It returns a *noContextError if nobody said so and there is no
// context of the name.
func (m *memberFlags) load(name string, flags *connection) (*memberSource, error) {
	timeout, err := flags.timeout()
	if err != nil {
		return nil, err
	}
	s := &memberSource{timeout: timeout}
	if m.Server != "" {
		token, err := os.ReadFile(m.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read --token-file: %w", err)
		}
		s.cluster, s.user = clientcmdapi.Cluster{Server: m.Server}, clientcmdapi.AuthInfo{Token: strings.TrimSpace(string(token))}
		s.shown = "kubectl --kubeconfig MEMBER-KUBECONFIG" // kubectl takes no file with a token
	} else if err := s.loadContext(m, name, flags); err != nil {
		return nil, err
	}
	if m.CAFile != "" {
		authority, err := os.ReadFile(m.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read --ca-file: %w", err)
		}
		s.cluster.CertificateAuthorityData, s.cluster.CertificateAuthority, s.cluster.InsecureSkipTLSVerify = authority, "", false
	}
	return s, nil
}

func (s *memberSource) loadContext(m *memberFlags, name string, flags *connection) error {
	rules := *flags.rules
	if m.Kubeconfig != "" {
		rules.ExplicitPath = m.Kubeconfig
	}
	raw, err := rules.Load()
	if err != nil {
		return fmt.Errorf("read the kubeconfig of the member: %w", err)
	}
	wanted := m.Context
	if wanted == "" {
		wanted = name
		if _, there := raw.Contexts[wanted]; !there && m.Kubeconfig != "" {
			wanted = raw.CurrentContext
		}
	}
	context, there := raw.Contexts[wanted]
	if !there {
		return &noContextError{wanted, files(&rules)}
	}
	cluster, user := raw.Clusters[context.Cluster], raw.AuthInfos[context.AuthInfo]
	if cluster == nil || cluster.Server == "" {
		return fmt.Errorf("the context %q in %s has no cluster with a server", wanted, files(&rules))
	}
	if user == nil {
		user = &clientcmdapi.AuthInfo{}
	}
	if _, through := splitServer(cluster.Server); through != nil {
		return fmt.Errorf("the context %q reaches %s through Koinon: one that reaches the member itself is needed, see --cluster-context", wanted, through)
	}
	s.cluster, s.user = *cluster, *user
	s.shown = "kubectl"
	if rules.ExplicitPath != "" {
		s.shown += " --kubeconfig " + shellWord(rules.ExplicitPath)
	}
	s.shown += " --context " + shellWord(wanted)
	return nil
}

// restConfig is how a client asks as the user of the context.
func (s *memberSource) restConfig() (*rest.Config, error) {
	config := clientcmdapi.NewConfig()
	const name = "member"
	config.Clusters[name], config.AuthInfos[name] = s.cluster.DeepCopy(), s.user.DeepCopy()
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	made, err := clientcmd.NewNonInteractiveClientConfig(*config, name, nil, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the member's kubeconfig: %w", err)
	}
	made.Timeout = s.timeout
	return made, nil
}

// authority is what the member's API server shows a certificate of; nil for the system's.
func (s *memberSource) authority() ([]byte, error) {
	if len(s.cluster.CertificateAuthorityData) > 0 || s.cluster.CertificateAuthority == "" {
		return s.cluster.CertificateAuthorityData, nil
	}
	data, err := os.ReadFile(s.cluster.CertificateAuthority)
	if err != nil {
		return nil, fmt.Errorf("read the authority of the member: %w", err)
	}
	return data, nil
}

// memberClients are clients of a member: of the member itself, or through Koinon's proxy.
type memberClients struct {
	core          corev1client.CoreV1Interface
	rbac          rbacv1client.RbacV1Interface
	authorization authorizationv1client.AuthorizationV1Interface
	discovery     discovery.DiscoveryInterface
	metadata      metadata.Interface
}

func newMemberClients(config *rest.Config) (c *memberClients, err error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.QPS = -1                           // it is a person who waits
	config.WarningHandler = rest.NoWarnings{} // on types that are listed because they are there
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", config.Host, err)
	}
	c = &memberClients{}
	var errs [5]error
	c.core, errs[0] = corev1client.NewForConfigAndClient(config, httpClient)
	c.rbac, errs[1] = rbacv1client.NewForConfigAndClient(config, httpClient)
	c.authorization, errs[2] = authorizationv1client.NewForConfigAndClient(config, httpClient)
	c.discovery, errs[3] = discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	c.metadata, errs[4] = metadata.NewForConfigAndClient(metadata.ConfigFor(config), httpClient)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", config.Host, err)
	}
	return c, nil
}

// version asks for the version. It does not wait as long as Retry-After says.
func (c *memberClients) version(ctx context.Context) (*version.Info, error) {
	return versionIn(c.discovery.RESTClient().Get().AbsPath("/version").MaxRetries(0).Do(ctx), "the member")
}
