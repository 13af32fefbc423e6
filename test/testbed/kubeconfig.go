package testbed

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// ProxyKubeconfig writes a kubeconfig that reaches a proxy of a server, such as that of clusters/m1, and returns its path.
// kubeconfig reaches the server.
func ProxyKubeconfig(t testing.TB, kubeconfig, resource string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		t.Fatal(err)
	}
	config.Clusters[config.Contexts[config.CurrentContext].Cluster].Server += "/apis/federation.koinon.io/v1alpha1/" + resource + "/proxy"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// AccountAccess is AccountKubeconfig for a Secret: without references to files, and with another endpoint if there is one, whose
// certificate is that of the cluster nevertheless.
func (c *Cluster) AccountAccess(t testing.TB, namespace, name, endpoint string) []byte {
	t.Helper()
	config, err := clientcmd.LoadFromFile(c.AccountKubeconfig(t, namespace, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		if cluster.CertificateAuthorityData, err = os.ReadFile(cluster.CertificateAuthority); err != nil {
			t.Fatal(err)
		}
		cluster.CertificateAuthority = ""
		if endpoint != "" {
			cluster.Server, cluster.TLSServerName = endpoint, "kubernetes.default.svc"
		}
	}
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
