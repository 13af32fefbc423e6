package install

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/keypair"
)

// currentFile is what client-go's store of certificates calls the link to the newest one of kubelet.
const currentFile = "kubelet-client-current.pem"

// handOver gives kubelet the hub's certificate, if that is good for longer than its own, and returns the kubeconfig that it is to have.
func (i *Installer) handOver(original *snapshot) (file, error) {
	kubeconfig := original.Files[kubeconfigRole]
	text, err := os.ReadFile(filepath.Join(i.config.StateDir, identity.NodeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return kubeconfig, nil
	}
	if err != nil {
		return kubeconfig, err
	}
	newest, err := keypair.ParsePair(text, text)
	if err != nil {
		i.config.Say("Leave kubelet's certificate as it is: that of the hub " + err.Error())
		return kubeconfig, nil
	}
	current := filepath.Join(original.Kubelet.CertDir, currentFile)
	if !kubeconfig.There {
		return i.firstKubeconfig(kubeconfig, newest, text, current)
	}
	own, err := identity.ParseKubeconfig([]byte(kubeconfig.Text), filepath.Dir(kubeconfig.Path))
	if err != nil { // a file that it names is gone
		return kubeconfig, fmt.Errorf("%s, as it was before: %w", kubeconfig.Path, err)
	}
	i.compareAuthorities(own, kubeconfig.Path)
	// What kubelet has renewed is there, whatever the kubeconfig says.
	if _, err := os.Stat(current); err == nil && own.CertificateFile != current {
		if err := i.give(current, newest, text); err != nil {
			return kubeconfig, err
		}
	}
	if has, err := keypair.ParsePair(own.Certificate, own.Key); err == nil && !newest.Certificate.NotAfter.After(has.Certificate.NotAfter) {
		return kubeconfig, nil
	}
	switch {
	case own.Certificate == nil && own.Key == nil && own.Token != "": // it signs on by that
		return kubeconfig, nil
	case own.CertificateFile == "" && own.KeyFile == "":
		return inText(kubeconfig, own, newest)
	case own.CertificateFile == own.KeyFile:
		return kubeconfig, i.give(own.CertificateFile, newest, text)
	case own.CertificateFile == "" || own.KeyFile == "":
		i.config.Say("Leave kubelet's certificate as it is: " + kubeconfig.Path + " has one half of it, and a file the other")
		return kubeconfig, nil
	}
	key, err := newest.KeyPEM()
	if err != nil {
		return kubeconfig, err
	}
	return kubeconfig, errors.Join(i.machine.write(own.KeyFile, key, 0o600), i.machine.write(own.CertificateFile, newest.CertificatePEM(), 0o600))
}

// compareAuthorities says if the cluster has published authorities that the kubeconfig does not have, which stays as it was.
func (i *Installer) compareAuthorities(own *identity.Kubeconfig, path string) {
	published := filepath.Join(i.config.StateDir, "ca.crt")
	text, err := os.ReadFile(published)
	if err != nil {
		return
	}
	are, err := keypair.ParseCertificates(text)
	if err != nil {
		return
	}
	believed, _ := keypair.ParseCertificates(own.CA) // or none is
	if slices.ContainsFunc(are, func(c *x509.Certificate) bool { return !slices.ContainsFunc(believed, c.Equal) }) {
		i.config.Say("Look at " + path + ": it believes the authorities that it did, and the cluster has published others, which are in " + published)
	}
}

// give puts a certificate with its key where kubelet has one, as client-go does: a link leads to a file with a date in its name.
func (i *Installer) give(path string, newest keypair.Pair, text []byte) error {
	if has, err := os.ReadFile(path); err == nil {
		if pair, err := keypair.ParsePair(has, has); err == nil && !newest.Certificate.NotAfter.After(pair.Certificate.NotAfter) {
			return nil
		}
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		return i.machine.write(path, text, 0o600)
	}
	dated := filepath.Join(filepath.Dir(path), newest.Certificate.NotBefore.Format("kubelet-client-2006-01-02-15-04-05.pem"))
	if err := i.machine.write(dated, text, 0o600); err != nil {
		return err
	}
	return i.machine.link(dated, path)
}

// firstKubeconfig is for a kubelet that had none: it has never joined, and would not any more, as its bootstrap token has ended. It is as kubelet would have made it.
func (i *Installer) firstKubeconfig(made file, newest keypair.Pair, text []byte, current string) (file, error) {
	bootstrap, err := identity.ReadKubeconfig(i.keptPath(ownFile))
	if err != nil {
		return made, err
	}
	if err := i.give(current, newest, text); err != nil {
		return made, err
	}
	config, err := (&identity.Kubeconfig{
		Server: bootstrap.Server, ServerName: bootstrap.ServerName, ProxyURL: bootstrap.ProxyURL, CA: bootstrap.CA, CertificateFile: current, KeyFile: current,
	}).Encode("default")
	made.There, made.Mode, made.Text = true, 0o600, string(config)
	return made, err
}

// dataText finds certificates and keys in a kubeconfig.
var dataText = regexp.MustCompile(`(client-(?:certificate|key)-data["']?\s*:\s*["']?)([A-Za-z0-9+/=]+)`)

// inText replaces a certificate and its key in a kubeconfig, and nothing else of it.
func inText(kubeconfig file, own *identity.Kubeconfig, newest keypair.Pair) (file, error) {
	key, err := newest.KeyPEM()
	if err != nil {
		return kubeconfig, err
	}
	changed := dataText.ReplaceAllStringFunc(kubeconfig.Text, func(text string) string {
		parts := dataText.FindStringSubmatch(text)
		had, err := base64.StdEncoding.DecodeString(parts[2])
		switch {
		case err != nil:
			return text
		case bytes.Equal(had, own.Certificate):
			return parts[1] + base64.StdEncoding.EncodeToString(newest.CertificatePEM())
		case bytes.Equal(had, own.Key):
			return parts[1] + base64.StdEncoding.EncodeToString(key)
		}
		return text
	})
	is, err := identity.ParseKubeconfig([]byte(changed), filepath.Dir(kubeconfig.Path))
	if err != nil || !bytes.Equal(is.Certificate, newest.CertificatePEM()) || !bytes.Equal(is.Key, key) {
		return kubeconfig, fmt.Errorf("the certificate in %s, as it was before, is written in an unusual way, and the hub's cannot be put there", kubeconfig.Path)
	}
	kubeconfig.Text = changed
	return kubeconfig, nil
}
