package service

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/keypair"
)

func TestACertificateThatTheAuthorityOfAgentsSignsIsAServersAndIsRenewed(t *testing.T) {
	at := time.Now()
	authority, err := keypair.NewAuthority("agents", at, agentsLifetime)
	if err != nil {
		t.Fatal(err)
	}
	serving := signedServing(authority, []string{"koinon.example:6445", "[2001:db8::1]:443"}, func() time.Time { return at })
	get := func() *x509.Certificate {
		t.Helper()
		pair, ca, err := serving()
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			t.Fatal("there is no authority")
		}
		for _, host := range []string{"koinon.example", "2001:db8::1"} {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: at}); err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			t.Error("it is good for a client too")
		}
		return pair.Leaf
	}
	first := get()
	if !get().Equal(first) {
		t.Error("there is another each time")
	}
	at = at.Add(signedLifetime * 3 / 4)
	if get().Equal(first) {
		t.Error("it is not renewed")
	}
}
