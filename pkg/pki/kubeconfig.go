package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// WriteKubeconfig writes a kubeconfig for the administrator to path, with the current
// certificate inside, for the server at the URL.
func (p *PKI) WriteKubeconfig(path, server string) error {
	ca, err := os.ReadFile(p.CAFile())
	if err != nil {
		return fmt.Errorf("read the authority for %s: %w", path, err)
	}
	client, err := os.ReadFile(p.path(admin.file))
	if err != nil {
		return fmt.Errorf("read the client certificate for %s: %w", path, err)
	}
	const name = "koinon"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos["koinon-admin"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: encodeCertificate(findBlock(client, certificateBlock)),
		ClientKeyData:         encodeKey(findBlock(client, keyBlock)),
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: "koinon-admin"}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeFile(path, data, 0o600)
}
