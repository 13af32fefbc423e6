package identity

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// What the authority signs is good in all years that a clock of an edge node may show.
var (
	beginning = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	ending    = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	lifetime  = ending.Sub(beginning)
)

// AuthorityName is the common name of hubs' own authorities.
const AuthorityName = "koinon-edgehub"

// Authority is the hub's own: what it signs is believed on the node alone, where its certificate is handed out.
type Authority struct{ pair keypair.Pair }

// OpenAuthority reads the authority of a directory, and makes it the first time. One that is damaged is an error, and not replaced: all that was told to believe it would not believe another.
func OpenAuthority(dir string) (*Authority, error) {
	if err := openDir(dir); err != nil {
		return nil, err
	}
	text, err := read(dir, AuthorityFile)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return newAuthority(dir)
	}
	pair, err := keypair.ParsePair(text, text)
	if err == nil && !pair.Certificate.IsCA {
		err = errors.New("is no authority's")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w: it is the hub's own authority, which programs of this node believe, and not replaced. Restore it, or move it away and install the hub again, which gives kubelet another",
			filepath.Join(dir, AuthorityFile), err)
	}
	return &Authority{pair}, nil
}

func newAuthority(dir string) (*Authority, error) {
	pair, err := keypair.NewAuthority(AuthorityName, beginning, lifetime)
	if err != nil {
		return nil, err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return nil, err
	}
	if err := write(dir, AuthorityFile, append(pair.CertificatePEM(), key...)); err != nil {
		return nil, fmt.Errorf("keep the hub's own authority: %w", err)
	}
	return &Authority{pair}, nil
}

// CertificatePEM is what programs of the node have to believe.
func (a *Authority) CertificatePEM() []byte { return a.pair.CertificatePEM() }

// Pool is the authority, to believe clients by.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.pair.Certificate)
	return pool
}

// Serving makes a serving certificate for DNS names and IP addresses, with a new key.
func (a *Authority) Serving(hosts ...string) (*tls.Certificate, error) {
	pair, err := a.issue(keypair.Leaf{Subject: pkix.Name{CommonName: "koinon-edgehub"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Hosts: hosts})
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{pair.Certificate.Raw}, PrivateKey: pair.Key, Leaf: pair.Certificate}, nil
}

// Client makes a certificate for a program of the node, such as kubelet, with a new key.
func (a *Authority) Client(name string, groups ...string) (keypair.Pair, error) {
	return a.issue(keypair.Leaf{Subject: pkix.Name{CommonName: name, Organization: groups}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a *Authority) issue(leaf keypair.Leaf) (keypair.Pair, error) {
	leaf.Lifetime = lifetime
	return a.pair.Issue(leaf, beginning)
}
