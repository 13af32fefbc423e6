package main

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// Files of a world's directory.
const (
	serversCA = "servers-ca" // the authority of servers: .crt and .key, as of all
	agentsCA  = "agents-ca"  // that of agents and clients
	serverTLS = "server"     // the certificate of all servers
	agentTLS  = "agent"      // one of an agent of theCluster, and of a client
)

// theCluster is whose agent is dialed through, and theTenant who dials.
var theCluster = tunnel.Name{Cluster: "m1"}

const theTenant = "bench"

// makeCertificates writes what a world needs. All keys are P-256.
func makeCertificates(dir string) error {
	for _, authority := range []string{serversCA, agentsCA} {
		key, err := identity.NewKey()
		if err != nil {
			return err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: authority}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return err
		}
		if err := writePair(dir, authority, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}); err != nil {
			return err
		}
	}
	server, err := issue(dir, serversCA)
	if err != nil {
		return err
	}
	agent, err := issue(dir, agentsCA, theCluster.URI())
	if err != nil {
		return err
	}
	if err := writePair(dir, serverTLS, server); err != nil {
		return err
	}
	return writePair(dir, agentTLS, agent)
}

// issue signs a certificate: of an agent if there is a URI, else of a server on loopback.
func issue(dir, authority string, uris ...*url.URL) (tls.Certificate, error) {
	issuer, signer, err := loadAuthority(dir, authority)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := identity.NewKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), URIs: uris,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(uris) == 0 {
		template.IPAddresses, template.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der, issuer.Raw}, PrivateKey: key}, nil
}

func writePair(dir, name string, pair tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), chain, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
}

func loadPair(dir, name string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
}

func loadAuthority(dir, name string) (*x509.Certificate, crypto.Signer, error) {
	pair, err := loadPair(dir, name)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("the key of %s does not sign", name)
	}
	return pair.Leaf, signer, nil
}

func loadPool(dir, name string) (*x509.CertPool, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", name)
	}
	return pool, nil
}
