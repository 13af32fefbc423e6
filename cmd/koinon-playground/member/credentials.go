package member

import (
	"crypto/x509/pkix"
	"fmt"
	"os"

	"github.com/koinon-io/koinon/cmd/koinon-playground/kubeconfig"
	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
)

// client is a certificate for a client of the API server, and the kubeconfig that it is
// put into, if any.
type client struct {
	name       string
	subject    pkix.Name
	kubeconfig string
}

var clients = []client{
	{"admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, "kubeconfig"},
	{"kube-controller-manager", pkix.Name{CommonName: "system:kube-controller-manager"}, "kube-controller-manager.kubeconfig"},
	{"nodes", pkix.Name{CommonName: "playground:nodes", Organization: []string{"system:masters"}}, "nodes.kubeconfig"},
	{"kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}, ""},
}

// serviceHosts are the names that the API server's certificate is for.
var serviceHosts = []string{
	"localhost", "127.0.0.1", "::1", serviceIP,
	"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
}

// writeCredentials makes the certificates that are missing. There are three authorities,
// so that a certificate for one purpose opens no other door: the cluster's, the front
// proxy's and etcd's.
func (c *Cluster) writeCredentials() error {
	dir := c.path("pki")
	ca, err := pki.NewAuthority(dir, "ca", c.Name+"-ca")
	if err != nil {
		return err
	}
	if _, err := ca.Issue(APIServer, pkix.Name{CommonName: "kube-apiserver"}, serviceHosts...); err != nil {
		return err
	}
	if _, err := ca.Issue("serving", pkix.Name{CommonName: c.Name}, "localhost", "127.0.0.1"); err != nil {
		return err
	}
	for _, cl := range clients {
		if err := c.writeClient(ca, cl); err != nil {
			return err
		}
	}
	if _, err := pki.SigningKey(dir, "service-account"); err != nil {
		return err
	}
	frontProxy, err := pki.NewAuthority(dir, "front-proxy-ca", c.Name+"-front-proxy-ca")
	if err != nil {
		return err
	}
	if _, err := frontProxy.Issue("front-proxy", pkix.Name{CommonName: "front-proxy"}); err != nil {
		return err
	}
	etcd, err := pki.NewAuthority(dir, "etcd-ca", c.Name+"-etcd-ca")
	if err != nil {
		return err
	}
	_, err = etcd.Issue(Etcd, pkix.Name{CommonName: "etcd"}, "localhost", "127.0.0.1")
	return err
}

// writeClient makes the certificate and kubeconfig of one client.
func (c *Cluster) writeClient(ca *pki.Authority, cl client) error {
	pair, err := ca.Issue(cl.name, cl.subject)
	if err != nil || cl.kubeconfig == "" {
		return err
	}
	if _, err := os.Stat(c.path(cl.kubeconfig)); err == nil {
		return nil
	}
	caPEM, err := os.ReadFile(ca.Files().Cert)
	if err != nil {
		return fmt.Errorf("read authority: %w", err)
	}
	cert, key, err := pair.Read()
	if err != nil {
		return err
	}
	access := kubeconfig.Access{Context: c.Name, Server: c.Server(), CA: caPEM, Cert: cert, Key: key}
	return kubeconfig.Write(c.path(cl.kubeconfig), kubeconfig.New(access))
}
