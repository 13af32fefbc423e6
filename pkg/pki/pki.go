package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
	// renewEvery is how often Run looks.
	renewEvery = time.Hour
	// backdate covers clients whose clock is behind.
	backdate = time.Hour
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
	// renewed is called by Run after a leaf was replaced.
	renewed []func() error
}

// Ensure makes what is missing, renews what is due and repairs what is damaged.
func Ensure(config Config) (*PKI, error) {
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory for keys: %w", err)
	}
	if err := removeTemporary(config.Dir); err != nil {
		return nil, err
	}
	p := &PKI{config: config}
	if err := p.ensureServiceAccountKey(); err != nil {
		return nil, err
	}
	if _, err := p.renew(); err != nil {
		return nil, err
	}
	return p, nil
}

// CAFile is the certificate that clients of the server trust and that signs clients.
func (p *PKI) CAFile() string { return p.path("ca.crt") }

// FrontProxyCAFile is the certificate that signs the aggregator.
func (p *PKI) FrontProxyCAFile() string { return p.path("front-proxy-ca.crt") }

// ServingFile holds the certificate and the key of the server.
func (p *PKI) ServingFile() string { return p.path(serving.file) }

// FrontProxyClientFile holds the certificate and the key of the aggregator.
func (p *PKI) FrontProxyClientFile() string { return p.path(frontProxyClient.file) }

// ServiceAccountKeyFile holds the key that signs service account tokens.
func (p *PKI) ServiceAccountKeyFile() string { return p.path("sa.key") }

// OnRenewal adds a function that Run calls after it has replaced a certificate. Add all of
// them before Run.
func (p *PKI) OnRenewal(f func() error) { p.renewed = append(p.renewed, f) }

// Run renews certificates until ctx is done. A failure is logged and tried again after an
// hour: a third of the lifetime is left for it to be put right.
func (p *PKI) Run(ctx context.Context) {
	ticker := p.config.Clock.NewTicker(renewEvery)
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
	if err != nil {
		logger.Error(err, "Renewal of certificates failed and will be tried again", "interval", renewEvery)
		return
	}
	if len(names) == 0 {
		return
	}
	logger.Info("Certificates were renewed", "files", names, "directory", p.config.Dir)
	for _, f := range p.renewed {
		if err := f(); err != nil {
			logger.Error(err, "Work after the renewal of certificates failed")
		}
	}
}

// authority is one certificate authority of the directory.
type authority struct {
	name       string
	commonName string
}

// leaf is one certificate of the directory.
type leaf struct {
	file         string
	issuer       authority
	commonName   string
	organization []string
	usage        x509.ExtKeyUsage
}

var (
	clusterAuthority    = authority{"ca", "koinon-ca"}
	frontProxyAuthority = authority{"front-proxy-ca", "koinon-front-proxy-ca"}

	serving          = leaf{"serving.pem", clusterAuthority, "koinon", nil, x509.ExtKeyUsageServerAuth}
	admin            = leaf{"admin.pem", clusterAuthority, "koinon-admin", []string{"system:masters"}, x509.ExtKeyUsageClientAuth}
	frontProxyClient = leaf{"front-proxy-client.pem", frontProxyAuthority, "front-proxy-client", nil, x509.ExtKeyUsageClientAuth}
)

// renew brings every certificate up to date and returns the files that it replaced.
func (p *PKI) renew() ([]string, error) {
	var replaced []string
	issuers := map[authority]*pair{}
	for _, a := range []authority{clusterAuthority, frontProxyAuthority} {
		issuer, changed, err := p.ensureAuthority(a)
		if err != nil {
			return nil, err
		}
		issuers[a] = issuer
		if changed {
			replaced = append(replaced, a.name+".crt")
		}
	}
	for _, l := range []leaf{serving, admin, frontProxyClient} {
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

// ensureAuthority returns a valid authority, and whether its certificate is new.
func (p *PKI) ensureAuthority(a authority) (*pair, bool, error) {
	certificate, certErr := readCertificate(p.path(a.name + ".crt"))
	key, keyErr := readKey(p.path(a.name + ".key"))
	switch {
	case keyErr != nil && certErr == nil:
		return nil, false, fmt.Errorf("the key of the authority %s is missing or damaged (%w): restore %s.key from a backup, or remove %s to start with new authorities and hand out every kubeconfig again", a.name, keyErr, a.name, p.config.Dir)
	case keyErr != nil:
		var err error
		if key, err = p.writeNewKey(a.name + ".key"); err != nil {
			return nil, false, err
		}
	case certErr == nil && sameKey(certificate, key) && !p.due(certificate):
		return &pair{certificate, key}, false, nil
	}
	certificate, err := p.signAuthority(a, key)
	if err != nil {
		return nil, false, err
	}
	return &pair{certificate, key}, true, nil
}

// ensureLeaf replaces a certificate that is absent, damaged, due, of another authority or
// for other hosts.
func (p *PKI) ensureLeaf(l leaf, issuer *pair) (bool, error) {
	current, err := readPair(p.path(l.file))
	if err == nil && current.certificate.CheckSignatureFrom(issuer.certificate) == nil &&
		!p.due(current.certificate) && (l.file != serving.file || coversHosts(current.certificate, p.config.Hosts)) {
		return false, nil
	}
	return true, p.signLeaf(l, issuer)
}

func (p *PKI) ensureServiceAccountKey() error {
	_, err := readKey(p.path("sa.key"))
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the key of service account tokens is damaged: restore sa.key from a backup, or remove it to make every token invalid: %w", err)
	}
	_, err = p.writeNewKey("sa.key")
	return err
}

// due says that two thirds of the lifetime have passed.
func (p *PKI) due(certificate *x509.Certificate) bool {
	lifetime := certificate.NotAfter.Sub(certificate.NotBefore)
	now := p.config.Clock.Now()
	return now.After(certificate.NotBefore.Add(lifetime/3*2)) || now.Before(certificate.NotBefore)
}

func coversHosts(certificate *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(host string) bool { return certificate.VerifyHostname(host) != nil })
}

// splitHosts sorts hosts into names and addresses.
func splitHosts(hosts []string) (names []string, addresses []net.IP) {
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			addresses = append(addresses, ip)
			continue
		}
		names = append(names, host)
	}
	return names, addresses
}

func (p *PKI) path(name string) string { return filepath.Join(p.config.Dir, name) }

// removeTemporary removes what a kill in mid-write has left.
func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the directory for keys: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporaryPrefix) {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return fmt.Errorf("remove an unfinished file: %w", err)
			}
		}
	}
	return nil
}
