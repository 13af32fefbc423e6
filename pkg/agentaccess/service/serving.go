package service

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// signedLifetime is that of a serving certificate which the authority of agents signs. It is replaced when two thirds of it have passed.
const signedLifetime = 30 * 24 * time.Hour

// signedServing is a serving certificate that the authority of agents signs, which all servers over one API have. It is kept in memory.
func signedServing(authority keypair.Pair, addresses []string, now func() time.Time) Serving {
	var hosts []string
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			hosts = append(hosts, host)
		}
	}
	var mu sync.Mutex
	var kept tls.Certificate // guarded by mu
	return func() (tls.Certificate, []byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if kept.Leaf == nil || keypair.Due(kept.Leaf, now()) {
			pair, err := authority.Issue(keypair.Leaf{
				Subject: pkix.Name{CommonName: "koinon-tunnel"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Hosts: hosts, Lifetime: signedLifetime,
			}, now())
			if err != nil {
				return tls.Certificate{}, nil, err
			}
			kept = tls.Certificate{Certificate: [][]byte{pair.Certificate.Raw}, PrivateKey: pair.Key, Leaf: pair.Certificate}
		}
		return kept, authority.CertificatePEM(), nil
	}
}
