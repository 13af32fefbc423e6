package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Kubeconfig is what is used of the current context of a kubeconfig. Files that it names were read.
type Kubeconfig struct {
	// Server is the URL of the API server, ServerName is what its certificate names instead of the host, and ProxyURL is how it is reached; the last two may be empty.
	Server, ServerName, ProxyURL string
	// CA is PEM; nil if there is none.
	CA []byte
	// Token is a bearer token, or empty.
	Token string
	// Certificate and Key are PEM; nil if there are none.
	Certificate, Key []byte
	// CertificateFile and KeyFile are where those are, as absolute paths if the directory is one; empty if they are in the kubeconfig itself.
	CertificateFile, KeyFile string
}

// kubeconfigFile is how it is written. client-go has all of it, and cannot be linked here (ADR 31).
type kubeconfigFile struct {
	APIVersion     string              `json:"apiVersion"`
	Kind           string              `json:"kind"`
	CurrentContext string              `json:"current-context"`
	Contexts       []kubeconfigContext `json:"contexts"`
	Clusters       []kubeconfigCluster `json:"clusters"`
	Users          []kubeconfigUser    `json:"users"`
}

type kubeconfigContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

type kubeconfigCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server     string `json:"server"`
		ServerName string `json:"tls-server-name,omitempty"`
		ProxyURL   string `json:"proxy-url,omitempty"`
		CAFile     string `json:"certificate-authority,omitempty"`
		CA         []byte `json:"certificate-authority-data,omitempty"`
	} `json:"cluster"`
}

type kubeconfigUser struct {
	Name string `json:"name"`
	User struct {
		Token           string `json:"token,omitempty"`
		TokenFile       string `json:"tokenFile,omitempty"`
		CertificateFile string `json:"client-certificate,omitempty"`
		Certificate     []byte `json:"client-certificate-data,omitempty"`
		KeyFile         string `json:"client-key,omitempty"`
		Key             []byte `json:"client-key-data,omitempty"`
	} `json:"user"`
}

// ReadKubeconfig reads the current context of a kubeconfig. The error names the file.
func ReadKubeconfig(path string) (*Kubeconfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config, err := ParseKubeconfig(text, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

// ParseKubeconfig reads a kubeconfig that is, or would be, in a directory. If that is empty it may name no files.
func ParseKubeconfig(text []byte, dir string) (*Kubeconfig, error) {
	var file kubeconfigFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, errors.New("it is no kubeconfig")
	}
	cluster, user, err := file.current()
	if err != nil {
		return nil, err
	}
	out := &Kubeconfig{}
	for _, c := range file.Clusters {
		if c.Name == cluster {
			out.Server, out.ServerName, out.ProxyURL = c.Cluster.Server, c.Cluster.ServerName, c.Cluster.ProxyURL
			if out.CA, err = given(c.Cluster.CA, c.Cluster.CAFile, dir); err != nil {
				return nil, err
			}
		}
	}
	for _, u := range file.Users {
		if u.Name != user {
			continue
		}
		token, tokenErr := given([]byte(u.User.Token), u.User.TokenFile, dir)
		certificate, certificateErr := given(u.User.Certificate, u.User.CertificateFile, dir)
		key, keyErr := given(u.User.Key, u.User.KeyFile, dir)
		if err := both(tokenErr, both(certificateErr, keyErr)); err != nil {
			return nil, err
		}
		out.Token, out.Certificate, out.Key = strings.TrimSpace(string(token)), certificate, key
		if len(u.User.Certificate) == 0 {
			out.CertificateFile = inDir(dir, u.User.CertificateFile)
		}
		if len(u.User.Key) == 0 {
			out.KeyFile = inDir(dir, u.User.KeyFile)
		}
	}
	return out, nil
}

// current is the cluster and the user of the current context. A file that has one cluster and no context, as cluster-info, is that cluster.
func (f *kubeconfigFile) current() (cluster, user string, err error) {
	for _, c := range f.Contexts {
		if c.Name == f.CurrentContext {
			return c.Context.Cluster, c.Context.User, nil
		}
	}
	if len(f.Contexts) == 0 && len(f.Clusters) == 1 {
		return f.Clusters[0].Name, "", nil
	}
	return "", "", fmt.Errorf("it has no context %q, which is its current one", f.CurrentContext)
}

// given is what is in a kubeconfig itself, or in a file that it names.
func given(data []byte, file, dir string) ([]byte, error) {
	switch {
	case len(data) > 0:
		return data, nil
	case file == "":
		return nil, nil
	case dir == "":
		return nil, fmt.Errorf("it names the file %s, which is not here", file)
	}
	return os.ReadFile(inDir(dir, file))
}

// inDir is where a file is that a kubeconfig in a directory names.
func inDir(dir, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// Encode writes a kubeconfig with one context, as YAML. Of what it has as PEM, it names no file.
func (k *Kubeconfig) Encode(name string) ([]byte, error) {
	file := kubeconfigFile{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Contexts: []kubeconfigContext{{Name: name}}, Clusters: []kubeconfigCluster{{Name: name}}, Users: []kubeconfigUser{{Name: name}},
	}
	context, cluster, user := &file.Contexts[0].Context, &file.Clusters[0].Cluster, &file.Users[0].User
	context.Cluster, context.User = name, name
	cluster.Server, cluster.ServerName, cluster.ProxyURL, cluster.CA = k.Server, k.ServerName, k.ProxyURL, k.CA
	user.Token, user.Certificate, user.Key = k.Token, k.Certificate, k.Key
	if k.Certificate == nil {
		user.CertificateFile = k.CertificateFile
	}
	if k.Key == nil {
		user.KeyFile = k.KeyFile
	}
	return yaml.Marshal(file)
}
