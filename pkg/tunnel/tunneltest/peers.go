package tunneltest

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// PeerTLS is what a server has with which others know it.
func (a *Authority) PeerTLS(id string) func() (*tls.Certificate, *x509.CertPool, error) {
	a.t.Helper()
	uri, err := tunnel.ServerURI(id)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate := a.sign(&x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	return func() (*tls.Certificate, *x509.CertPool, error) { return &certificate, a.Pool(), nil }
}

// Mesh tells servers of each other, and waits until each has a link to each of the others. Agents are not told: each keeps to the server that it was
// given.
func Mesh(t *testing.T, servers ...*Replica) {
	t.Helper()
	var all []tunnel.Replica
	for _, s := range servers {
		all = append(all, tunnel.Replica{ID: s.ID, Peer: s.Address, Hidden: true})
	}
	for _, s := range servers {
		s.SetReplicas(all)
	}
	for _, s := range servers {
		Eventually(t, s.ID+" has links to all others", func() bool { return s.LinkedPeers() == len(servers)-1 })
	}
}

// LinkedPeers is to how many other servers there are links.
func (r *Replica) LinkedPeers() (n int) {
	for _, p := range r.Peers() {
		if p.Linked {
			n++
		}
	}
	return n
}
