package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
	// lookEvery is how often Run looks whether something is due.
	lookEvery = 10 * time.Minute
)

const (
	serviceAccountKey = "sa.key"
	// firstStart is there until everything was made for the first time. Only then may a key be
	// made that is absent.
	firstStart = "first-start"
	// formerAdministrator held a certificate of system:masters, good for a year.
	formerAdministrator = "admin.pem"
)

// Config says where the files are and whom the serving certificate is for.
type Config struct {
	// Dir is made when it is absent.
	Dir string
	// Hosts are the DNS names and IP addresses of the serving certificate.
	Hosts []string
	// Clock is the real one when nil.
	Clock clock.WithTicker
}

// PKI is a directory in which everything is there and valid.
type PKI struct {
	config Config
	// first says that the directory is being filled.
	first bool
	// kubeconfig is kept by Run; nil means none.
	kubeconfig *Kubeconfig
}

// Ensure makes everything on the first start. Later it renews what is due and makes leaves
// that are absent or damaged, and it returns a sentence for the operator if an authority or
// the key of service accounts is.
func Ensure(config Config) (*PKI, error) {
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	p := &PKI{config: config}
	if err := p.begin(); err != nil {
		return nil, err
	}
	if err := p.ensureServiceAccountKey(); err != nil {
		return nil, err
	}
	if _, err := p.renew(); err != nil {
		return nil, err
	}
	return p, p.finish()
}

// begin prepares the directory, and finds out whether it was ever complete.
func (p *PKI) begin() error {
	if err := os.MkdirAll(p.config.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory for keys: %w", err)
	}
	if err := durable.RemoveUnfinished(p.config.Dir, fileNames()...); err != nil {
		return err
	}
	entries, err := os.ReadDir(p.config.Dir)
	if err != nil {
		return fmt.Errorf("read the directory for keys: %w", err)
	}
	if len(entries) == 0 {
		if err := durable.WriteFile(p.path(firstStart), nil, 0o600); err != nil {
			return err
		}
	}
	switch _, err := os.Lstat(p.path(firstStart)); {
	case err == nil:
		p.first = true
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read the directory for keys: %w", err)
	}
	return nil
}

// finish says that all keys were made, and removes what former releases have left.
func (p *PKI) finish() error {
	for _, name := range []string{firstStart, formerAdministrator} {
		if err := os.Remove(p.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear up the directory for keys: %w", err)
		}
	}
	p.first = false
	return nil
}

// CAFile is the certificate that clients of the server trust and that signs clients.
func (p *PKI) CAFile() string { return p.path(clusterAuthority.certificateFile()) }

// FrontProxyCAFile is the certificate that signs the aggregator.
func (p *PKI) FrontProxyCAFile() string { return p.path(frontProxyAuthority.certificateFile()) }

// ServingFile holds the certificate and the key of the server.
func (p *PKI) ServingFile() string { return p.path(serving.file) }

// FrontProxyClientFile holds the certificate and the key of the aggregator.
func (p *PKI) FrontProxyClientFile() string { return p.path(frontProxyClient.file) }

// ServiceAccountKeyFile holds the key that signs service account tokens.
func (p *PKI) ServiceAccountKeyFile() string { return p.path(serviceAccountKey) }

// Run renews certificates, and the kubeconfig that KeepKubeconfig has written, until ctx is
// done. A failure is logged and tried again: a third of the lifetime is left for it to be put
// right.
func (p *PKI) Run(ctx context.Context) {
	ticker := p.config.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			p.tick(klog.FromContext(ctx))
		}
	}
}

func (p *PKI) tick(logger klog.Logger) {
	names, err := p.renew()
	if err == nil {
		var renewed bool
		if renewed, err = p.renewKubeconfig(); renewed {
			names = append(names, p.kubeconfig.Path)
		}
	}
	if err != nil {
		logger.Error(err, "Renewal of certificates failed and will be tried again", "interval", lookEvery)
	}
	if len(names) > 0 {
		logger.Info("Certificates were renewed", "files", names, "directory", p.config.Dir)
	}
}

// authority is one certificate authority of the directory.
type authority struct {
	name       string
	commonName string
}

func (a authority) certificateFile() string { return a.name + ".crt" }
func (a authority) keyFile() string         { return a.name + ".key" }

// leaf is one certificate of the directory.
type leaf struct {
	file       string
	issuer     authority
	commonName string
	usage      x509.ExtKeyUsage
}

var (
	clusterAuthority    = authority{"ca", "koinon-ca"}
	frontProxyAuthority = authority{"front-proxy-ca", "koinon-front-proxy-ca"}

	serving          = leaf{"serving.pem", clusterAuthority, "koinon", x509.ExtKeyUsageServerAuth}
	frontProxyClient = leaf{"front-proxy-client.pem", frontProxyAuthority, "front-proxy-client", x509.ExtKeyUsageClientAuth}

	allAuthorities = []authority{clusterAuthority, frontProxyAuthority}
	allLeaves      = []leaf{serving, frontProxyClient}
)

// fileNames are all files of the directory.
func fileNames() []string {
	names := []string{serviceAccountKey, firstStart}
	for _, a := range allAuthorities {
		names = append(names, a.certificateFile(), a.keyFile())
	}
	for _, l := range allLeaves {
		names = append(names, l.file)
	}
	return names
}

// renew brings every certificate up to date and returns the files that it replaced.
func (p *PKI) renew() ([]string, error) {
	var replaced []string
	issuers := map[authority]keypair.Pair{}
	for _, a := range allAuthorities {
		issuer, changed, err := p.ensureAuthority(a)
		if err != nil {
			return nil, err
		}
		issuers[a] = issuer
		if changed {
			replaced = append(replaced, a.certificateFile())
		}
	}
	for _, l := range allLeaves {
		changed, err := p.ensureLeaf(l, issuers[l.issuer])
		if err != nil {
			return nil, err
		}
		if changed {
			replaced = append(replaced, l.file)
		}
	}
	return replaced, nil
}

// ensureAuthority returns a valid authority, and whether its certificate is new. The key is
// new on the first start only.
func (p *PKI) ensureAuthority(a authority) (keypair.Pair, bool, error) {
	current, err := p.readAuthority(a)
	now := p.config.Clock.Now()
	switch {
	case err == nil && !keypair.Due(current.Certificate, now):
		return current, false, nil
	case err == nil: // the same key for ten more years
	case p.first && errors.Is(err, fs.ErrNotExist):
		if current.Key, err = p.ensureKey(a.keyFile()); err != nil {
			return keypair.Pair{}, false, p.damaged(err)
		}
	default:
		return keypair.Pair{}, false, p.damaged(err)
	}
	renewed, err := keypair.SignAuthority(a.commonName, current.Key, now, authorityLifetime)
	if err != nil {
		return keypair.Pair{}, false, err
	}
	return renewed, true, durable.WriteFile(p.path(a.certificateFile()), renewed.CertificatePEM(), 0o644)
}

// ensureLeaf replaces a certificate that is absent, damaged, due, of another authority or
// for other hosts.
func (p *PKI) ensureLeaf(l leaf, issuer keypair.Pair) (bool, error) {
	if current, err := p.readLeaf(l); err == nil && current.Certificate.CheckSignatureFrom(issuer.Certificate) == nil &&
		!keypair.Due(current.Certificate, p.config.Clock.Now()) && (l.file != serving.file || coversHosts(current.Certificate, p.config.Hosts)) {
		return false, nil
	}
	wanted := keypair.Leaf{Subject: pkix.Name{CommonName: l.commonName}, Usages: []x509.ExtKeyUsage{l.usage}, Lifetime: leafLifetime}
	if l.file == serving.file {
		wanted.Hosts = p.config.Hosts
	}
	signed, err := issuer.Issue(wanted, p.config.Clock.Now())
	if err != nil {
		return false, err
	}
	key, err := signed.KeyPEM()
	if err != nil {
		return false, err
	}
	return true, durable.WriteFile(p.path(l.file), append(signed.CertificatePEM(), key...), 0o600)
}

func (p *PKI) ensureServiceAccountKey() error {
	if _, err := p.ensureKey(serviceAccountKey); err != nil {
		return p.damaged(err)
	}
	return nil
}

// ensureKey reads a key, which it makes on the first start.
func (p *PKI) ensureKey(name string) (crypto.Signer, error) {
	key, err := p.readKey(name)
	if err == nil || !p.first || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = keypair.NewKey(); err != nil {
		return nil, err
	}
	encoded, err := keypair.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(p.path(name), encoded, 0o600)
}

func coversHosts(certificate *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(host string) bool { return certificate.VerifyHostname(host) != nil })
}

func (p *PKI) path(name string) string { return filepath.Join(p.config.Dir, name) }
