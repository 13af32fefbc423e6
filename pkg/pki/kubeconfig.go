package pki

import (
	"cmp"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	// AdministratorUser is the name in the administrator's certificate.
	AdministratorUser = "koinon-admin"
	// AdministratorsGroup is the group in it. What it may do is in RBAC, unlike with
	// BreakGlassGroup, and can be taken away there.
	AdministratorsGroup = "koinon:administrators"
	// BreakGlassGroup may do everything, whatever is in RBAC.
	BreakGlassGroup = "system:masters"

	// contextName is the context, and the cluster, in a kubeconfig.
	contextName = "koinon"
)

// Kubeconfig says what is in a kubeconfig, and where.
type Kubeconfig struct {
	// Path is where KeepKubeconfig writes it, with the mode 0600.
	Path string
	// Server is the URL of the server.
	Server string
	// User is the name in the certificate; empty: AdministratorUser.
	User string
	// Group is AdministratorsGroup or BreakGlassGroup, or any for another user. Groups are further ones.
	Group  string
	Groups []string
	// URI is in the certificate, if it is not nil.
	URI *url.URL
	// Lifetime is how long the certificate in it is good.
	Lifetime time.Duration
}

// KeepKubeconfig writes a kubeconfig with a new certificate, and has Run write it again when
// two thirds of the lifetime have passed.
func (p *PKI) KeepKubeconfig(k Kubeconfig) error {
	p.kubeconfig = &k
	return p.writeKubeconfig()
}

// renewKubeconfig writes the kubeconfig again if its certificate is due, or if it is not what
// it was: somebody may have removed or changed it.
func (p *PKI) renewKubeconfig() (bool, error) {
	if p.kubeconfig == nil {
		return false, nil
	}
	if certificate, err := kubeconfigCertificate(p.kubeconfig.Path); err == nil && !keypair.Due(certificate, p.config.Clock.Now()) {
		return false, nil
	}
	return true, p.writeKubeconfig()
}

func (p *PKI) writeKubeconfig() error {
	issuer, err := p.readAuthority(clusterAuthority)
	if err != nil {
		return p.damaged(err)
	}
	data, err := encodeKubeconfig(issuer, *p.kubeconfig, p.config.Clock.Now())
	if err != nil {
		return err
	}
	return durable.WriteFile(p.kubeconfig.Path, data, 0o600)
}

// SignKubeconfig returns a kubeconfig, signed with the authority in the directory. It writes
// nothing, and a server may run.
func SignKubeconfig(dir string, k Kubeconfig, now time.Time) ([]byte, error) {
	p := &PKI{config: Config{Dir: dir}}
	issuer, err := p.readAuthority(clusterAuthority)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: a server that runs alone makes it at its first start", err)
	}
	if err != nil {
		return nil, p.damaged(err)
	}
	return encodeKubeconfig(issuer, k, now)
}

// encodeKubeconfig signs a certificate for a user and returns a file with it.
func encodeKubeconfig(issuer keypair.Pair, k Kubeconfig, now time.Time) ([]byte, error) {
	user := cmp.Or(k.User, AdministratorUser)
	leaf := keypair.Leaf{
		Subject:  pkix.Name{CommonName: user, Organization: groups(k)},
		Usages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Lifetime: k.Lifetime,
	}
	if k.URI != nil {
		leaf.URIs = []*url.URL{k.URI}
	}
	client, err := issuer.Issue(leaf, now)
	if err != nil {
		return nil, err
	}
	key, err := client.KeyPEM()
	if err != nil {
		return nil, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[contextName] = &clientcmdapi.Cluster{Server: k.Server, CertificateAuthorityData: issuer.CertificatePEM()}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: client.CertificatePEM(), ClientKeyData: key}
	config.Contexts[contextName] = &clientcmdapi.Context{Cluster: contextName, AuthInfo: user}
	config.CurrentContext = contextName
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode a kubeconfig: %w", err)
	}
	return data, nil
}

// groups are those of a certificate.
func groups(k Kubeconfig) []string {
	return slices.DeleteFunc(append([]string{k.Group}, k.Groups...), func(group string) bool { return group == "" })
}

// KubeconfigServer is the URL in a kubeconfig that a server has written.
func KubeconfigServer(path string) (string, error) {
	config, err := readKubeconfig(path)
	if err != nil {
		return "", err
	}
	cluster := config.Clusters[contextName]
	if cluster == nil || cluster.Server == "" {
		return "", fmt.Errorf("%s has no cluster %q", path, contextName)
	}
	return cluster.Server, nil
}

func kubeconfigCertificate(path string) (*x509.Certificate, error) {
	config, err := readKubeconfig(path)
	if err != nil {
		return nil, err
	}
	user := config.AuthInfos[AdministratorUser]
	if user == nil {
		return nil, fmt.Errorf("%s has no user %q", path, AdministratorUser)
	}
	return keypair.ParseCertificate(user.ClientCertificateData)
}

func readKubeconfig(path string) (*clientcmdapi.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return clientcmd.Load(data)
}
