package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// loadTrust reads the authorities that were published, and those of files. A node without any starts, too: what it has is good without API servers.
func (i *Identity) loadTrust() error {
	i.published = i.keptTrust(trustFile)
	i.given = i.keptTrust(givenFile)
	if i.given == nil && i.config.CAFile == "" {
		if i.given = i.firstTrust(); i.given != nil {
			i.write(givenFile, i.given)
		}
	}
	return i.readTrust()
}

// keptTrust reads authorities that were kept; nil if there are none.
func (i *Identity) keptTrust(file string) []byte {
	text, err := read(i.config.Dir, file)
	if text != nil {
		if _, err = keypair.ParseCertificates(text); err != nil {
			err = fmt.Errorf("%s %w", i.path(file), err)
		}
	}
	if err != nil {
		i.config.Logger.Error("Found damaged authorities of API servers: they are looked for elsewhere", "err", err)
		return nil
	}
	return text
}

// firstTrust are the authorities of the kubeconfigs that were given.
func (i *Identity) firstTrust() []byte {
	for _, path := range append([]string{i.config.BootstrapKubeconfig}, i.config.Adopt...) {
		if path == "" {
			continue
		}
		config, err := ReadKubeconfig(path)
		if err != nil || config.CA == nil {
			continue
		}
		if _, err := keypair.ParseCertificates(config.CA); err == nil {
			return config.CA
		}
	}
	return nil
}

// readTrust takes all authorities, those of CAFile as they are now. If it cannot be read, what it had is believed still.
func (i *Identity) readTrust() error {
	wrong := i.readCAFile()
	i.mu.Lock()
	defer i.mu.Unlock()
	roots := x509.NewCertPool()
	for _, text := range [][]byte{i.operators, i.given, i.published} {
		if text != nil {
			_ = addTo(roots, text) // which was checked
		}
	}
	if !roots.Equal(x509.NewCertPool()) && !roots.Equal(i.roots) {
		i.roots = roots
	}
	return wrong
}

// readCAFile reads CAFile, if there is to be one.
func (i *Identity) readCAFile() error {
	path := i.config.CAFile
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err == nil {
		if err = addTo(x509.NewCertPool(), text); err != nil {
			err = fmt.Errorf("%s %w", path, err)
		}
	}
	if err != nil {
		return fmt.Errorf("the authorities of API servers: %w", err)
	}
	i.operators = text
	return nil
}

func addTo(pool *x509.CertPool, text []byte) error {
	certificates, err := keypair.ParseCertificates(text)
	if err != nil {
		return err
	}
	for _, certificate := range certificates {
		if !certificate.IsCA {
			return fmt.Errorf("holds a certificate of %q, which is no authority", certificate.Subject)
		}
		pool.AddCert(certificate)
	}
	return nil
}

// errUnbelievable is that what the cluster publishes is not taken.
var errUnbelievable = errors.New("what the cluster publishes as its authorities is not believed")

// learn asks for the authorities that the cluster publishes, as the node. That there are none for nodes is no error.
func (i *Identity) learn(ctx context.Context, node http.RoundTripper) error {
	for _, source := range []struct {
		configMap string
		text      func(*corev1.ConfigMap) ([]byte, error)
	}{
		{"kube-root-ca.crt", func(c *corev1.ConfigMap) ([]byte, error) { return []byte(c.Data["ca.crt"]), nil }},
		{"cluster-info", ofClusterInfo},
	} {
		var found corev1.ConfigMap
		connection, err := i.ask(ctx, node, http.MethodGet, "/api/v1/namespaces/kube-public/configmaps/"+source.configMap, nil, &found)
		if isRefusal(err, http.StatusForbidden, http.StatusNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		text, err := source.text(&found)
		if err == nil {
			err = i.believe(text, connection)
		}
		if err != nil {
			return fmt.Errorf("%w: the ConfigMap %s of kube-public: %w", errUnbelievable, source.configMap, err)
		}
		return nil
	}
	return nil
}

func ofClusterInfo(c *corev1.ConfigMap) ([]byte, error) {
	config, err := ParseKubeconfig([]byte(c.Data["kubeconfig"]), "")
	if err != nil {
		return nil, err
	}
	return config.CA, nil
}

// believe takes authorities that came over a connection. Those before are kept if the new ones do not verify that.
func (i *Identity) believe(text []byte, connection *tls.ConnectionState) error {
	pool := x509.NewCertPool()
	if err := addTo(pool, text); err != nil {
		return fmt.Errorf("it %w", err)
	}
	if connection == nil || len(connection.PeerCertificates) == 0 {
		return errors.New("it came over a connection that was not verified")
	}
	if !verifies(pool, connection) {
		// The API server is known by another authority, such as of a load balancer.
		i.mu.Lock()
		before := i.published
		i.mu.Unlock()
		text = union(before, text)
	}
	i.mu.Lock()
	same := bytes.Equal(i.published, text)
	i.published = text
	i.mu.Unlock()
	if same {
		return nil
	}
	i.write(trustFile, text)
	i.config.Logger.Info("Took the authorities that the cluster publishes", "file", i.path(trustFile))
	_ = i.readTrust() // what is wrong with a file is said each time
	return nil
}

func verifies(pool *x509.CertPool, connection *tls.ConnectionState) bool {
	between := x509.NewCertPool()
	for _, certificate := range connection.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	_, err := connection.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between})
	return err == nil
}

// union is what is in a and, behind it, what is in b and not in a.
func union(a, b []byte) []byte {
	switch {
	case len(a) == 0:
		return b
	case bytes.Contains(a, bytes.TrimSpace(b)):
		return a
	}
	return append(append(bytes.TrimSpace(a), '\n'), b...)
}
