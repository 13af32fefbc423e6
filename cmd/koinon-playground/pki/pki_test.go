package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"testing"
)

func TestIssuedCertificateIsForItsHostsAndSubject(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewAuthority(dir, "ca", "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue("server", pkix.Name{CommonName: "s", Organization: []string{"o"}}, "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(loaded.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	pemCA, err := os.ReadFile(ca.Files().Cert)
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(pemCA)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
			if err != nil {
				t.Errorf("%s, usage %d: %v", host, usage, err)
			}
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "example.org", Roots: roots}); err == nil {
		t.Error("the certificate is good for a host that it was not issued for")
	}
	if got := leaf.Subject.String(); got != "CN=s,O=o" {
		t.Errorf("subject: got %s, want CN=s,O=o", got)
	}
}

func TestEverythingIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	make := func() (all []byte) {
		ca, err := NewAuthority(dir, "ca", "test-ca")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Issue("client", pkix.Name{CommonName: "c"})
		if err != nil {
			t.Fatal(err)
		}
		signing, err := SigningKey(dir, "sa")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []Pair{ca.Files(), pair, signing} {
			cert, key, err := p.Read()
			if err != nil {
				t.Fatal(err)
			}
			all = append(append(all, cert...), key...)
			info, err := os.Stat(p.Key)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, want 0600", p.Key, info.Mode())
			}
		}
		return all
	}
	if first, second := make(), make(); string(first) != string(second) {
		t.Error("the second time made other files")
	}
}

func TestAKilledStartKeepsTheKey(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewAuthority(dir, "ca", "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	_, before, err := ca.Files().Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ca.Files().Cert); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAuthority(dir, "ca", "test-ca"); err != nil {
		t.Fatal(err)
	}
	if _, after, err := ca.Files().Read(); err != nil || string(after) != string(before) {
		t.Errorf("the key was replaced, or: %v", err)
	}
}

func TestADamagedKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewAuthority(dir, "ca", "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(ca.Files().Key, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAuthority(dir, "ca", "test-ca"); err == nil {
		t.Error("got no error")
	}
	if data, err := os.ReadFile(ca.Files().Key); err != nil || len(data) != 0 {
		t.Errorf("the key was replaced, or: %v", err)
	}
}
