package authority_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
)

func TestAServersOwnCertificateIsOfTheAuthorityAndIsRenewed(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	peer, err := tn.Authority.Peer("host-a_1")
	if err != nil {
		t.Fatal(err)
	}
	get := func() *x509.Certificate {
		t.Helper()
		pair, trusted, err := peer.TLS()
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := certificate.Verify(x509.VerifyOptions{Roots: trusted, CurrentTime: tn.Now(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Error(err)
			}
		}
		if id, err := tunnel.ServerOf(certificate); err != nil || id != "host-a_1" {
			t.Errorf("it is of %q, %v", id, err)
		}
		if name, err := tunnel.NameOf(certificate); err == nil {
			t.Errorf("it is an agent's, of %s", name)
		}
		return certificate
	}
	first := get()
	if !get().Equal(first) {
		t.Error("there is another each time")
	}
	tn.SetClock(13 * time.Hour)
	if get().Equal(first) {
		t.Error("it is not renewed after half of its life")
	}
	for _, id := range []string{"", "a b", "../a", "a/b", "ä"} {
		if _, err := tn.Authority.Peer(id); err == nil {
			t.Errorf("there is one of %q", id)
		}
	}
}
