// Package kubeconfig writes and merges kubeconfig files.
//
// Every file that it writes is complete in itself (certificates are inside), readable by
// its owner only, and replaced as a whole.
package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/durable"
)

// Access is one way into one cluster.
type Access struct {
	// Context is the name of the context, the cluster and the user.
	Context string
	// Server is the URL of the API server.
	Server string
	// CA, Cert and Key are PEM.
	CA, Cert, Key []byte
	// Namespace is the default namespace; empty means "default".
	Namespace string
}

// New returns a kubeconfig with one context, which is the current one.
func New(a Access) *clientcmdapi.Config {
	c := clientcmdapi.NewConfig()
	c.Clusters[a.Context] = &clientcmdapi.Cluster{Server: a.Server, CertificateAuthorityData: a.CA}
	c.AuthInfos[a.Context] = &clientcmdapi.AuthInfo{ClientCertificateData: a.Cert, ClientKeyData: a.Key}
	c.Contexts[a.Context] = &clientcmdapi.Context{Cluster: a.Context, AuthInfo: a.Context, Namespace: a.Namespace}
	c.CurrentContext = a.Context
	return c
}

// Source is a kubeconfig file, and the name that its current context gets in a merged
// one.
type Source struct {
	Context string
	File    string
}

// Merge returns one kubeconfig with the current context of every source, under the
// source's name. The first is the current one.
func Merge(sources ...Source) (*clientcmdapi.Config, error) {
	merged := clientcmdapi.NewConfig()
	for i, s := range sources {
		c, err := clientcmd.LoadFromFile(s.File)
		if err != nil {
			return nil, fmt.Errorf("load kubeconfig of %s: %w", s.Context, err)
		}
		current := c.Contexts[c.CurrentContext]
		if current == nil || c.Clusters[current.Cluster] == nil || c.AuthInfos[current.AuthInfo] == nil {
			return nil, fmt.Errorf("kubeconfig %s: current context %q must exist, with its cluster and user", s.File, c.CurrentContext)
		}
		if err := clientcmdapi.FlattenConfig(c); err != nil {
			return nil, fmt.Errorf("read the files that kubeconfig %s names: %w", s.File, err)
		}
		merged.Clusters[s.Context] = c.Clusters[current.Cluster]
		merged.AuthInfos[s.Context] = c.AuthInfos[current.AuthInfo]
		merged.Contexts[s.Context] = &clientcmdapi.Context{Cluster: s.Context, AuthInfo: s.Context, Namespace: current.Namespace}
		if i == 0 {
			merged.CurrentContext = s.Context
		}
	}
	return merged, nil
}

// Keep puts into c what the file has under other names. A file that does not exist has nothing.
func Keep(c *clientcmdapi.Config, file string) error {
	before, err := clientcmd.LoadFromFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load kubeconfig %s, which may have contexts of yours: %w", file, err)
	}
	keep(c.Clusters, before.Clusters)
	keep(c.AuthInfos, before.AuthInfos)
	keep(c.Contexts, before.Contexts)
	return nil
}

func keep[V any](into, before map[string]V) {
	for name, value := range before {
		if _, ours := into[name]; !ours {
			into[name] = value
		}
	}
}

// Write writes a kubeconfig file.
func Write(file string, c *clientcmdapi.Config) error {
	data, err := clientcmd.Write(*c)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	return durable.WriteFile(file, data, 0o600)
}
